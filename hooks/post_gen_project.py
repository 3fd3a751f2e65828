"""Fit the new project to this machine: its torch build, and its defaults in device.toml.

Runs in the new project's folder, with cookiecutter's own Python, without torch. It never fails: if
the machine cannot be examined, the project keeps the build that was chosen, and has no device.toml.
"""

import os
import re
import sys
from pathlib import Path

TEMPLATE = "{{ template_folder() }}"
STARTED_IN = "{{ started_in() if started_in is defined else '' }}"
PROJECT = Path.cwd()
PACKAGE = "{{ cookiecutter.__package }}"
BUILD = "{{ cookiecutter.torch_build }}"
# --skip-if-file-exists keeps files, which are not ours to change then.
IS_NEW = ("{{ was_rendered('pyproject.toml') }}", "{{ was_rendered('requirements-torch.txt') }}")
MAY_WRITE = IS_NEW == ("True", "True")


def remove_empty_folders():
    """Files with conditional names leave their folders behind."""
    for name in (".github/workflows", ".github"):
        folder = PROJECT / name
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def fit_to_machine():
    """Write what this machine needs; returns the lines to print."""
    sys.dont_write_bytecode = True  # the template's folder is not ours to change
    sys.path.insert(0, TEMPLATE)
    from detection.detect import detect
    from detection.plan import make_plan
    from detection.write import write_device_toml, write_torch_build

    found = detect(BUILD)
    plan = make_plan(found, BUILD)
    if MAY_WRITE or not (PROJECT / "device.toml").exists():
        write_device_toml(PROJECT, found, plan, PACKAGE)
    if MAY_WRITE:
        write_torch_build(PROJECT, plan.index_url)
    build = plan.torch_build if MAY_WRITE else "as it was, because the files that name it were kept"
    return [
        f"Found: {found.summary()}.",
        f"torch build: {build}. Computes on: {plan.device}, {plan.precision}.",
        *(f"Note: {note}" for note in (*found.notes, *plan.notes)),
    ]


def next_steps():
    """What to type next, one command a line: && is not known to every shell."""
    try:
        folder = os.path.relpath(PROJECT, STARTED_IN)
    except ValueError:  # unknown, or on another drive of Windows
        folder = str(PROJECT)
    if not re.fullmatch(r"[\w./\\:-]+", folder):
        folder = f'"{folder}"'
    return [
        "Next:",
        f"  cd {folder}",
        "  uv run train.py",
        "or with pip, in an environment of Python 3.11 or newer:",
        "  python -m pip install -r requirements-torch.txt",
        "  python -m pip install -e .",
        "  python train.py",
        "To put it under version control, type there:",
        "  git init",
        "  git add .",
        '  git commit -m "From the template"',
    ]


def say(line):
    """Print it, with escapes for what the terminal cannot show."""
    encoding = sys.stdout.encoding or "ascii"
    print(line.encode(encoding, "backslashreplace").decode(encoding))


def main():
    """Do everything, and raise nothing: an error would make cookiecutter delete the project."""
    try:
        remove_empty_folders()
        lines = fit_to_machine()
    except Exception as error:
        lines = [f"This machine was not looked at ({type(error).__name__}: {error})."]
    try:
        for line in (*lines, *next_steps()):
            say(line)
    except OSError:
        pass  # the output is closed


main()
