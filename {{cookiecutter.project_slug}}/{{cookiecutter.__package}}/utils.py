{% include cookiecutter.task ~ "/utils.py" %}
