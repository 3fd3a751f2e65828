"""How a run runs (it decides only the speed), and where all settings get their values from.

Precedence, lowest first: the defaults in the classes, ``device.toml`` (this machine), the file
given as ``--config FILE.toml``, the flags. What decides the result is in ``hyperparameters.py``,
but for the limits of a trial.
"""

import dataclasses
import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from annotated_types import Ge, Gt, Interval

from .errors import UserError

Count = Annotated[int, Ge(1)]
CountOrZero = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]

T = TypeVar("T")


@dataclass(frozen=True)
class RunSettings:
    """How a run runs: none of it changes which samples form a step, or in which order."""

    # Run
    checkpoint_every: str = "10min"
    """Save within an epoch too: after so many steps (500) or so much time (30s, 10min, 1h).
    0: only at the end of each epoch."""
    track: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    """Also show the run in these trackers (extra: tracking)."""
    requeue_signal: Literal["USR1", "USR2"] | None = None
    """Signal by which a cluster announces that the job must end. The run is saved, and under Slurm
    put into the queue again."""
    detect_anomaly: bool = False
    """Name the operation whose gradient is not a number, with the line that called it; slower."""

    # Machine
    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where to compute. auto: the GPU that torch can use, else the CPU."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the heavy operations (automatic mixed precision)."""
    num_workers: CountOrZero = 0
    """Processes that load data. Data in memory needs none."""
    start_method: Literal["auto", "fork", "forkserver", "spawn"] = "auto"
    """How these processes start. auto: fork on Linux, spawn elsewhere. If they hang, try spawn."""
    accumulation_steps: Count = 1
    """Micro-batches into which each batch is cut when it does not fit in memory."""
    eval_batch_size: Count = 256
    """Samples per batch in validation and test, at most."""
    channels_last: bool = True
    """Memory layout that makes convolutions faster."""
    tf32: bool = True
    """Let NVIDIA GPUs round fp32 matrix products to TF32, which is much faster."""
    compile: bool = False
    """Compile the model: the first step takes longer, the others less."""
    deterministic: bool = False
    """Let torch refuse operations whose last bits vary from run to run on a GPU; slower."""

    def __post_init__(self) -> None:
        parse_interval(self.checkpoint_every)


class Limits(NamedTuple):
    """How much of the data a run uses."""

    steps: int = sys.maxsize
    """Of each epoch."""
    eval_samples: int = sys.maxsize
    """Of the validation set."""
    same_steps: bool = False
    """Whether every epoch has the steps of the first one, with the same augmentation."""


WHOLE = Limits()


@dataclass(frozen=True)
class DebugSettings:
    """For a trial of the code. They decide the result, so a resumed run must have the same."""

    # Run
    limit_batches: Count | None = None
    """For a trial: use only so many batches of each epoch, and of the validation set."""
    overfit_batches: Count | None = None
    """For a check that the model can learn: train on the same few batches in every epoch, with the
    same augmentation. The loss should come close to its minimum."""

    def limits(self, batch_size: int) -> Limits:
        """What they mean for batches of this size."""
        given = [n for n in (self.limit_batches, self.overfit_batches) if n is not None]
        if not given:
            return WHOLE
        return Limits(min(given), min(given) * batch_size, self.overfit_batches is not None)

    def notes(self) -> list[str]:
        """That the run is only a trial, and why; nothing for a real run."""
        typed = [f"--{name.replace('_', '-')} {n}" for name, n in to_plain(self).items()]
        return [f"This run is only a trial of the code ({', '.join(typed)})."] if typed else []


@dataclass(frozen=True)
class StartSettings:
    """Where the weights come from. It decides the result, so a resumed run must have the same."""

    # Model
    init_from: str | None = None
    """Start from the best weights of this run (its name, its directory, or latest). The optimizer,
    the schedule and the statistics of the data are new."""
    init_matching: str | None = None
    """The same with a run whose model or classes differ: only weights of the same names and shapes
    are taken, and the others are listed."""

    def __post_init__(self) -> None:
        if self.init_from and self.init_matching:
            raise UserError("Use either --init-from or --init-matching, not both.")


def parse_interval(text: str) -> tuple[int, str]:
    """An interval as (number, "steps" or "seconds"); 0 for never.

    Raises:
        UserError: it is not like 500, 30s, 10min or 1h.
    """
    match = re.fullmatch(r"(\d+) ?(s|min|h)?", text)
    if match is None:
        raise UserError(
            "checkpoint-every must be a number of steps, such as 500, or a time, such as 30s, "
            f"10min or 1h, but is {text!r}."
        )
    number, unit = int(match[1]), match[2]
    seconds = {"s": 1, "min": 60, "h": 3600}
    return (number * seconds[unit], "seconds") if unit else (number, "steps")


def to_plain(settings: Any) -> dict[str, Any]:
    """The fields as TOML and JSON can hold them: paths as text, and without those that are None."""
    names = [item.name for item in dataclasses.fields(settings)]
    return plain_values({name: getattr(settings, name) for name in names})


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same for values by name."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None
    }


def from_plain(kind: type[T], values: Mapping[str, Any], origin: str = "") -> T:
    """An instance of the dataclass ``kind``, its fields checked against their annotations.

    Raises:
        UserError: a name is unknown, or a value is wrong; the message names all of them, and
            ``origin``, the file that they are from.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    for name, value in values.items():
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise UserError(
                f"{name.replace('_', '-')}: {value!a} has bytes that are no text in UTF-8. Rename "
                "it, or type a link to it that has another name."
            )

    class Checked(kind):  # type: ignore[valid-type, misc]
        __pydantic_config__: ClassVar = ConfigDict(
            strict=True, extra="forbid", allow_inf_nan=False, validate_default=True
        )

    try:
        checked = TypeAdapter(Checked).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problems = [_describe(kind, dict(item)) for item in error.errors()]
        raise UserError(" ".join(([f"{origin}:"] if origin else []) + problems)) from None
    found = {item.name: getattr(checked, item.name) for item in dataclasses.fields(checked)}
    return kind(**{name: _expand(value) for name, value in found.items()})


def _expand(value: Any) -> Any:
    """A path with the user's folder in place of ~, which the shell leaves in ``--data=~/x``."""
    return Path(os.path.expanduser(value)) if isinstance(value, Path) else value


def _describe(kind: Any, error: dict[str, Any]) -> str:
    name = str(error["loc"][0])
    if error["type"] == "unexpected_keyword_argument":
        names = [item.name for item in dataclasses.fields(kind)]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`--help` lists them all."
        return f"There is no setting {name!r}. {hint}"
    problem = error["msg"][0].lower() + error["msg"][1:]
    return f"{name.replace('_', '-')}: {problem}, but it is {error['input']!r}."


def require_same_hyperparameters(
    saved: Mapping[str, Any], current: Mapping[str, Any], may_change: Iterable[str], run: Path
) -> None:
    """Refuse to resume a run with other hyperparameters.

    Raises:
        UserError: some differ that are not in ``may_change``; the message says which, and how.
    """
    differing = [
        f"{name.replace('_', '-')} was {saved.get(name)}, now it is {current.get(name)}"
        for name in sorted({*saved, *current} - set(may_change))
        if saved.get(name) != current.get(name)
    ]
    if differing:
        raise UserError(
            f"{run} cannot be resumed with other hyperparameters: {'; '.join(differing)}. "
            "Use those of the run, or train a new one."
        )
