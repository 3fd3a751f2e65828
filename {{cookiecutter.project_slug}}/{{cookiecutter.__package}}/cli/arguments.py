"""The flags of the commands that train: hyperparameters, settings of the run, and of the call.

Needs no torch, so that ``--help`` and refusals come at once.
"""

import argparse
import dataclasses
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..engine.errors import UserError
from ..engine.files import PROJECT, read_toml
from ..engine.run_directory import find_run, quote
from ..engine.settings import (
    Count,
    DebugSettings,
    Fraction,
    RunSettings,
    StartSettings,
    from_plain,
    plain_values,
    to_plain,
)
from ..hyperparameters import Hyperparameters
from .flags import ask

PACKAGE = __name__.partition(".")[0]
ONLY_TRAIN = {"limit_batches", "overfit_batches", "track", "checkpoint_every", "requeue_signal"}
"""Settings that no other command with the flags of train would follow."""


@dataclass(frozen=True)
class Settings(StartSettings, DebugSettings, RunSettings, Hyperparameters):
    """All that has a default, a place in the TOML files, and a flag."""

    def __post_init__(self) -> None:
        _ = self.hparams, self.run_settings, self.start_settings  # each checks itself

    @property
    def hparams(self) -> Hyperparameters:
        """What decides the result."""
        return take(Hyperparameters, vars(self))

    @property
    def run_settings(self) -> RunSettings:
        """How the run runs."""
        return take(RunSettings, vars(self))

    @property
    def debug_settings(self) -> DebugSettings:
        """Whether the run is only a trial."""
        return take(DebugSettings, vars(self))

    @property
    def start_settings(self) -> StartSettings:
        """Where the weights come from."""
        return take(StartSettings, vars(self))


@dataclass(frozen=True)
class RowOptions:
    """What can be chosen of predictions."""

    top: Count = 1
    """How many classes to list, the most probable first."""
    min_score: Fraction = 0.3
    """Boxes with a lower score are left out."""


T = TypeVar("T")
S = TypeVar("S", bound=Settings)


def take(kind: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass ``kind``, made from those of the ``values`` that it has."""
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values[name] for name in names if name in values})


def parse(kind: type[S], command: str, argv: Sequence[str]) -> S:
    """The arguments of a command. Lowest first: defaults, device.toml, --config, flags.

    A resumed run brings its own hyperparameters.toml, in the place of device.toml.
    """
    early = argparse.ArgumentParser(prog=program(command), add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    early.add_argument("--resume")
    known = early.parse_known_args(argv)[0]
    files = [PROJECT / "device.toml"] if (PROJECT / "device.toml").exists() else []
    if known.resume is not None and "resume" in {item.name for item in dataclasses.fields(kind)}:
        files.append(find_run(known.resume) / "hyperparameters.toml")
    if known.config is not None:
        files.append(known.config)
    values: dict[str, Any] = {}
    for file in files:
        values |= to_plain(from_plain(Settings, values | read_settings(file, kind), str(file)))
    unused = sorted(requested_settings(argv) & ONLY_TRAIN) if command != "train" else []
    if unused:
        flags = ", ".join("--" + name.replace("_", "-") for name in unused)
        raise UserError(f"{command} has no use for {flags}. Leave it out.")
    defaults = take(kind, vars(from_plain(Settings, values)))
    return from_plain(kind, plain_values(ask(kind, defaults, program(command), argv)))


def read_settings(file: Path, kind: type[Settings]) -> dict[str, Any]:
    """The content of a TOML file of settings.

    Raises:
        UserError: it has flags that are for one call only.
    """
    values = read_toml(file)
    settings = {item.name for item in dataclasses.fields(Settings)}
    typed = {item.name for item in dataclasses.fields(kind)} - settings
    found = [f"--{name.replace('_', '-')}" for name in values if name in typed]
    if found:
        raise UserError(f"{file}: {', '.join(found)} cannot be in a file. Type it as a flag.")
    return values


def requested_settings(argv: Sequence[str]) -> frozenset[str]:
    """Names of the settings that were typed as flags."""
    flags = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    names = {flag.replace("-", "_") for flag in flags | {f.removeprefix("no-") for f in flags}}
    return frozenset(item.name for item in dataclasses.fields(Settings)) & names


def load_settings(run: Path) -> Settings:
    """The resolved set of a run."""
    path = run / "hyperparameters.toml"
    return from_plain(Settings, read_toml(path), str(path))


def program(command: str) -> str:
    """A command as it can be typed where the user is: train.py as it was typed, if it was."""
    script = Path(sys.argv[0])
    if script.name == f"{command}.py":
        return f"python {quote(str(script))}"
    return f"python -m {PACKAGE} {command}"


def require_extra(extra: str, packages: Sequence[str]) -> None:
    """Check that the packages of an extra of pyproject.toml are installed.

    Raises:
        UserError: some are not.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"This needs {', '.join(missing)}. Type `uv sync --extra {extra}`, or "
            f'`python -m pip install -e ".[{extra}]"`.'
        )


def warn(notes: Sequence[str]) -> None:
    """Print which settings are not followed, and why."""
    for note in notes:
        print(f"Warning: {note}", file=sys.stderr)
