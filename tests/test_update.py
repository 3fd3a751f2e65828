"""A project in which a team has edited its eight files takes a template update without conflicts.

What the team owns and what the template changes are different files, so `cruft update` merges them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHOICES, TEMPLATE

PACKAGE = "my_torch_project"
WINGS: dict[str, str] = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["_wings"]
THEIRS = "hyperparameters loaders models utils criterion optimizer train visualize"
IDENTITY = ["-c", "user.name=Team", "-c", "user.email=team@example.com"]
MARK = "# Changed by the team."
TRAIN = ["train.py", "--epochs", "1", "--device", "cpu", "--no-report", "--val-fraction", "0.05"]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *IDENTITY, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template with a history: what it is now, and a later version of it."""
    copy = tmp_path_factory.mktemp("update") / "template"
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, copy / name)
    git(copy, "init", "--quiet")
    commit(copy, "As it is")
    git(copy, "tag", "before")
    change_the_template(copy)
    commit(copy, "An update of all that is the template's")
    return copy


def change_the_template(template: Path) -> None:
    """Real changes in the engine, the commands, the report and the wings, and a new file."""
    package = template / "{{cookiecutter.project_slug}}" / "{{cookiecutter.__package}}"
    for name, old, new in (
        ("engine/files.py", "def shorten(", "def first_line(text: str) -> str:\n"
         '    """Its first line."""\n    return text.partition("\\n")[0]\n\n\ndef shorten('),
        ("engine/errors.py", "Free some space.", "Delete some files."),
        ("cli/main.py", '"Interrupted."', '"Stopped by Ctrl-C."'),
        ("report/style.py", '"font.size": 9', '"font.size": 10'),
        ("report/page.html.jinja", "<h2>The run</h2>", "<h2>This run</h2>"),
    ):  # fmt: skip
        path = package / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    for path in (template / "templates").glob("*/*/*.py"):
        if path.parent.name in {"wing", *WINGS.values()}:
            path.write_text(path.read_text("utf-8") + "\nUPDATED = True\n", encoding="utf-8")
    for task in CHOICES["task"]:
        folder = template / "templates" / task / WINGS[task]
        (folder / "added.py").write_text('"""What the update adds."""\n', encoding="utf-8")


def cruft(folder: Path, template: Path, config: Path, *arguments: str) -> str:
    """Run cruft; the template's extension must be importable, as the README says."""
    env = os.environ | {"PYTHONPATH": str(template), "COOKIECUTTER_CONFIG": str(config)}
    env |= {"GIT_AUTHOR_NAME": "Team", "GIT_AUTHOR_EMAIL": "team@example.com"}
    command = [sys.executable, "-m", "cruft", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def edit_as_a_team(project: Path) -> dict[Path, str]:
    """Edit the README and the beginning, the middle and the end of the eight files."""
    for name in THEIRS.split():
        path = project / PACKAGE / f"{name}.py"
        text = path.read_text("utf-8").replace('"""', f'"""{name.title()} of our team. ', 1)
        middle = [match.start() for match in re.finditer(r"^(class|def|@dataclass)", text, re.M)]
        place = middle[len(middle) // 2]
        text = f"{text[:place]}{MARK}\n{text[place:]}\n\nOURS = {name!r}\n"
        path.write_text(text, encoding="utf-8")
    readme = project / "README.md"
    text = readme.read_text("utf-8").replace("## Start", "Ask Kim about the data.\n\n## Start")
    readme.write_text(text + "\n## Our results\n\nSee the wiki.\n", encoding="utf-8")
    edited = [readme, *(project / PACKAGE / f"{name}.py" for name in THEIRS.split())]
    return {path: path.read_text("utf-8") for path in edited}


@pytest.fixture(scope="module", params=CHOICES["task"])
def updated(
    request: pytest.FixtureRequest,
    template: Path,
    config_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[Path, str], str]:
    """A project of a team after an update, and the files that the team had edited."""
    folder = tmp_path_factory.mktemp("project")
    answers = json.dumps({"task": request.param})
    options = ["--no-input", "--checkout", "before", "--extra-context", answers]
    cruft(folder, template, config_file, "create", str(template), *options)
    (project,) = folder.iterdir()
    git(project, "init", "--quiet")
    commit(project, "New project")
    edited = edit_as_a_team(project)
    commit(project, "Our own changes")
    branch = git(template, "rev-parse", "HEAD").strip()
    cruft(project, template, config_file, "update", "--skip-apply-ask", "--checkout", branch)
    return project, edited, request.param


def test_nothing_conflicts_and_the_teams_files_stay_as_they_are(
    updated: tuple[Path, dict[Path, str], str],
) -> None:
    project, edited, _ = updated
    assert not list(project.rglob("*.rej")) and not list(project.rglob("*.orig"))
    assert {path: path.read_text("utf-8") for path in edited} == edited


def test_what_the_template_changed_arrives(updated: tuple[Path, dict[Path, str], str]) -> None:
    project, _, task = updated
    package = project / PACKAGE
    assert "def first_line(" in (package / "engine/files.py").read_text("utf-8")
    assert "Stopped by Ctrl-C." in (package / "cli/main.py").read_text("utf-8")
    assert "This run" in (package / "report/page.html.jinja").read_text("utf-8")
    wing = package / WINGS[task]
    assert (wing / "added.py").is_file()
    others = [path for path in wing.glob("*.py") if path.name not in ("added.py", "__init__.py")]
    assert others and all("UPDATED" in path.read_text("utf-8") for path in others)


def test_the_updated_project_trains_and_passes_its_quick_tests(
    updated: tuple[Path, dict[Path, str], str],
) -> None:
    """All tests but those of long trainings in the first task, and fewer in the others."""
    project, _, task = updated
    tests = ["tests/test_layout.py", "tests/test_steps.py"]
    commands = [["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]]
    if task == CHOICES["task"][0]:
        commands[0][-2:] = ["--ignore", "tests/test_training.py"]
        commands.append(TRAIN)
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=project,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
