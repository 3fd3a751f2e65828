{% include cookiecutter.task ~ "/criterion.py" %}
