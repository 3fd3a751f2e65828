{% include cookiecutter.task ~ "/models.py" %}
