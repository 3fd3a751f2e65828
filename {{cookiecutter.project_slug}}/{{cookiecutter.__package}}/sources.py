{% include cookiecutter.task ~ "/sources.py" %}
