{% include cookiecutter.task ~ "/figures.py" %}
