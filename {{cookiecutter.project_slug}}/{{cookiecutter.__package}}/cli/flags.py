"""The flags of a command, in groups: ``--help`` shows those of the steps first.

A heading in a class of settings is a comment below an empty line and above a field. It is the group
of all fields that follow.
"""

import ast
import dataclasses
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

T = TypeVar("T")
DEFAULT_GROUP = "Run"


def ask(kind: type[T], default: T, prog: str, argv: Sequence[str]) -> dict[str, Any]:
    """The values of the dataclass ``kind``, from the flags and ``default``."""
    hints = get_type_hints(kind, include_extras=True)
    groups: dict[str, list[Any]] = defaultdict(list)
    for name, group, text in described_fields(kind):
        flag: Any = Annotated[hints[name], tyro.conf.arg(help=text)]
        groups[group].append((name, flag, dataclasses.field(default=getattr(default, name))))
    fields: list[Any] = []
    for number, (group, members) in enumerate(groups.items()):
        made = dataclasses.make_dataclass(f"Group{number}", members, frozen=True)
        part: Any = Annotated[made, tyro.conf.arg(name=group)]
        fields.append((f"group_{number}", part, dataclasses.field(default_factory=made)))
    answers: Any = tyro.cli(
        dataclasses.make_dataclass("Flags", fields),
        prog=prog,
        description=inspect.getdoc(kind),
        args=argv,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return {name: value for part in vars(answers).values() for name, value in vars(part).items()}


def described_fields(kind: type) -> Iterator[tuple[str, str, str]]:
    """Of each field its name, its group, and the text below it."""
    described: dict[str, tuple[str, str, str]] = {}
    for part in kind.__mro__[:-1]:
        for name, group, text in _read_class(part):
            described.setdefault(name, (name, group, text))
    for field in dataclasses.fields(kind):
        yield described[field.name]


def _read_class(kind: type) -> Iterator[tuple[str, str, str]]:
    source = textwrap.dedent(inspect.getsource(kind))
    lines, group = source.splitlines(), DEFAULT_GROUP
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        before, above = (line.strip() for line in lines[node.lineno - 3 : node.lineno - 1])
        if above.startswith("# ") and not before:
            group = above.removeprefix("# ")
        text = after.value if isinstance(after, ast.Expr) else None
        words = str(text.value).split() if isinstance(text, ast.Constant) else []
        yield node.target.id, group, " ".join(words)
