{% include cookiecutter.task ~ "/loaders.py" %}
