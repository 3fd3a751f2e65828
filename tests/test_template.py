"""The template's own files: legal on every system, and readable without knowing Jinja."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from conftest import CHOICES, PROJECT, QUESTIONS, TEMPLATE, Render
from public_names import problems_of

TASKS = CHOICES["task"]
TEMPLATES = TEMPLATE / "templates"
PACKAGE = PROJECT / "{{cookiecutter.__package}}"
# Folder of the rendered package -> the function that names its slots; see torch_template_answers.
SLOTS = {"{{cookiecutter.__wing}}": "wing", "report": "report"}
INCLUDE = re.compile(r'{% include cookiecutter\.task ~ "/[a-z_/]+\.py" %}\n')
# The only answers in Python, and only outside the package, which imports relatively.
ANSWERS = re.compile(r"{{ cookiecutter\.__(package|wing) }}")
ILLEGAL_ON_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
# What an exported model's server starts with: export copies them by name.
OF_SERVER = ("endpoint", "model_server")


def tracked_files() -> list[PurePosixPath]:
    """What a clone holds, and what is about to be in it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, check=True, text=True)
    return [PurePosixPath(name) for name in sorted(set(listed.stdout.split("\0"))) if name]


def python_of_projects() -> list[Path]:
    return [path for root in (PROJECT, TEMPLATES) for path in root.rglob("*.py")]


def slots_of(folder: str) -> list[Path]:
    return [path for path in (PACKAGE / folder).iterdir() if path.name.startswith("{{")]


def wing_of(task: str) -> str:
    wings: dict[str, str] = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))[
        "_wings"
    ]
    return wings[task]


def shared_with(task: str) -> list[str]:
    """The files of templates/shared that a task gets."""
    return (TEMPLATES / task / "shared.txt").read_text("utf-8").splitlines()


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
    if path.parent.name == "tests" or path.parent == PROJECT:
        text = ANSWERS.sub("answer", text)

    # An f-string with doubled braces would be rendered away without a word.
    assert not re.search(r"{{|{%|{#", text)


@pytest.mark.parametrize("folder", SLOTS)
def test_slots_are_numbered_and_include_the_file_of_their_number(folder: str) -> None:
    kind = SLOTS[folder]
    slots = {path.name: path.read_text("utf-8") for path in slots_of(folder)}

    numbers = range(1, len(slots) + 1)
    assert slots == {
        f"{{{{{kind}_file({n})}}}}": f"{{% include {kind}_path({n}) %}}\n" for n in numbers
    }


@pytest.mark.parametrize("task", TASKS)
def test_there_is_a_slot_for_every_file_of_a_task(task: str) -> None:
    for folder, name in (("{{cookiecutter.__wing}}", wing_of(task)), ("report", "report")):
        files = [path.name for path in (TEMPLATES / task / name).glob("*.py")]
        files += [Path(line).name for line in shared_with(task) if line.startswith(f"{name}/")]
        plain = {path.name for path in (PACKAGE / folder).glob("*.py")}

        assert len(files) <= len(slots_of(folder))
        assert len({*files, *plain}) == len(files) + len(plain), "two files with the same name"


@pytest.mark.parametrize("task", TASKS)
def test_every_file_of_a_task_reaches_its_projects(task: str) -> None:
    folder = TEMPLATES / task
    files = [path for path in PROJECT.rglob("*.*") if path.is_file()]
    files += TEMPLATES.glob("*.*")  # included as a whole
    project = "\n".join(path.read_text("utf-8") for path in files)

    for path in folder.rglob("*.*"):
        name = path.relative_to(folder).as_posix()
        by_slot = re.fullmatch(rf"({wing_of(task)}|report)/\w+\.py", name)
        by_name = f'{{% include cookiecutter.task ~ "/{name}" ' in project
        assert by_slot or by_name or name == "shared.txt", name


def test_shared_files_are_those_that_several_tasks_have() -> None:
    users = [name for task in TASKS for name in shared_with(task)]
    shared = TEMPLATES / "shared"

    assert {path.relative_to(shared).as_posix() for path in shared.rglob("*.*")} == set(users)
    assert [name for name in set(users) if users.count(name) < 2] == []
    for task in TASKS:
        assert all(
            name.startswith((f"{wing_of(task)}/", "wing/", "report/")) for name in shared_with(task)
        )


@pytest.mark.parametrize("task", TASKS)
def test_every_file_of_a_wing_and_of_the_report_is_imported(rendered: Render, task: str) -> None:
    package = rendered(task=task) / "my_torch_project"
    modules = {
        module
        for name in (wing_of(task), "report")
        for module in (Path(name, path.stem) for path in package.glob(f"{name}/*.py"))
    }

    unused = modules - imported_in(package)
    assert {path for path in unused if path.name not in ("__init__", *OF_SERVER)} == set()


def test_every_file_of_the_engine_is_imported_in_some_task(rendered: Render) -> None:
    packages = [rendered(task=task) / "my_torch_project" for task in TASKS]
    modules = {Path("engine", path.stem) for path in packages[0].glob("engine/*.py")}
    imported = set.union(*map(imported_in, packages))

    unused = modules - imported
    assert {path for path in unused if path.name not in ("__init__", *OF_SERVER)} == set()


def imported_in(package: Path) -> set[Path]:
    """The modules of a package that its modules import, and other paths, which do not exist."""
    found = set[Path]()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].relative_to(package)
                module = base.joinpath(*(node.module or "").split("."))
                found |= {module, *(module / alias.name for alias in node.names)}
    return found


@pytest.mark.parametrize("task", TASKS)
def test_projects_use_only_what_other_packages_make_public(rendered: Render, task: str) -> None:
    assert problems_of(rendered(task=task) / "my_torch_project") == []


def test_detection_uses_only_what_other_packages_make_public() -> None:
    assert problems_of(TEMPLATE / "detection") == []


# What Windows lacks, and what is there but needs rights or means something else.
POSIX_MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
POSIX_NAMES = re.compile(
    r"os\.(fork\w*|[gs]et(e|r|s|p)?[ug]id|getgroups|kill|killpg|nice|chown|chroot|mkfifo|mknod"
    r"|sched_\w+|sysconf|statvfs|uname|getloadavg|symlink|link|umask|wait(3|4|pid)?|O_DIRECTORY)"
    r"|signal\.(SIG(KILL|HUP|USR1|USR2|ALRM|CHLD|QUIT|STOP|PIPE)|alarm|setitimer|pthread_\w+)"
    r"|(Path\b.*|\w+)\.(symlink_to|hardlink_to)"
)
MAY_BE_POSIX = "machine.py"  # in engine/


def posix_only(tree: ast.AST) -> Iterator[str]:
    """Modules and names that are used and that Windows does not have."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from POSIX_MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from POSIX_MODULES & {node.module or ""}
        elif isinstance(node, ast.Attribute) and POSIX_NAMES.fullmatch(ast.unparse(node)):
            yield ast.unparse(node)


@pytest.mark.parametrize("task", TASKS)
def test_only_one_module_calls_what_windows_does_not_have(rendered: Render, task: str) -> None:
    project = rendered(task=task)
    found = {
        path.relative_to(project).as_posix(): [*posix_only(ast.parse(path.read_text("utf-8")))]
        for path in project.rglob("*.py")
    }

    assert found.pop(f"my_torch_project/engine/{MAY_BE_POSIX}")
    assert {path: names for path, names in found.items() if names} == {}


WINDOWS_LACKS = """
import fcntl; from resource import getrusage; os.getuid(); os.fork(); os.umask(2); signal.SIGKILL
signal.alarm(1); path.symlink_to(other); os.sched_getaffinity(0)
"""


@pytest.mark.parametrize("code", re.split(r"; |\n", WINDOWS_LACKS.strip()))
def test_calls_that_windows_does_not_have_are_found(code: str) -> None:
    assert list(posix_only(ast.parse(code)))
    assert not list(posix_only(ast.parse("os.getpid(); signal.SIGINT; os.replace(a, b)")))


PLANTED = {
    "import torch._dynamo": "_dynamo is private",
    "from torch._dynamo import config": "_dynamo is private",
    "from torch.optim.adam import _single": "_single is private",
    "model._modules.clear()": "_modules is private",
    "self._parameters.clear()": "_parameters is private",
    "getattr(model, '_modules')": "_modules is private",
    "import importlib; importlib.import_module('torch._dynamo')": "_dynamo is private",
    "import torch; torch.save = print": "torch.save is replaced",
    "import torch; torch.nn.Linear.forward = print": "torch.nn.Linear.forward is replaced",
    "import torch; del torch.save": "torch.save is replaced",
    "from torch import nn; setattr(nn.Linear, 'forward', 1)": "nn.Linear.forward is replaced",
    "import sys; sys.modules['scipy'] = None": "sys.modules is changed",
    "import sys; del sys.modules['scipy']": "sys.modules is changed",
    "import sys; sys.modules.pop('scipy')": "sys.modules is changed",
    "import ctypes; ctypes.CDLL(None)": "the C library is called",
    "import ctypes; ctypes.CDLL('libc.so.6')": "the C library is called",
}
HARMLESS = """
import sys
import torch
from . import _own
from ._own import _name
_known = 1
class Thing:
    def __init__(self):
        self._mine = _own._known
        self.__class__.__name__
def use(thing):
    sys.excepthook = sys.unraisablehook = print
    torch.backends.cudnn.benchmark = True
    return thing._mine, thing._asdict(), sys.modules['torch'], thing.attribute
"""


@pytest.mark.parametrize("code", PLANTED)
def test_code_that_reaches_into_another_package_is_found(code: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"\n{code}\n", encoding="utf-8")

    assert problems_of(tmp_path) == [f"{tmp_path.name}/module.py:2: {PLANTED[code]}"]


def test_a_packages_own_names_and_documented_hooks_are_not_refused(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(HARMLESS, encoding="utf-8")

    assert problems_of(tmp_path) == []


def test_every_question_and_choice_has_words() -> None:
    prompts = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["__prompts__"]

    assert list(prompts) == list(QUESTIONS)
    for question, options in CHOICES.items():
        assert set(prompts[question]) == {"__prompt__", *options}


def test_there_is_one_template_folder() -> None:
    """Cookiecutter takes the first folder that looks like one."""
    assert [path.name for path in TEMPLATE.iterdir() if "{{" in path.name] == [PROJECT.name]


def test_the_licenses_are_those_of_the_question() -> None:
    texts = (TEMPLATES / "licenses").glob("*.txt")

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
