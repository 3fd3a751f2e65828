{% include cookiecutter.task ~ "/datasets.py" %}
