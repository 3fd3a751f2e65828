"""Step 4, the criterion: the loss, and the metrics by which a model is judged."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo

if TYPE_CHECKING:  # importing it takes a second
    from torchmetrics import MetricCollection


class Criterion:
    """Squared error."""

    LOWER_IS_BETTER = frozenset({"loss", "mae"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        pass

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        return self.evaluate(model, batch)["loss"].mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Outputs for the metrics and figures, one row per sample."""
        x, y = batch
        prediction = model(x).squeeze(1).float()
        loss = (prediction - y).square()
        return {"prediction": prediction, "target": y, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """New metrics."""
        from torchmetrics import MeanAbsoluteError, MetricCollection

        return MetricCollection({"mae": MeanAbsoluteError()})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate``."""
        metrics.update(outputs["prediction"], outputs["target"])
