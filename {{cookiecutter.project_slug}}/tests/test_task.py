{% include cookiecutter.task ~ "/tests/test_task.py" %}
