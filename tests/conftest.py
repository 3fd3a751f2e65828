"""Renders projects for the tests, in process and far from the user's own settings."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from xdist.scheduler import LoadScopeScheduling

TEMPLATE = Path(__file__).parent.parent
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
QUESTIONS: dict[str, str | list[str]] = {
    key: value
    for key, value in json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8")).items()
    if not key.startswith("_")
}
# question -> its possible answers, for those with a list of them
CHOICES: dict[str, list[str]] = {
    question: value for question, value in QUESTIONS.items() if isinstance(value, list)
}

Render = Callable[..., Path]
Exported = Callable[[str], tuple[Path, subprocess.CompletedProcess[str]]]

# What tools leave in the template's folders would be rendered, or break the rendering.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
for folder in (PROJECT, TEMPLATE / "templates"):
    for cache in [path for path in folder.rglob("*cache*") if path.is_dir()]:
        shutil.rmtree(cache, ignore_errors=True)


class ByTask(LoadScopeScheduling):  # type: ignore[misc]
    """Tests that share what was made for them run in the same process; the others anywhere."""

    def _split_scope(self, nodeid: str) -> str:
        for group in (
            "test_docs.py",
            "test_faults.py",
            "test_situations.py",
            "test_update.py",
            "test_types_are_right",
        ):
            if group in nodeid:
                return group
        found = re.search(r"test_(projects|export|serve)\.py::[^\[]*\[?(\w*)", nodeid)
        if found and found[2] in CHOICES["task"]:
            return f"{found[2]}, exported" if found[1] in ("export", "serve") else found[2]
        return "tabular_regression, exported" if "test_serve.py" in nodeid else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByTask:
    return ByTask(config, log)


def check_answers(answers: dict[str, str]) -> None:
    """Cookiecutter ignores a misspelt question without a word; the tests must not."""
    for question, answer in answers.items():
        if question not in QUESTIONS:
            raise KeyError(f"no question {question!r}: {sorted(QUESTIONS)}")
        if question in CHOICES and answer not in CHOICES[question]:
            raise ValueError(f"{question} is one of {CHOICES[question]}, not {answer!r}")


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cookiecutter leaves a copy of every hook that it runs among the temporary files."""
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    yield
    tempfile.tempdir = None


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cookiecutter's settings for tests: nothing of this machine's user is read or written."""
    folder = tmp_path_factory.mktemp("cookiecutter")
    config = folder / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "default_context": {},
                "replay_dir": str(folder / "replay"),
                "cookiecutters_dir": str(folder / "cookiecutters"),
            }
        ),
        encoding="utf-8",
    )
    return config


@pytest.fixture(scope="session")
def render(config_file: Path) -> Render:
    """`render(output_dir, **answers)`: a project of one's own, which a test may change."""

    def render_into(output_dir: Path, **answers: str) -> Path:
        check_answers(answers)
        folder = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(output_dir),
            config_file=str(config_file),
        )
        return Path(folder)

    return render_into


@pytest.fixture(scope="session")
def rendered(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """`rendered(**answers)`: a project that tests share, so they only read it."""
    projects: dict[tuple[tuple[str, str], ...], Path] = {}

    def render_once(**answers: str) -> Path:
        key = tuple(sorted(answers.items()))
        if key not in projects:
            projects[key] = render(tmp_path_factory.mktemp("project"), **answers)
        return projects[key]

    return render_once


@pytest.fixture(scope="session")
def exported(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """`exported(task)`: a project whose run "own" was exported, and what that said."""
    from test_export import PROGRAM
    from test_predict import FLAGS, SPLITS, call, make_data

    @functools.cache
    def export_once(task: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
        project = render(tmp_path_factory.mktemp("exported"), task=task)
        make_data(task, project)
        return project, call(project, "-c", PROGRAM, *FLAGS[task], *SPLITS)

    return export_once
