"""What may be typed for train and find-lr: the hyperparameters, and what is about one call only.

Needs no torch, so that ``--help`` and refusals come at once.
"""

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from .hyperparameters import Hyperparameters
from .settings import Count, CountOrZero, Range
from .stored_settings import machine_layer, read_toml

PROGRAM = f"python -m {__package__}"


@dataclass(frozen=True)
class Arguments(Hyperparameters):
    """What both commands take: hyperparameters, one of which may be yet to be found."""

    batch_size: Annotated[Count, tyro.conf.Fixed, tyro.conf.Suppress] = Hyperparameters.batch_size
    """A number, always; what is typed comes into the field below."""
    config: Path | None = None
    """TOML file of hyperparameters, such as the hyperparameters.toml of an earlier run."""
    wanted_batch_size: Annotated[Count | Literal["auto"], tyro.conf.arg(name="batch-size")] = (
        Hyperparameters.batch_size
    )
    """Samples per optimizer step, over all processes and accumulation steps together. auto: the
    most that fit in memory, found by trying; the number decides the result like any other, and
    wants a learning rate of its own (find-lr)."""

    def __post_init__(self) -> None:
        auto = self.wanted_batch_size == "auto"
        # Until it is found, each part of a batch has as many samples as it has by default.
        placeholder = Hyperparameters.batch_size * self.accumulation_steps
        number = placeholder if auto else self.wanted_batch_size
        object.__setattr__(self, "batch_size", number)
        super().__post_init__()

    def hyperparameters(self) -> Hyperparameters:
        """What decides the result, without what is about this call."""
        names = (item.name for item in dataclasses.fields(Hyperparameters))
        return Hyperparameters(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class TrainArguments(Arguments):
    """Train a model; each run gets a folder of its own below runs/.

    Lowest first: the defaults, device.toml (this machine), --config, the flags.
    """

    run: str | None = None
    """Name of the run. None: the time."""
    resume: str | None = None
    """Go on with this run (its name, its folder, or latest) exactly where it stopped."""
    report: bool = True
    """Draw the figures and write the report at the end."""
    profile: CountOrZero = 0
    """Measure where the time of this many steps goes, and write a trace of them; 0: none."""


@dataclass(frozen=True)
class FindLrArguments(Arguments):
    """Try learning rates from tiny to huge in one short training, and propose one.

    Takes the flags of train, and keeps no run: only the picture of the curve is written.
    """

    steps: Annotated[int, Range(50)] = 100
    """Optimizer steps in which the rate rises; more give a smoother curve."""
    output: Path = Path("learning-rate.png")
    """File of the picture (PNG)."""


A = TypeVar("A", bound=Arguments)


def parse_train(argv: Sequence[str]) -> TrainArguments:
    """The arguments of train."""
    return parse(TrainArguments, "train", argv)


def parse(kind: type[A], command: str, argv: Sequence[str]) -> A:
    """The arguments of a command with all layers applied."""
    layers = [machine_layer()]
    before = argparse.ArgumentParser(prog=program(command), add_help=False, allow_abbrev=False)
    before.add_argument("--config", type=Path)
    before.add_argument("--resume")
    known = before.parse_known_args(argv)[0]
    if known.resume is not None and issubclass(kind, TrainArguments):
        from . import runs

        path = runs.find(known.resume) / "hyperparameters.toml"
        layers.append((str(path), read_toml(path)))
    if known.config is not None:
        layers.append((str(known.config), read_toml(known.config)))
    defaults = kind.from_layers(*(_with_wish(*layer) for layer in layers))
    write_optional(kind)
    return tyro.cli(kind, prog=program(command), args=argv, default=defaults)


def _with_wish(origin: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A layer whose batch size is where ``Arguments`` takes it from."""
    names = {"batch_size": "wanted_batch_size"}
    return origin, {names.get(name, name): value for name, value in values.items()}


def write_optional(arguments: type) -> None:
    """Let the class say ``Optional[X]`` for ``X | None``: the same, but tyro knows it at sight.

    For the other one, before Python 3.14, it loads a type checker, which makes ``--help`` half as
    long again.
    """
    for name, hint in typing.get_type_hints(arguments, include_extras=True).items():
        if isinstance(hint, types.UnionType):
            arguments.__annotations__[name] = typing.Union[typing.get_args(hint)]  # noqa: UP007


def typed_flags(argv: Sequence[str]) -> frozenset[str]:
    """Names of the hyperparameters that are among the flags."""
    flags = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    names = {flag.replace("-", "_") for flag in flags | {f.removeprefix("no-") for f in flags}}
    return frozenset(item.name for item in dataclasses.fields(Hyperparameters)) & names


def program(command: str) -> str:
    """The command as the user typed it, for messages."""
    script = Path(sys.argv[0]).name
    return f"python {script}" if script == f"{command}.py" else f"{PROGRAM} {command}"
