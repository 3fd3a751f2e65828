"""Step 1, set hyperparameters: every number that decides the result of a training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from .engine.settings import Count, CountOrZero, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True)
class Hyperparameters:
    """Each one is a flag: ``python train.py --batch-size 16``."""

    # Data
    data: Path | None = None
    """Text file with x and y in each line. None: a sine."""
    val_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the points for validation."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the points for the test."""
    split_seed: CountOrZero = 0
    """Seed of that split."""
    fold: str | None = None
    """Cross-validation: 2/5 tests on the second of five parts."""

    # Model
    model: Literal["mlp"] = "mlp"
    """Network with one hidden layer."""
    width: Annotated[int, Interval(ge=1, le=1024)] = 32
    """Features of the hidden layer."""
    dropout: Annotated[float, Interval(ge=0, le=0.95)] = 0.01
    """Share of the features that is left out at random."""

    # Optimizer and schedule
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: PositiveFloat = 1e-2
    """Highest learning rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay; biases have none."""
    momentum: Annotated[float, Interval(ge=0, le=0.999)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a cosine down to zero, or constant."""
    warmup_fraction: Annotated[float, Interval(ge=0, le=0.9)] = 0.1
    """Share of all steps in which the learning rate rises from near zero."""
    clip_norm: NonNegativeFloat = 1.0
    """Longest gradient: longer ones are scaled down to it; 0: no clipping."""
    ema_decay: Annotated[float, Interval(ge=0, le=0.99999)] = 0.0
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    # Training
    seed: CountOrZero = 0
    """Seed of the weights, the order of the points, their noise and dropout."""
    epochs: Count | None = None
    """Number of passes over the training points. None: 40; for little data as many as make
    80 steps."""
    batch_size: Count = 64
    """Points per optimizer step, over all processes and micro-batches together."""
    monitor: Literal["mae", "loss"] = "mae"
    """Validation metric by which the best epoch is chosen."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better one; 0: never."""

    def num_epochs(self, num_samples: int) -> int:
        """Passes over so many training points."""
        return self.epochs or max(40, math.ceil(80 * self.batch_size / num_samples))
