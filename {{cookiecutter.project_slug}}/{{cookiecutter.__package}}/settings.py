"""The hyperparameters that every task shares, and the rules by which they get their values.

Order of precedence, lowest first: the class's defaults, ``device.toml`` (this machine), the file
given as ``--config FILE.toml``, the flags. A run's own ``hyperparameters.toml`` is such a file.
"""

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from .errors import UserError


@dataclass(frozen=True)
class Range:
    """The values that a number may have, from ``low`` (itself included or not) to ``high``."""

    low: float
    high: float = math.inf
    low_included: bool = True

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_included else value > self.low
        return above and value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        lower = f"{self.low:g} or more" if self.low_included else f"above {self.low:g}"
        return lower if math.isinf(self.high) else f"{lower}, and at most {self.high:g}"


Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, low_included=False)]
PositiveOrZero = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class CommonHyperparameters:
    """What the loop, the optimizer and the machine need to know, whatever the task."""

    data: Path | None = None
    """Your own data. None: the data that comes with the project."""
    seed: CountOrZero = 0
    """Seed of the weights, the order of the samples, augmentation and dropout."""
    epochs: Count = 30
    """Number of passes over the training samples."""
    batch_size: Count = 64
    """Samples per optimizer step, over all processes and accumulation steps together."""
    accumulation_steps: Count = 1
    """Parts into which a batch is cut, one after the other, when it does not fit in memory."""
    eval_batch_size: Count = 256
    """Samples per batch in validation and test; it has no influence on the result."""
    val_fraction: Annotated[float, Range(0, 0.9, low_included=False)] = 0.15
    """Part of the samples kept for validation, where the data brings no validation set."""
    test_fraction: Annotated[float, Range(0, 0.9, low_included=False)] = 0.15
    """Part of the samples kept for the test, where the data brings no test set."""
    split_seed: CountOrZero = 0
    """Seed of that split. Keep it when you change --seed, so that the test set stays unseen."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: Positive = 1e-3
    """Highest learning rate of the schedule."""
    weight_decay: PositiveOrZero = 0.05
    """Weight decay; norms and biases have none."""
    momentum: Annotated[float, Range(0, 0.999)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a cosine down to zero, or constant."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.1
    """Part of all steps in which the learning rate rises from near zero."""
    clip_norm: PositiveOrZero = 1.0
    """Gradients longer than this are shortened to it; 0 leaves them alone."""
    ema_decay: Annotated[float, Range(0, 0.99999)] = 0.0
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""
    monitor: str = "loss"
    """Validation metric by which the best epoch is chosen."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better one; 0: never."""

    checkpoint_every: str = "10min"
    """Save also within an epoch: after so many steps (500), or so much time (30s, 10min, 1h);
    0: only at its end."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """When a loss or gradient is not finite: stop the run, or leave the step out and say so."""
    deterministic: bool = False
    """Let torch refuse operations whose last bits vary from run to run on a GPU; slower."""
    requeue_signal: Literal["USR1", "USR2"] | None = None
    """Signal by which a cluster announces that the job must end: the run is saved, and under Slurm
    put into the queue again."""

    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where to compute. auto takes the GPU that torch can use, else the CPU."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the heavy operations (automatic mixed precision)."""
    channels_last: bool = True
    """Memory layout that makes convolutions faster."""
    tf32: bool = True
    """Let NVIDIA GPUs round fp32 matrix products to TF32, which is much faster."""
    compile: bool = False
    """Compile the model; the first step takes longer, the others less."""
    num_workers: CountOrZero = 0
    """Processes that load data; data that is held in memory needs none."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = _checked(type(self), item, getattr(self, item.name))
            object.__setattr__(self, item.name, value)
        parse_interval(self.checkpoint_every)
        if self.val_fraction + self.test_fraction >= 1:
            raise UserError(
                "val-fraction and test-fraction leave nothing to train on. Their sum must be "
                f"below 1, but is {self.val_fraction + self.test_fraction:g}."
            )

    def but(self, **changes: Any) -> Self:
        """The same with some values changed, which are checked."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_layers(cls, *layers: tuple[str, Mapping[str, Any]]) -> Self:
        """The defaults, overlaid by each of ``layers``: (where from, values), lowest first."""
        settings = cls()
        names = [item.name for item in dataclasses.fields(cls)]
        for origin, values in layers:
            for name in values:
                if name not in names:
                    raise UserError(f"{origin}: there is no setting {name!r}.{_hint(name, names)}")
            try:
                settings = dataclasses.replace(settings, **values)
            except UserError as error:
                raise UserError(f"{origin}: {error}") from None
        return settings


def parse_interval(text: str) -> tuple[int, str]:
    """An interval as (number, "steps" or "seconds"); 0 for never.

    Raises:
        UserError: it is not like 500, 30s, 10min or 1h.
    """
    match = re.fullmatch(r"(\d+) ?(s|min|h)?", text)
    if match is None:
        raise UserError(
            f"checkpoint-every must be a number of steps, such as 500, or a time, such as 30s, "
            f"10min or 1h, but is {text!r}."
        )
    number, unit = int(match[1]), match[2]
    seconds = {"s": 1, "min": 60, "h": 3600}
    return (number * seconds[unit], "seconds") if unit else (number, "steps")


def _hint(name: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else " `--help` lists them all."


def _checked(cls: type, item: "dataclasses.Field[Any]", value: Any) -> Any:
    """``value``, converted where a file cannot say it otherwise; an error if it is out of range."""
    kind, words, limits = _constraints(_hints(cls)[item.name])
    if value in words:
        return value
    flag = item.name.replace("_", "-")
    try:
        value = _converted(kind, value)
    except ValueError as problem:
        raise UserError(f"{flag} must be {problem}, but is {value!r}.") from None
    for limit in limits:
        if value not in limit:
            raise UserError(
                f"{flag} must be {limit}, but is {value}. Leave it out to have {item.default}."
            )
    return value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _constraints(hint: Any) -> tuple[Any, list[Any], list[Range]]:
    """What a type hint says: the plain type, what may stand instead (None, a word), the ranges."""
    members = typing.get_args(hint)
    if hasattr(hint, "__metadata__"):
        kind, words, limits = _constraints(members[0])
        return kind, words, limits + [it for it in hint.__metadata__ if isinstance(it, Range)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        plain = next(member for member in members if member is not types.NoneType)
        kind, _, limits = _constraints(plain)
        others = (typing.get_args(member) or [None] for member in members if member is not plain)
        return kind, [word for words in others for word in words], limits
    return hint, [], []


def _converted(kind: Any, value: Any) -> Any:
    """``value`` as a ``kind``: a Literal, Path, bool, int, float or str.

    Raises ValueError with what it must be.
    """
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise ValueError("one of " + ", ".join(map(str, choices)))
        return value
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        words = {bool: "true or false", int: "a whole number", float: "a number"}
        raise ValueError(words.get(kind, "a text"))
    return value
