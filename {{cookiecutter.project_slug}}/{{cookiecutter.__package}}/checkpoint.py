"""Checkpoints: nothing is lost, nothing is half written, nothing but tensors and plain types.

last.pt is where training goes on, previous.pt the one before it, best.pt what is evaluated.
"""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .errors import UserError
from .optimizer import WeightAverage
from .settings import CommonHyperparameters, to_plain
from .utils import atomic_write

FORMAT = 1


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
    """Sum of the training losses of these steps."""
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
    schedule: LambdaLR
    scaler: torch.amp.GradScaler
    progress: Progress

    def content(self) -> dict[str, Any]:
        """Tensors and plain types, for ``load``."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict() if self.average.decay else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": asdict(self.progress),
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
                "The checkpoint is of another model or optimizer. Resume with the run's own "
                f"hyperparameters. ({' '.join(str(error).split())[:200]})"
            ) from None
        self.schedule.load_state_dict(content["schedule"])
        self.scaler.load_state_dict(content["scaler"])
        self.progress = Progress(**content["progress"])


def save_last(
    run: Path, state: State, settings: CommonHyperparameters, facts: dict[str, Any]
) -> None:
    """Write last.pt, and keep the one that it replaces as previous.pt."""
    folder = run / "checkpoints"
    new = folder / "new.pt"
    _save(new, {"hyperparameters": to_plain(settings), "facts": facts, **state.content()})
    if (folder / "last.pt").exists():
        (folder / "last.pt").replace(folder / "previous.pt")
    new.replace(folder / "last.pt")


def save_best(
    run: Path,
    state: State,
    settings: CommonHyperparameters,
    facts: dict[str, Any],
    metrics: dict[str, float],
    outputs: dict[str, np.ndarray],
) -> None:
    """Write best.pt, the weights to use, and predictions.npz, theirs for the validation set."""
    with atomic_write(run / "predictions.npz") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]
    content = {
        "hyperparameters": to_plain(settings),
        "facts": facts,
        "model": state.average.model.state_dict(),
        "epoch": state.progress.epoch,
        "metrics": metrics,
    }
    _save(run / "checkpoints" / "best.pt", content)


def _save(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **content}, file)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU.

    Raises:
        UserError: there is none, it is damaged, or it is from another version of this format.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist. Train first, or choose another run.")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged ({reason}).") from None
    if content.get("format") != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {content.get('format')}; this program reads {FORMAT}. "
            "Use the version of the project that wrote it."
        )
    return content


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
            content = load(path)
        except UserError as problem:
            problems.append(str(problem))
            continue
        for text in problems:
            print(f"Warning: {text} Going on from {path.name}.")
        return content
    if problems:
        raise UserError(f"Nothing to go on from. {' '.join(problems)}")
    return None


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
