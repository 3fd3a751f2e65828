"""Step 1, set hyperparameters: what you change first when you fit a curve."""

from dataclasses import dataclass
from typing import Annotated, Literal

from .settings import CommonHyperparameters, Count, Positive, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    model: Literal["mlp"] = "mlp"
    """Network with one hidden layer."""
    width: Annotated[int, Range(1, 1024)] = 32
    """Features of the hidden layer."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.01
    """Part of the features that is left out at random."""
    monitor: Literal["mae", "loss"] = "mae"
    """Validation metric by which the best epoch is chosen."""

    epochs: Count = 40
    """Number of passes over the training points."""
    learning_rate: Positive = 1e-2
    """Highest learning rate of the schedule."""
