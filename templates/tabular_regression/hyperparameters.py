"""Step 1, set hyperparameters: what you change first when you predict from the rows of a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .errors import UserError
from .settings import CommonHyperparameters, Count, Positive, PositiveOrZero, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    objective: Literal["regression", "classification"] = "regression"
    """What is predicted: a number, or one of several classes."""
    data: Path | None = None
    """CSV file with a header, or a folder with train.csv and perhaps val.csv and test.csv.
    None: diabetes (442 patients) to predict a number, breast cancer (569 tumours) to predict a
    class. Both come with scikit-learn."""
    target: str | None = None
    """Column to predict; needed with --data."""
    drop_columns: str = ""
    """Columns that the model must not see, with commas between: patient_id,comment."""
    categorical_columns: str = ""
    """Columns whose numbers are only names, with commas between: zip_code,shop."""

    model: Literal["linear", "mlp"] = "mlp"
    """linear, or mlp: the same plus residual blocks for what is not linear."""
    width: Annotated[int, Range(1, 8192)] = 128
    """Features in each residual block."""
    depth: Annotated[int, Range(1, 100)] = 1
    """Number of residual blocks."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.0
    """Part of the features that a residual block leaves out at random."""
    embedding_size: Annotated[int, Range(1, 1024)] | None = None
    """Numbers that stand for a category in the mlp. None: more for columns with more categories,
    from 2 to 50."""

    loss: Literal["huber", "squared"] = "squared"
    """What an error of a number costs: its square, or (huber) only in proportion where it is large.
    For classes it is always the cross-entropy."""
    huber_delta: Positive = 1.0
    """Where an error begins to be large for huber, in standard deviations of the target."""
    ridge_alpha: PositiveOrZero = 7.0
    """Penalty on the squared weights of the mlp, like alpha of scikit-learn's Ridge: the fewer the
    rows, the more it matters. The linear part has none."""
    balanced: bool = False
    """Let every class count the same in training, however many rows it has."""
    monitor: Literal["loss", "r2", "rmse", "mae", "accuracy", "f1", "auroc"] = "loss"
    """Validation metric by which the best epoch is chosen: r2, rmse or mae of a number, accuracy,
    f1 or auroc of classes, or the loss."""

    epochs: Count = 30
    """Number of passes over the training rows."""
    batch_size: Count = 32
    """Rows per optimizer step, over all processes and accumulation steps together."""
    learning_rate: Positive = 3e-3
    """Highest learning rate of the schedule."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.2
    """Part of all steps in which the learning rate rises from near zero."""
    ema_decay: Annotated[float, Range(0, 0.99999)] = 0.98
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        of_numbers, of_classes = ("r2", "rmse", "mae"), ("accuracy", "f1", "auroc")
        metrics = of_numbers if self.objective == "regression" else of_classes
        if self.monitor not in ("loss", *metrics):
            raise UserError(
                f"monitor {self.monitor} does not belong to --objective {self.objective}. "
                f"Type --monitor with one of: loss, {', '.join(metrics)}."
            )
