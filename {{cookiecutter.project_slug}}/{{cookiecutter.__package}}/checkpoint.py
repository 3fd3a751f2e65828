"""What a checkpoint holds: all that a run needs to go on as if nothing had happened.

last.pt is where training goes on, previous.pt the one before it, best.pt what is evaluated.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from . import storage
from .errors import UserError
from .optimizer import Schedule, WeightAverage
from .utils import atomic_write


@dataclass
class Progress:
    """Where a run is."""

    epoch: int = 0
    """Epochs that are finished."""
    step: int = 0
    """Optimizer steps taken, over all epochs."""
    step_in_epoch: int = 0
    """Optimizer steps taken in the epoch under way."""
    loss_sum: float = 0.0
    """Sum of the training losses of these steps, means over all processes."""
    skipped: int = 0
    """Number of these steps that were skipped because something was not finite."""
    rate: float = 0.0
    """Learning rate of the last step."""
    best: float | None = None
    """Best value of the monitored metric."""
    best_epoch: int = 0
    """The epoch that had it."""


@dataclass
class State:
    """All that changes while a model trains."""

    model: nn.Module
    average: WeightAverage
    optimizer: Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    progress: Progress
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Those of metrics.jsonl."""

    def content(self) -> dict[str, Any]:
        """Tensors and plain types, for ``load``."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average.decay else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
            "rows": list(self.rows),
        }

    def load(self, content: dict[str, Any]) -> None:
        """Go back to where ``content`` was taken.

        Raises:
            UserError: it is of another model or optimizer.
        """
        try:
            self.model.load_state_dict(content["model"])
            if self.average.decay:
                self.average.model.load_state_dict(content["average"] or content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise UserError(
                "The checkpoint is of another model or optimizer. Resume with the code and the "
                f"hyperparameters of the run. ({' '.join(str(error).split())[:300]})"
            ) from None
        self.scaler.load_state_dict(content["scaler"])
        self.progress = Progress(**content["progress"])
        self.rows = list(content["rows"])


def write_last(run: Path, content: dict[str, Any]) -> None:
    """Write last.pt, and keep the one that it replaces as previous.pt."""
    folder = run / "checkpoints"
    new = folder / "new.pt"
    storage.write(new, content)
    if (folder / "last.pt").exists():
        (folder / "last.pt").replace(folder / "previous.pt")
    new.replace(folder / "last.pt")


def write_best(run: Path, content: dict[str, Any], outputs: Mapping[str, np.ndarray]) -> None:
    """Write best.pt, the weights to use, and predictions.npz, theirs for the validation set."""
    with atomic_write(run / "predictions.npz") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]
    storage.write(run / "checkpoints" / "best.pt", content)


def load_last(run: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None if none was ever written.

    Raises:
        UserError: there are some, but all are damaged.
    """
    problems = []
    for path in (run / "checkpoints" / name for name in ("last.pt", "new.pt", "previous.pt")):
        if not path.exists():
            continue
        try:
            content = storage.read(path)
        except UserError as problem:
            problems.append(str(problem))
            continue
        for text in problems:
            print(f"Warning: {text} Going on from {path.name}.")
        return content
    if problems:
        raise UserError(f"Nothing to go on from. {' '.join(problems)}")
    return None


def best_is_damaged(run: Path) -> bool:
    """Whether best.pt is there and cannot be read; says so."""
    path = run / "checkpoints" / "best.pt"
    try:
        if path.exists():
            storage.read(path)
    except UserError as problem:
        print(f"Warning: {problem} The best of the epochs to come will replace it.")
        return True
    return False


def require_same_data(saved: Any, current: Any) -> None:
    """Refuse data whose classes or columns are not those that the model was trained on.

    Numbers with a fraction, such as means, are not compared: they may differ in the last digit.
    """
    if _names(saved) != _names(current):
        raise UserError(
            "The data is not what this run was trained on: classes, columns or sizes differ. "
            "Use the data of the run, or train a new one."
        )


def _names(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {name: _names(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_names(value) for value in facts]
    return None if isinstance(facts, float) else facts
