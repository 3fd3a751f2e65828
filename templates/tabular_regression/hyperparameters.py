"""Step 1, set hyperparameters: every number that decides the result of a training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from .engine.errors import UserError
from .engine.settings import Count, CountOrZero, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True)
class Hyperparameters:
    """Each one is a flag: ``python train.py --batch-size 16``."""

    # Data
    data: Path | None = None
    """Table (.csv, .tsv, .txt, .json, .jsonl, .parquet, .xlsx) with names of columns, or a folder
    with train.csv and optionally val.csv and test.csv. None: the diabetes data (442 patients) for
    regression, the breast cancer data (569 tumors) for classification, from scikit-learn."""
    objective: Literal["regression", "classification"] = "regression"
    """Predict a number, or one of several classes."""
    target: str | None = None
    """Column to predict; needed with --data."""
    drop_columns: str = ""
    """Columns that the model must not see, separated by commas: patient_id,comment."""
    categorical_columns: str = ""
    """Columns whose numbers are only names, separated by commas: zip_code,shop."""
    decimal: Literal["auto", ".", ","] = "auto"
    """Mark of decimals in columns where 1.234 or 1,234 may be read in two ways."""
    date_order: Literal["auto", "day-first", "month-first"] = "auto"
    """What comes first in dates such as 03/04/2024, if no date in the column tells."""
    val_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the rows for validation, if the data has no validation set."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the rows for the test, if the data has no test set."""
    split_seed: CountOrZero = 0
    """Seed of that split. Keep it when you change --seed, so that the test set stays unseen."""
    group_column: str | None = None
    """Rows with the same value in this column (a patient, a household) stay in one split."""
    fold: str | None = None
    """Cross-validation: 2/5 tests on the second of five parts and trains on the others."""

    # Model
    model: Literal["linear", "mlp", "tabm"] = "tabm"
    """linear; mlp: a linear model plus residual blocks; tabm: an ensemble of such mlps that share
    most weights, and see in which bin a number is."""
    members: Annotated[int, Interval(ge=1, le=1024)] = 8
    """Members of the ensemble of tabm."""
    num_bins: Annotated[int, Interval(ge=1, le=256)] = 48
    """Most bins of a numeric column in tabm. A bin has at least 10 training rows; more than 16
    bins have at least 45 each."""
    width: Annotated[int, Interval(ge=1, le=8192)] = 128
    """Features in each residual block."""
    depth: Annotated[int, Interval(ge=1, le=100)] = 1
    """Number of residual blocks."""
    dropout: Annotated[float, Interval(ge=0, le=0.95)] = 0.1
    """Dropout in the residual blocks."""
    embedding_size: Annotated[int, Interval(ge=1, le=1024)] | None = None
    """Size of the embedding of a category. None: the number of categories, but at most 32 or a
    little more."""

    # Loss
    loss: Literal["huber", "squared"] = "squared"
    """Loss of regression. Huber lets large errors count less. Classification uses cross-entropy."""
    huber_delta: PositiveFloat = 1.0
    """Error from which the Huber loss is linear, in standard deviations of the target."""
    ridge_alpha: NonNegativeFloat = 0.1
    """L2 penalty on the weights of the residual blocks, like alpha of scikit-learn's Ridge: it
    matters less with more rows. The linear part has no penalty."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """balanced: rare classes count as much as frequent ones in the training loss."""

    # Optimizer and schedule
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: PositiveFloat = 1.5e-3
    """Highest learning rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay; biases and the linear part have none."""
    momentum: Annotated[float, Interval(ge=0, le=0.999)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["cosine", "constant"] = "constant"
    """Learning rate after the warm-up: a cosine down to zero, or constant."""
    warmup_fraction: Annotated[float, Interval(ge=0, le=0.9)] = 0.05
    """Share of all steps in which the learning rate rises from near zero."""
    clip_norm: NonNegativeFloat = 1.0
    """Longest gradient: longer ones are scaled down to it; 0: no clipping."""
    ema_decay: Annotated[float, Interval(ge=0, le=0.99999)] = 0.98
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    # Training
    seed: CountOrZero = 0
    """Seed of the weights, the order of the rows, and dropout."""
    epochs: Count | None = None
    """Number of passes over the training rows. None: 100; for little data as many as make
    400 steps, for much data as few as make 7,000, but at least 10."""
    batch_size: Count = 32
    """Rows per optimizer step, over all processes and micro-batches together."""
    monitor: Literal[
        "loss", "r2", "rmse", "mae", "accuracy", "balanced_accuracy", "f1", "auroc"
    ] = "loss"
    """Validation metric by which the best epoch is chosen: loss; r2, rmse or mae for regression;
    accuracy, balanced_accuracy, f1 or auroc for classification."""
    patience: CountOrZero = 25
    """Stop after this many epochs without a better one; 0: never."""

    def num_epochs(self, num_samples: int) -> int:
        """Passes over so many training rows."""
        steps = num_samples / self.batch_size  # in one pass
        return self.epochs or math.ceil(max(400 / steps, 10, min(100, 7000 / steps)))

    def __post_init__(self) -> None:
        regression = ("r2", "rmse", "mae")
        classification = ("accuracy", "balanced_accuracy", "f1", "auroc")
        metrics = regression if self.objective == "regression" else classification
        if self.monitor not in ("loss", *metrics):
            raise UserError(
                f"monitor {self.monitor} does not belong to --objective {self.objective}. "
                f"Type --monitor with one of: loss, {', '.join(metrics)}."
            )
        if self.class_weights == "balanced" and self.objective == "regression":
            raise UserError(
                "--class-weights balanced is for classes. Add --objective classification, or leave "
                "it out."
            )
