"""Let the new project look at this machine: the torch build, and the defaults in device.toml.

Runs in the finished project's folder, by cookiecutter's own Python, without torch. Whatever the
machine does, the project stays: a failure here costs only the machine's own settings.
"""

import sys
from pathlib import Path

PROJECT = Path.cwd()
PACKAGE = "{{ cookiecutter.__package }}"
SLUG = "{{ cookiecutter.project_slug }}"
BUILD = "{{ cookiecutter.torch_build }}"


def remove_empty_folders():
    """Files with conditional names leave their folders behind."""
    for name in (".github/workflows", ".github"):
        folder = PROJECT / name
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def fit_to_machine():
    """Write what this machine needs; returns the lines to tell the user."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(PROJECT))
    device = __import__(f"{PACKAGE}.device", fromlist=["detect"])
    plan = __import__(f"{PACKAGE}.plan", fromlist=["make_plan"])
    torch_build = __import__(f"{PACKAGE}.torch_build", fromlist=["write_torch_build"])
    found = device.detect(BUILD)
    planned = plan.make_plan(found, BUILD)
    plan.write_device_toml(PROJECT, found, planned)
    torch_build.write_torch_build(PROJECT, planned.index_url)
    notes = [f"Note: {note}" for note in (*found.notes, *planned.notes)]
    return [
        f"Found: {found.summary()}.",
        f"torch build: {planned.torch_build}. Computes on: {planned.device}, {planned.precision}.",
        *notes,
    ]


def say(line):
    """Print in ASCII: the terminal may know nothing else."""
    print(line.encode("ascii", "backslashreplace").decode("ascii"))


def main():
    """All of it, and never an error: that would delete the project."""
    try:
        remove_empty_folders()
        lines = fit_to_machine()
    except Exception as error:
        lines = [f"This machine was not looked at ({type(error).__name__}: {error})."]
    try:
        for line in lines:
            say(line)
        say(f"Next, with uv:   cd {SLUG} && uv run train.py")
        say("  or with pip:   python -m pip install -r requirements-torch.txt")
        say("                 python -m pip install -e .")
        say("                 python train.py")
    except OSError:
        pass  # nobody listens


main()
