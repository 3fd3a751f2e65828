"""Step 1, set hyperparameters: what you change first when you predict a number from a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .settings import CommonHyperparameters, Count, Positive, PositiveOrZero, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    data: Path | None = None
    """CSV file with a header, or a folder with train.csv and perhaps val.csv and test.csv.
    None: diabetes, 442 patients and 10 measurements, which comes with scikit-learn."""
    target: str | None = None
    """Column to predict; needed with --data. Diabetes: progression of the disease in a year."""
    drop_columns: str = ""
    """Columns that the model must not see, with commas between: patient_id,comment."""
    categorical_columns: str = ""
    """Columns whose numbers are only names, with commas between: zip_code,shop."""

    model: Literal["linear", "mlp"] = "mlp"
    """linear, or mlp: the same plus residual blocks for what is not linear."""
    width: Annotated[int, Range(1, 8192)] = 128
    """Features in each residual block."""
    depth: Annotated[int, Range(1, 100)] = 2
    """Number of residual blocks."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.3
    """Part of the features that a residual block leaves out at random."""
    embedding_size: Annotated[int, Range(1, 1024)] | None = None
    """Numbers that stand for a category in the mlp. None: more for columns with more categories,
    from 2 to 50."""

    loss: Literal["huber", "squared"] = "squared"
    """What an error costs: its square, or (huber) only in proportion where it is large."""
    huber_delta: Positive = 1.0
    """Where an error begins to be large for huber, in standard deviations of the target."""
    ridge_alpha: PositiveOrZero = 7.0
    """Penalty on the squared weights of the mlp, like alpha of scikit-learn's Ridge: the fewer the
    rows, the more it matters. The linear part has none."""
    monitor: Literal["r2", "rmse", "mae", "loss"] = "r2"
    """Validation metric by which the best epoch is chosen."""

    epochs: Count = 60
    """Number of passes over the training rows."""
    batch_size: Count = 32
    """Rows per optimizer step, over all processes and accumulation steps together."""
    learning_rate: Positive = 3e-3
    """Highest learning rate of the schedule."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.2
    """Part of all steps in which the learning rate rises from near zero."""
    ema_decay: Annotated[float, Range(0, 0.99999)] = 0.98
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""
