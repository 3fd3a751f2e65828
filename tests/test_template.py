"""The template's own files: legal on every system, and readable without knowing Jinja."""

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from conftest import CHOICES, PROJECT, QUESTIONS, TEMPLATE

INCLUDE = re.compile(r'{% include cookiecutter\.task ~ "/[a-z_/]+\.py" %}\n')
# What a task may add to the end of the common file.
MORE_UTILS = '{% include cookiecutter.task ~ "/utils.py" ignore missing %}\n'
# The only answer in Python, and only outside the package, which imports relatively.
PACKAGE_NAME = "{{ cookiecutter.__package }}"
ILLEGAL_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')


def tracked_files() -> list[PurePosixPath]:
    """What a clone holds, and what is about to be in it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, check=True, text=True)
    return [PurePosixPath(name) for name in sorted(set(listed.stdout.split("\0"))) if name]


def python_of_projects() -> list[Path]:
    return [path for root in (PROJECT, TEMPLATE / "templates") for path in root.rglob("*.py")]


def test_file_names_are_legal_on_windows() -> None:
    reserved = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
    names = tracked_files()

    for name in names:
        for part in name.parts:
            assert not ILLEGAL_ON_WINDOWS.search(part), name
            assert not reserved.fullmatch(part), name
        assert len(str(name)) < 150, name
    assert len({str(name).lower() for name in names}) == len(names)


@pytest.mark.parametrize("path", python_of_projects(), ids=lambda path: path.name)
def test_python_that_is_rendered_holds_no_jinja_but_includes(path: Path) -> None:
    text = path.read_text("utf-8")
    if INCLUDE.fullmatch(text):
        return
    if path == PROJECT / "{{cookiecutter.__package}}" / "utils.py":
        text = text.removesuffix(MORE_UTILS)
    if path.parent.name == "tests" or path.parent == PROJECT:
        text = text.replace(PACKAGE_NAME, "package")

    # An f-string with doubled braces would be rendered away without a word.
    assert not re.search(r"{{|{%|{#", text)


@pytest.mark.parametrize("task", CHOICES["task"])
def test_every_file_of_a_task_is_included_somewhere(task: str) -> None:
    folder = TEMPLATE / "templates" / task
    project = "\n".join(path.read_text("utf-8") for path in PROJECT.rglob("*.*") if path.is_file())

    for path in folder.rglob("*.*"):
        name = path.relative_to(folder).as_posix()
        assert f'{{% include cookiecutter.task ~ "/{name}" ' in project


def test_every_question_and_choice_has_words() -> None:
    prompts = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["__prompts__"]

    assert list(prompts) == list(QUESTIONS)
    for question, options in CHOICES.items():
        assert set(prompts[question]) == {"__prompt__", *options}


def test_there_is_one_template_folder() -> None:
    """Cookiecutter takes the first folder that looks like one."""
    assert [path.name for path in TEMPLATE.iterdir() if "{{" in path.name] == [PROJECT.name]


def test_the_licenses_are_those_of_the_question() -> None:
    texts = (TEMPLATE / "templates" / "licenses").glob("*.txt")

    assert {path.stem for path in texts} == set(CHOICES["license"])


def test_ruff_and_mypy_have_nothing_to_say() -> None:
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        outcome = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=TEMPLATE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
