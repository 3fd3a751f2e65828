"""A task is added by the steps in CONTRIBUTING.md, and by nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TEMPLATE

TASK = "sine_regression"
# The first words of a line in CONTRIBUTING.md -> the step, done in a copy of the template.
STEPS: dict[str, Callable[[Path], None]] = {}


def step(file: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def keep(function: Callable[[Path], None]) -> Callable[[Path], None]:
        STEPS[file] = function
        return function

    return keep


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path}: {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


@step("templates/<task>/")
def add_the_files(template: Path) -> None:
    shutil.move(template / "tests" / TASK, template / "templates" / TASK)


@step("cookiecutter.json")
def offer_it(template: Path) -> None:
    path = template / "cookiecutter.json"
    questions = json.loads(path.read_text("utf-8"))
    questions["task"].append(TASK)
    questions["_wings"][TASK] = "tabular"
    questions["__prompts__"]["task"][TASK] = f"{TASK} (a curve)"
    path.write_text(json.dumps(questions, indent=2), encoding="utf-8")


@step("tests/test_render.py")
def list_what_it_renders(template: Path) -> None:
    added = f'"task": {{\n        "{TASK}": {{"PACKAGE/tabular": "__init__.py"}},\n'
    replace(template / "tests/test_render.py", '"task": {\n', added)


@step("tests/promises.py")
def promise_a_quality(template: Path) -> None:
    function = f"def {TASK}(_: Path, metrics: dict[str, float], part: str) -> None:\n"
    function += '    """It is a sine."""\n    assert metrics["mae"] < 0.1\n\n\n'
    path = template / "tests/promises.py"
    replace(path, "Promise = Callable", f"{function}Promise = Callable")
    replace(path, "    for promise in (", f"    for promise in (\n        {TASK},")


@step("tests/readme_data.py")
def make_the_data_of_its_readme(template: Path) -> None:
    function = f"def {TASK}(project: Path) -> None:\n"
    function += (
        '    """A line."""\n    points = "".join(f"{n / 10} {n / 20}\\n" for n in range(60))\n'
    )
    function += '    (project / "points.txt").write_text(points)\n\n\n'
    path = template / "tests/readme_data.py"
    replace(path, "MAKERS: dict", f"{function}MAKERS: dict")
    replace(path, "    for maker in (", f"    for maker in (\n        {TASK},")


@step("torch_template_answers.py")
def reserve_names(_: Path) -> None:
    """This task needs no package that others do not need."""


@step("README.md")
def name_it(template: Path) -> None:
    replace(template / "README.md", "| `task` | ", f"| `task` | {TASK}, ")


@pytest.fixture(scope="module")
def with_six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template, to which the steps were applied in their order."""
    copy = tmp_path_factory.mktemp("six") / "template"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, check=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (TEMPLATE / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, copy / name)
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    for do in STEPS.values():
        do(copy)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", "tests"], cwd=copy, check=True)
    return copy


def test_the_steps_are_those_that_are_published() -> None:
    text = (TEMPLATE / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("## A new task\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\d\. `(.*?)`", section, re.MULTILINE) == list(STEPS)


@pytest.mark.parametrize("file", ["test_template.py", "test_render.py", "test_projects.py"])
def test_the_templates_own_tests_accept_a_sixth_task(with_six: Path, file: str) -> None:
    chosen = [] if file == "test_template.py" else ["-k", TASK]
    own = os.environ | {"PYTHONPATH": str(with_six)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/{file}", *chosen], cwd=with_six, env=own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) >= 8
