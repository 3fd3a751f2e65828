"""Who trains what: the contenders, the matches, and the bars that ours is to clear."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

BATCH = 64
LEARNING_RATE = 1e-3
SEED = 0


@dataclass(frozen=True)
class Contender:
    """Someone who trains: a module of ``contenders/`` and what it is told."""

    name: str
    module: str
    does: str
    """What it does beside the work that all have in common, for the reader of the results."""
    options: dict[str, Any] = field(default_factory=dict)
    terminal: bool = True
    """Whether it believes to write to a terminal, where progress bars are shown."""


@dataclass(frozen=True)
class Match:
    """Contenders who do the same work in turn."""

    name: str
    workload: str
    title: str
    task: str
    """Of the rendered project that ours is, in whose folder all of them run."""
    contenders: tuple[str, ...]
    workers: int = 0

    def only(self, names: Collection[str]) -> "Match":
        """The same with fewer contenders."""
        chosen = tuple(name for name in self.contenders if name in names)
        return dataclasses.replace(self, contenders=chosen)


@dataclass(frozen=True)
class Bar:
    """A promise: the ratio of two contenders in a match."""

    match: str
    quantity: Literal["time", "memory"]
    contender: str
    against: str
    limit: float
    at_least: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.at_least else ratio <= self.limit


_EPOCH_END = "at the end of each epoch, not timed: "
_RECORDS = "validation, checkpoints of model and optimizer, metrics and the best model are written"
OURS = (
    "its defaults are a fused AdamW and channels_last, which the others would have to ask for; a "
    "bar; loss and gradient of every step are checked to be finite, and their means kept; a stop "
    f"by a signal is saved; dropout is seeded by the step; {_EPOCH_END}{_RECORDS}"
)

ALL = (
    Contender("bare", "bare", "nothing: loss and right answers are summed as tensors"),
    Contender(
        "reference",
        "reference",
        "in the style of torchvision's reference scripts: meters with a median of the last 20 "
        "steps, .item() for loss and accuracies in every step, a printed line every 10 steps",
    ),
    Contender(
        "ignite",
        "ignite_loop",
        "events; loss.item() in every step; a running average of the loss, an accuracy metric",
    ),
    Contender(
        "accelerate",
        "accelerate_loop",
        "the loader, the model and the optimizer are wrapped for any device",
    ),
    Contender(
        "lightning",
        "lightning_loop",
        f"hooks and callbacks; a bar; a log every 50 steps; {_EPOCH_END}a checkpoint of model "
        "and optimizer is written",
    ),
    Contender("ours", "project", OURS),
    Contender(
        "ours bf16",
        "project",
        "the same with --precision bf16",
        {"precision": "bf16"},
    ),
    # For the costs of single parts of ours (measures.py).
    Contender("never saved", "project", "--checkpoint-every 0", {"checkpoint_every": "0"}),
    Contender("saved", "project", "--checkpoint-every 50", {"checkpoint_every": "50"}),
    Contender("without bar", "project", "not on a terminal", terminal=False),
)
CONTENDERS = {contender.name: contender for contender in ALL}

LOOPS = ("bare", "reference", "ignite", "accelerate", "lightning", "ours")
IMAGES, TABLE = "image_classification", "tabular_regression"
MATCHES = {
    match.name: match
    for match in (
        Match("tiny", "tiny", "MLP on 8×8 images in memory", IMAGES, LOOPS),
        Match("cnn", "cnn", "small CNN on 28×28 images in memory", IMAGES, (*LOOPS, "ours bf16")),
        Match("resnet", "resnet", "ResNet-18 on 3×64×64 images", IMAGES, (*LOOPS, "ours bf16")),
        Match(
            "jpeg",
            "jpeg",
            "2,000 JPEG files of 256×256, no worker",
            IMAGES,
            ("bare", "reference", "ours"),
        ),
        Match(
            "jpeg-2",
            "jpeg",
            "2,000 JPEG files of 256×256, two workers",
            IMAGES,
            ("bare", "reference", "ours"),
            workers=2,
        ),
        Match(
            "table",
            "table",
            "the task's MLP, 100,000 rows × 20 columns",
            TABLE,
            ("bare", "lightning", "ours"),
        ),
    )
}
COSTS = dataclasses.replace(
    MATCHES["tiny"], name="costs", contenders=("ours", "never saved", "saved", "without bar")
)
GROWTH = dataclasses.replace(MATCHES["tiny"], name="growth", contenders=("bare", "ours"))

# Every bar in one place; each is printed as met or not met, and none is an error.
BARS = (
    Bar("tiny", "time", "ours", "bare", 0.70),
    Bar("cnn", "time", "ours", "bare", 0.70),
    Bar("cnn", "time", "ours bf16", "bare", 0.60),
    Bar("resnet", "time", "ours", "bare", 0.95),
    Bar("resnet", "time", "ours bf16", "bare", 0.55),
    Bar("table", "time", "ours", "bare", 0.60),
    Bar("jpeg", "time", "reference", "ours", 2.0, at_least=True),
    Bar("jpeg-2", "time", "reference", "ours", 2.0, at_least=True),
    Bar("tiny", "time", "lightning", "ours", 4.0, at_least=True),
    Bar("cnn", "time", "lightning", "ours", 1.4, at_least=True),
    *(Bar(match, "memory", "ours", "bare", 1.10) for match in MATCHES if match != "jpeg-2"),
)
