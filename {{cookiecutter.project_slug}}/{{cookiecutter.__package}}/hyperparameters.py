{% include cookiecutter.task ~ "/hyperparameters.py" %}
