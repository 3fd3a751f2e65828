"""Step 4, the criterion: what the network is trained for, and the metrics by which it is judged."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .hyperparameters import Hyperparameters

if TYPE_CHECKING:  # a second at start, for which the first step need not wait
    from torchmetrics import MetricCollection

Batch = tuple[Tensor, Tensor]
"""x (N, 1) and y (N,)."""


class Criterion:
    """Squared error."""

    LOWER_IS_BETTER = frozenset({"loss", "mae"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        pass

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        return self.evaluate(model, batch)["loss"].mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch, (N,) each."""
        x, y = batch
        prediction = model(x).squeeze(1).float()
        return {"prediction": prediction, "target": y, "loss": (prediction - y).square()}

    def metrics(self) -> "MetricCollection":
        """Fresh metrics."""
        from torchmetrics import MeanAbsoluteError, MetricCollection

        return MetricCollection({"mae": MeanAbsoluteError()})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        metrics.update(outputs["prediction"], outputs["target"])
