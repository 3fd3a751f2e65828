"""Refuses answers that no project can carry, and prepares the others for the files.

Cookiecutter loads this module by its name in `_extensions` of cookiecutter.json and uses its
filters in the hidden `__values` there. So an answer is refused with one sentence as soon as it is
given, before a folder or the replay file is written, with hooks or without. (A pre_gen_project
hook comes too late: the folder is there by then, a slug like `a/b` leaves `a` behind, and
cookiecutter prints a traceback.)
"""

from __future__ import annotations

import json
import keyword
import os
import re
import sys
import unicodedata
from pathlib import Path

import click
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context
from slugify import slugify

SLUG = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
MAX_SLUG_LENGTH = 50
# Plain ASCII addresses: no quoted names, no spaces, nothing that TOML would need to escape.
EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)

EXTRAS = ("agents", "container", "korean", "notebook", "vscode")

STARTED_IN = Path.cwd()  # cookiecutter goes elsewhere to render
QUESTIONS = Path(__file__).with_name("cookiecutter.json")  # not there if this is installed

# A package of such a name would hide what the project imports, or stand where git looks away.
PROJECT_FILES = "build data dist env runs test tests train venv"
DEPENDENCIES = """
    torch torchvision torchaudio torchmetrics torchgen functorch triton nvidia cuda
    pydantic pydantic_core annotated_types typing_inspection
    numpy pandas scipy sklearn scikit_learn joblib threadpoolctl matplotlib mpl_toolkits pylab
    tyro tqdm jinja2 markupsafe tomli_w pil pillow rich pygments markdown_it markdown_it_py mdurl
    docstring_parser typeguard narwhals sympy mpmath networkx fsspec filelock packaging
    lightning_utilities contourpy cycler fonttools kiwisolver pyparsing dateutil python_dateutil
    typing_extensions six yaml pyyaml setuptools pip wheel hatchling uv cookiecutter
    onnx onnxruntime onnxscript onnx_ir ml_dtypes google flatbuffers
    fastapi starlette uvicorn h11 httptools anyio prometheus_client
    babel pycocotools faster_coco_eval alembic mlflow sqlalchemy tensorboard wandb
    ipykernel ipython pytest iniconfig pluggy ruff mypy mypy_extensions pathspec pre_commit
    virtualenv
"""
# The last two came with Python 3.14, and cookiecutter itself may run on an older one.
STANDARD_LIBRARY = {*map(str.lower, sys.stdlib_module_names), "annotationlib", "compression"}
WINDOWS = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


class AnswerRefused(FailedHookException):
    """An answer that no project can carry; cookiecutter prints the sentence and exits with 1."""


def one_line(text: str, question: str) -> str:
    """`text` with every white space as one space; refuses what is empty or cannot be printed."""
    line = " ".join(text.split())
    for character in line:
        if unicodedata.category(character) in {"Cc", "Cs"}:
            raise AnswerRefused(
                f"{question} contains the character {character!a}, which cannot be printed: "
                "leave it out."
            )
    if not line and question != "description":
        raise AnswerRefused(f"{question} is empty: give it at least one letter.")
    return line


def toml(line: str) -> str:
    """`line`, which has passed `one_line`, as a string of TOML or YAML with its quotes."""
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    shown = (c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)
    return f'"{"".join(shown)}"'


def default_slug(name: str) -> str:
    """A usable folder name for any project name: romanized, never reserved, never empty."""
    slug = slugify(name)
    if not slug or slug[0].isdigit():
        slug = f"project-{slug}" if slug else "torch-project"
    if why_reserved(slug):
        slug = f"{slug}-project"
    return slug[:MAX_SLUG_LENGTH].strip("-")


def package_of(slug: str) -> str:
    """The package's name for a folder name; refuses a folder name that cannot be one."""
    problem = ""
    if not SLUG.fullmatch(slug):
        problem = "must be small letters a-z, digits and single hyphens, beginning with a letter"
    elif len(slug) > MAX_SLUG_LENGTH:
        problem = f"is longer than {MAX_SLUG_LENGTH} characters"
    elif reason := why_reserved(slug):
        problem = f"is {reason}"
    if problem:
        shown = slug if len(slug) <= MAX_SLUG_LENGTH else f"{slug[:MAX_SLUG_LENGTH]}..."
        raise AnswerRefused(f"project_slug {shown!a} {problem}: try {default_slug(slug)!r}.")
    return slug.replace("-", "_")


def why_reserved(slug: str) -> str:
    """Why a package cannot have this name, or nothing."""
    package = slug.replace("-", "_")
    reasons = {
        "a keyword of Python": keyword.iskeyword(package),
        "a module of Python's standard library": package in STANDARD_LIBRARY,
        "the name of a library that the project uses": package in DEPENDENCIES.split(),
        "the name of something else in the project": package in PROJECT_FILES.split(),
        "a name that Windows keeps for itself": package in WINDOWS,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def email(text: str, question: str) -> str:
    """An address without the white space around it; refuses what is no plain e-mail address."""
    address = one_line(text, question)
    if not EMAIL.fullmatch(address):
        raise AnswerRefused(
            f"{question} {address!a} is not a plain e-mail address: "
            "write it like name@example.com, without accents."
        )
    return address


def extras(text: str) -> str:
    """The extras that were asked for, in the order of ``EXTRAS``, with commas between them."""
    asked = set(re.findall(r"[^\s,;]+", text.lower())) or {""}
    if unknown := sorted(asked - {*EXTRAS, "all", "none"}):
        known = ", ".join(EXTRAS)
        raise AnswerRefused(f"extras has no {unknown[0][:40]!a}: choose of {known}; all; or none.")
    return ",".join(name for name in EXTRAS if asked & {name, "all"})


class TaskFiles:
    """Which files a task brings into a folder of the project: its own, and those of `shared.txt`.

    The folder has numbered slots: a file named `{{wing_file(1)}}` becomes the first of them, and
    includes `wing_path(1)`. A slot that is left over has an empty name, which cookiecutter skips.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._paths: dict[tuple[str, str], list[str]] = {}

    @pass_context
    def name(self, context: Context, number: int) -> str:
        """The name of the file in slot `number`, counted from 1."""
        return self.path(context, number).rpartition("/")[2]

    @pass_context
    def path(self, context: Context, number: int) -> str:
        """Its path below templates/."""
        answers = context["cookiecutter"]
        folder = answers["__wing"] if self.folder == "wing" else self.folder
        key = (answers["task"], folder)
        if key not in self._paths:
            self._paths[key] = self._find(context.environment, *key)
        return [*self._paths[key], *[""] * number][number - 1]

    def _find(self, environment: Environment, task: str, folder: str) -> list[str]:
        assert environment.loader is not None
        own = f"{task}/{folder}/"
        every = environment.loader.list_templates()
        paths = [path for path in every if path.startswith(own) and path.endswith(".py")]
        text, _, _ = environment.loader.get_source(environment, f"{task}/shared.txt")
        folders = (f"{folder}/", "wing/") if self.folder == "wing" else (f"{folder}/",)
        shared = [f"shared/{line}" for line in text.split() if line.startswith(folders)]
        return sorted([*paths, *shared], key=lambda path: path.rpartition("/")[2])


def refuse_wrong_command() -> None:
    """Say in one sentence what cookiecutter's command would ignore, or say by a traceback."""
    command = click.get_current_context(silent=True)
    options = command.params if command else {}
    given, output, path = options.get("extra_context"), options.get("output_dir"), QUESTIONS
    if isinstance(given, dict) and path.is_file():
        known = json.loads(path.read_text("utf-8"))
        shown = ", ".join(name for name in known if not name.startswith("_"))
        for name in given:
            if name not in known:
                raise AnswerRefused(f"There is no question {name!a}: they are {shown}.")
    if output:
        folder = Path(output).absolute()
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            reason = "cannot be written to" if there.is_dir() else "is not a folder"
            raise AnswerRefused(f"{str(there)!a} {reason}: name another one with --output-dir.")


def template_folder() -> str:
    """The template's folder, as the inside of a string literal of Python.

    Cookiecutter and cruft render hooks while the template's folder is the current one. This module
    may be elsewhere: cruft needs it installed.
    """
    here = Path.cwd()
    return literal(here if (here / "detection").is_dir() else Path(__file__).resolve().parent)


def started_in() -> str:
    """The folder in which the user typed the command, likewise."""
    return literal(STARTED_IN)


def literal(folder: Path) -> str:
    """A path as the inside of a string literal of Python: ASCII with escapes."""
    escaped = folder.as_posix().encode("unicode_escape").decode("ascii")
    return escaped.replace('"', '\\"')


RENDERED: set[str] = set()  # the project's files that cookiecutter has rendered in this run


def was_rendered(name: str) -> bool:
    """Whether this run has written the file; --skip-if-file-exists keeps one that was there."""
    is_new = name in RENDERED
    RENDERED.discard(name)  # the next run in this process begins anew
    return is_new


class Answers(Extension):
    """Gives the filters and functions above to cookiecutter's templates."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Jinja calls it for every file that it renders; the text stays as it is."""
        if name:
            RENDERED.add(name)
        return source

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        refuse_wrong_command()
        filters = (one_line, toml, default_slug, package_of, email, extras)
        environment.filters.update({function.__name__: function for function in filters})
        functions = (template_folder, started_in, was_rendered)
        environment.globals |= {function.__name__: function for function in functions}
        for folder in ("wing", "report"):
            files = TaskFiles(folder)
            environment.globals |= {f"{folder}_file": files.name, f"{folder}_path": files.path}
