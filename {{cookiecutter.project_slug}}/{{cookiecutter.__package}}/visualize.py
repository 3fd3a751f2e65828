{% include cookiecutter.task ~ "/visualize.py" %}
