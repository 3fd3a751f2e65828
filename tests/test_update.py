"""What a team changed stays in an update; conflicts come only where both sides changed the same.

Pairs of commits of this template's own history are the updates, and a project of each older one is
edited as teams edit them. It is updated as its README says, by git alone, and with cruft.
"""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from pathlib import Path

import cruft
import pytest
import yaml
from conftest import CHOICES, TEMPLATE
from cookiecutter.main import cookiecutter

PACKAGE = "my_torch_project"
WINGS: dict[str, str] = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["_wings"]
IDENTITY = ["-c", "user.name=Team", "-c", "user.email=team@example.com"]
NOW = "now"  # the working tree
HISTORY = [
    *("1e3bbfc", "57bf0e4", "21209aa", "73493c2", "f176e3d", "0b8b80a", "f3e4e50", "b4a8f3a"),
    *("59e0620", "2103c61", "9f3504b", NOW),
]
FIRST_LAYOUT = HISTORY[:5]  # before the package had its eight files
IMAGES, TABLES, TEXTS = "image_classification", "tabular_regression", "text_classification"
PAIRS = [
    *((old, new, IMAGES) for old, new in pairwise(HISTORY)),
    ("f176e3d", NOW, IMAGES),
    ("f176e3d", "59e0620", TABLES),
    ("59e0620", NOW, TABLES),
    ("b4a8f3a", NOW, TEXTS),
]
NAMES = [f"{old} to {new}, {task}" for old, new, task in PAIRS]


def git(folder: Path, *arguments: str, may_fail: bool = False) -> str:
    command = ["git", *IDENTITY, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert may_fail or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_python(folder: Path, *arguments: str, more: dict[str, str] | None = None) -> str:
    env = os.environ | {"OMP_NUM_THREADS": "1", "GIT_AUTHOR_NAME": "Team"} | (more or {})
    env |= {"GIT_AUTHOR_EMAIL": "team@example.com"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def copy_working_tree(folder: Path) -> None:
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)


# --- the history of the template ----------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the template, in which the working tree is one more commit, called `now`."""
    clone = tmp_path_factory.mktemp("history") / "template"
    git(TEMPLATE, "clone", "--quiet", "--shared", str(TEMPLATE), str(clone))
    git(clone, "rm", "-r", "--quiet", ".")
    copy_working_tree(clone)
    commit(clone, "The working tree")
    git(clone, "tag", NOW)
    return clone


@pytest.fixture(scope="module")
def template_at(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`template_at(commit)`: the folder of the template as it was then."""

    @cache
    def extract(revision: str) -> Path:
        folder = tmp_path_factory.mktemp(revision) / "template"
        command = ["git", "archive", revision]
        done = subprocess.run(command, cwd=repository, capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"the commit {revision} is not in this history")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return folder

    return extract


@contextmanager
def answers_of(template: Path) -> Iterator[None]:
    """Cookiecutter finds this template's own extension, not that of the working tree."""
    name = "torch_template_answers"
    ours = sys.modules.pop(name, None)
    sys.path.insert(0, str(template))
    try:
        yield
    finally:
        sys.path.remove(str(template))
        sys.modules.pop(name, None)
        if ours:
            sys.modules[name] = ours


@pytest.fixture(scope="module")
def made_at(
    template_at: Callable[[str], Path], config_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """`made_at(commit, task)`: what that template makes, as it was then."""

    @cache
    def make(revision: str, task: str) -> Path:
        template = template_at(revision)
        with answers_of(template):
            made = cookiecutter(
                str(template),
                no_input=True,
                extra_context={"task": task, "torch_build": "cpu"},
                output_dir=str(tmp_path_factory.mktemp("made")),
                config_file=str(config_file),
                accept_hooks=False,
            )
        return Path(made)

    return make


# --- what teams change --------------------------------------------------------------------------

# name: (file, what is replaced, by what); the lines that are new must be there after the update
EDITS = {
    "another model": (
        "models.py",
        r"^def make_model\(",
        'class OurModel(nn.Module):\n    """Our own."""\n\n\ndef make_model(',
    ),
    "another loss": (
        "criterion.py",
        r"^    def loss\(",
        '    def our_loss(self, scores: list[float]) -> float:\n        """Our own."""\n'
        "        return max(scores)\n\n    def loss(",
    ),
    "a new metric": (
        "criterion.py",
        r'^        return MetricCollection\((\{"accuracy".*\})\)$',
        r"        ours = \1\n"
        '        ours["our_accuracy"] = accuracy.clone()\n        return MetricCollection(ours)',
    ),
    "own data": (
        "loaders.py",
        r"^def make_data\(",
        'def our_scenes(folder: str) -> list[str]:\n    """Where our data is."""\n'
        '    return [f"{folder}/ours"]\n\n\ndef make_data(',
    ),
    "a changed default": ("hyperparameters.py", r"^(    batch_size: .*) = \d+$", r"\1 = 48"),
    "another changed default": (
        "hyperparameters.py",
        r"^(    learning_rate: .*) = [\d.e-]+$",
        r"\1 = 7e-4",
    ),
}
# Not everything was in every layout, nor is it in every task.
MAY_BE_MISSING = {"a new metric", "own data", "a changed default"}


@dataclass
class Team:
    """A project of a team: what it was, and what the team made of it."""

    project: Path
    made: Path
    new: Path
    ours: dict[str, str]
    """Path -> text of each file that the team changed."""

    def conflicts(self) -> list[str]:
        """The files in which git found a conflict."""
        return git(self.project, "diff", "--name-only", "--diff-filter=U").split()


def edit_as_a_team(project: Path) -> dict[str, str]:
    """Make every edit, rewrite the README and touch a file of a wing; path -> text."""
    package, edited = project / PACKAGE, {project / "README.md"}
    for name, (file, old, new) in EDITS.items():
        path = package / file
        text, count = re.subn(old, new, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
        assert count or name in MAY_BE_MISSING, f"{name}: nothing to change in {file}"
        path.write_text(text, "utf-8")
        edited.add(path)
    (project / "README.md").write_text("# Our project\n\nAsk Kim about the data.\n", "utf-8")
    for wing in filter(Path.is_dir, (package / name for name in set(WINGS.values()))):
        path = next(path for path in sorted(wing.glob("*.py")) if path.stat().st_size > 300)
        text = re.sub(
            "^(def|class|@)",
            r"def ours() -> int:\n    return 1\n\n\n\1",
            path.read_text("utf-8"),
            count=1,
            flags=re.M,
        )
        path.write_text(text, "utf-8")
        edited.add(path)
    return {path.relative_to(project).as_posix(): path.read_text("utf-8") for path in edited}


@pytest.fixture(scope="module")
def team_at(
    made_at: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Team]:
    """`team_at(old, new, task)`: a project made at `old`, committed, edited and committed."""

    def make(old: str, new: str, task: str, more: dict[str, str] | None = None) -> Team:
        made, then = made_at(old, task), made_at(new, task)
        project = Path(shutil.copytree(made, tmp_path_factory.mktemp("team") / made.name))
        for name, text in (more or {}).items():
            (project / name).write_text(text, "utf-8")
        git(project, "init", "--quiet", "--initial-branch", "main")
        commit(project, "From the template")
        ours = edit_as_a_team(project)
        commit(project, "Our own changes")
        return Team(project, made, then, ours)

    return make


# --- what must hold after every update ----------------------------------------------------------


def assert_nothing_is_lost(team: Team) -> None:
    """Every line that the team added is there, and every other file is the template's new one."""
    for name, text in team.ours.items():
        before = (team.made / name).read_text("utf-8").splitlines()
        after = (team.project / name).read_text("utf-8").splitlines()
        assert set(text.splitlines()) - set(before) <= set(after), name
    files = [path for path in team.new.rglob("*") if path.is_file()]
    for path in files:
        name = path.relative_to(team.new).as_posix()
        if name not in team.ours:
            assert (team.project / name).read_bytes() == path.read_bytes(), name
    listed = git(team.project, "ls-files", "--cached", "--others", "--exclude-standard").split()
    known = {path.relative_to(team.new).as_posix() for path in files}
    assert set(listed) <= known | team.ours.keys() | {".cruft.json"}  # and no .rej or .orig


def assert_conflicts_are_where_both_changed(team: Team) -> None:
    for name in team.conflicts():
        assert name in team.ours, f"nobody changed {name}"
        before, theirs = ((folder / name).read_text("utf-8") for folder in (team.made, team.new))
        assert changed_lines(before, team.ours[name]) & changed_lines(before, theirs), name


def changed_lines(before: str, after: str) -> set[int]:
    """The lines that were changed, and the one below them, for git sees neighbors as one place."""
    matcher = SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    changes = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    return {line for _, start, end, *_ in changes for line in range(start, end + 1)}


def assert_project_is_well(project: Path) -> None:
    """Its Python can be compiled and linted."""
    for path in project.rglob("*.py"):
        compile(path.read_text("utf-8"), str(path), "exec")
    run_python(project, "-m", "ruff", "check", "--no-cache", "--quiet")


def merge_template(team: Team) -> None:
    """What the project's README says, in one step; conflicts are the team's to end."""
    git(team.project, "branch", "template", "HEAD~1")
    git(team.project, "switch", "--quiet", "template")
    git(team.project, "rm", "-r", "--quiet", ".")
    shutil.copytree(team.new, team.project, dirs_exist_ok=True)
    commit(team.project, "Update of the template")
    git(team.project, "switch", "--quiet", "main")
    git(team.project, "merge", "--quiet", "--no-edit", "template", may_fail=True)


def test_whole_history_is_tried() -> None:
    """Where a clone is shallow, the pairs that it lacks are skipped; elsewhere none may be."""
    if git(TEMPLATE, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("this clone is shallow: updates from older commits are not tried")
    missing = [
        revision
        for revision in HISTORY
        if revision != NOW
        and not git(TEMPLATE, "rev-parse", "--quiet", "--verify", revision, may_fail=True)
    ]
    assert not missing
    assert len(PAIRS) >= 10


@pytest.mark.parametrize(("old", "new", "task"), PAIRS, ids=NAMES)
def test_git_alone_brings_an_update_and_keeps_what_the_team_changed(
    old: str, new: str, task: str, team_at: Callable[..., Team]
) -> None:
    team = team_at(old, new, task)
    merge_template(team)
    assert_nothing_is_lost(team)
    assert_conflicts_are_where_both_changed(team)
    if new not in FIRST_LAYOUT and not [name for name in team.conflicts() if name.endswith(".py")]:
        assert_project_is_well(team.project)
        if new == NOW:
            run_python(team.project, "-m", "pytest", "-q", "tests/test_layout.py")


@pytest.mark.parametrize(("old", "new", "task"), PAIRS, ids=NAMES)
def test_cruft_brings_an_update_and_keeps_what_the_team_changed(
    old: str,
    new: str,
    task: str,
    team_at: Callable[..., Team],
    template_at: Callable[[str], Path],
    repository: Path,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(config_file))
    commits = [git(repository, "rev-parse", name).strip() for name in (old, new)]
    state = {
        **{"template": str(repository), "commit": commits[0], "checkout": None, "directory": None},
        "context": {"cookiecutter": {"task": task, "torch_build": "cpu"}},
    }
    team = team_at(old, new, task, {".cruft.json": json.dumps(state)})
    with answers_of(template_at(new)):  # as `uvx --with` installs it: the newest one for both
        assert cruft.update(team.project, skip_apply_ask=True, checkout=commits[1])
    assert_nothing_is_lost(team)
    assert_conflicts_are_where_both_changed(team)
    assert json.loads((team.project / ".cruft.json").read_text("utf-8"))["commit"] == commits[1]


# --- an update of everything, as users type it ---------------------------------------------------


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template in git: as it is (`before`), and with changes of all that is ours."""
    copy = tmp_path_factory.mktemp("update") / "template"
    copy_working_tree(copy)
    git(copy, "init", "--quiet")
    commit(copy, "As it is")
    git(copy, "tag", "before")
    change_the_template(copy)
    commit(copy, "An update of all that is the template's")
    return copy


def change_the_template(template: Path) -> None:
    """Real changes in the engine, the commands, the report and the wings; a file; a question."""
    package = template / "{{cookiecutter.project_slug}}" / "{{cookiecutter.__package}}"
    for name, old, new in (
        ("engine/files.py", "def shorten(", "def first_line(text: str) -> str:\n"
         '    """Its first line."""\n    return text.partition("\\n")[0]\n\n\ndef shorten('),
        ("engine/errors.py", "Free some space.", "Delete some files."),
        ("cli/main.py", '"Interrupted."', '"Stopped by Ctrl-C."'),
        ("report/style.py", '"font.size": 9', '"font.size": 10'),
        ("report/page.html.jinja", "<h2>The run</h2>", "<h2>This run</h2>"),
        ("../../cookiecutter.json", '"ci": [', '"color": ["green", "blue"],\n  "ci": ['),
    ):  # fmt: skip
        path = package / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
    for path in (template / "templates").glob("*/*/*.py"):
        if path.parent.name in {"wing", *WINGS.values()}:
            path.write_text(path.read_text("utf-8") + "\nUPDATED = True\n", encoding="utf-8")
    for task in CHOICES["task"]:
        folder = template / "templates" / task / WINGS[task]
        (folder / "added.py").write_text('"""What the update adds."""\n', encoding="utf-8")


def assert_update_arrived(project: Path, task: str) -> None:
    package = project / PACKAGE
    assert "def first_line(" in (package / "engine/files.py").read_text("utf-8")
    assert "Stopped by Ctrl-C." in (package / "cli/main.py").read_text("utf-8")
    assert "This run" in (package / "report/page.html.jinja").read_text("utf-8")
    wing = package / WINGS[task]
    assert (wing / "added.py").is_file()
    others = [path for path in wing.glob("*.py") if path.name not in ("added.py", "__init__.py")]
    assert others and all("UPDATED" in path.read_text("utf-8") for path in others)
    answers = yaml.safe_load((project / ".template.yaml").read_text("utf-8"))
    assert answers["default_context"]["color"] == "green"  # the default of the new question
    assert answers["default_context"]["task"] == task


def test_cruft_makes_and_updates_a_project_that_trains(
    changed: Path, config_file: Path, tmp_path: Path
) -> None:
    more = {"PYTHONPATH": str(changed), "COOKIECUTTER_CONFIG": str(config_file)}
    options = [
        "--no-input",
        "--checkout",
        "before",
        "--extra-context",
        json.dumps({"task": IMAGES}),
    ]
    run_python(tmp_path, "-m", "cruft", "create", str(changed), *options, more=more)
    (project,) = tmp_path.iterdir()
    git(project, "init", "--quiet")
    commit(project, "New project")
    edited = edit_as_a_team(project)
    commit(project, "Our own changes")
    last = git(changed, "rev-parse", "HEAD").strip()
    update = ["update", "--skip-apply-ask", "--checkout", last]
    run_python(project, "-m", "cruft", *update, more=more)
    listed = git(project, "ls-files", "--others", "--exclude-standard").split()
    assert not [name for name in listed if name.endswith((".rej", ".orig"))]
    wing_file = next(name for name in edited if "/vision/" in name)
    edited[wing_file] += "\nUPDATED = True\n"
    ends = {name: (project / name).read_text("utf-8") for name in edited}
    assert {name for name in edited if ends[name] != edited[name]} <= {wing_file}
    assert_update_arrived(project, IMAGES)
    run_python(project, "-m", "pytest", "-q", "tests/test_layout.py")
    run_python(project, "train.py", "--fast-dev-run", "--device", "cpu", "--no-report")


def test_readme_says_how_git_alone_updates_a_project(
    changed: Path, config_file: Path, tmp_path: Path
) -> None:
    """Also on a machine without the settings, the cache and the build of the first one."""
    command = ["-m", "cookiecutter", str(changed), "--no-input", "--config-file", str(config_file)]
    command += ["--checkout", "before", f"task={TABLES}", "project_name=A {{ '{' }}{ b }} \\ 'c'"]
    command += ["project_slug=my-torch-project", "-o", str(tmp_path / "work")]
    build = {"TORCH_BACKEND": "cu126"}
    git(changed, "checkout", "--quiet", "before")
    run_python(tmp_path, *command, more=build)
    git(changed, "checkout", "--quiet", "-")
    project = tmp_path / "work" / "my-torch-project"
    git(project, "init", "--quiet", "--initial-branch", "main")
    commit(project, "New project")
    edited = edit_as_a_team(project)
    (project / "README.md").write_text("", "utf-8")
    git(project, "checkout", "HEAD", "README.md")
    text = (project / "README.md").read_text("utf-8")
    commit(project, "Our own changes")
    section = text.partition("### Updates of the template\n")[2]
    first, update = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (root,) = git(project, "rev-list", "--max-parents=0", "HEAD").split()
    for line in [*first.splitlines(), *update.splitlines()]:
        words = shlex.split(line.replace("$(git rev-list --max-parents=0 HEAD)", root))
        if words[0] == "git":
            git(project, *words[1:])
        else:
            assert words[:3] == ["uvx", "cookiecutter", "TEMPLATE"]
            run_python(project, "-m", "cookiecutter", str(changed), *words[3:])
    assert_update_arrived(project, TABLES)
    for name in edited.keys() - {"README.md"}:
        lines = (project / name).read_text("utf-8").splitlines()
        assert set(edited[name].splitlines()) <= set(lines)
    assert 'default-groups = ["dev", "cu126"]' in (project / "pyproject.toml").read_text("utf-8")
    assert "whl/cu126" in (project / "requirements-torch.txt").read_text("utf-8")
    assert (project / "README.md").read_text("utf-8") == text
    assert not (tmp_path / "work" / "update" / "my-torch-project").exists()
    assert not git(project, "status", "--porcelain")
