"""Step 4, the criterion: what the network is trained for, and the metrics by which it is judged."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score

from .hyperparameters import Hyperparameters

Batch = tuple[tuple[Tensor, Tensor], Tensor]
"""((numeric columns (N, F), codes of the categories (N, K)), targets (N,))."""


class Criterion:
    """Squared or Huber loss of the errors, counted in standard deviations of the target.

    So it does not matter whether the target is in metres or millimetres; a model that always says
    the mean of the target has a squared loss of 1. Training adds a penalty on large weights.
    """

    LOWER_IS_BETTER = frozenset({"loss", "mae", "rmse"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.delta = settings.huber_delta if settings.loss == "huber" else None
        self.penalty = settings.ridge_alpha / facts["num_rows"]
        self.mean = facts["target_mean"]
        self.std = facts["target_std"]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar, with the gradient of the penalty.

        The penalty is on matrices alone, so not on biases and not on the linear part. It is not
        part of the value, so that training and validation losses can be compared.
        """
        (numeric, categories), target = batch
        mean: Tensor = self._losses(model(numeric, categories), target).mean()
        squares = [weight.square().sum() for weight in model.parameters() if weight.ndim > 1]
        penalty: Tensor = self.penalty * sum(squares, start=torch.zeros_like(mean))
        return mean + (penalty - penalty.detach())

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch: (N,) each.

        "loss" is always there; "prediction" and "target" are in the units of the target.
        """
        (numeric, categories), target = batch
        prediction = model(numeric, categories)
        loss = self._losses(prediction, target)
        return {"prediction": prediction, "target": target, "loss": loss}

    def _losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        error: Tensor = (prediction - target) / self.std
        if self.delta is None:
            return error.square()
        zero = torch.zeros_like(error)
        return functional.huber_loss(error, zero, reduction="none", delta=self.delta)

    def metrics(self) -> MetricCollection:
        """Fresh metrics."""
        return MetricCollection(
            {"r2": R2(), "rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}
        )

    def update(self, metrics: MetricCollection, outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics.

        All of them are the same for shifted targets, and sums of squares around zero are exact:
        around a large mean (a year, say) float32 would lose the digits that matter.
        """
        metrics.update(outputs["prediction"] - self.mean, outputs["target"] - self.mean)


class R2(R2Score):
    """Explained part of the variance; of fewer than two samples it is not a number."""

    def compute(self) -> Tensor:
        """The score, a scalar of at most 1."""
        if self.total < 2:
            return torch.full_like(self.residual, torch.nan)
        return super().compute()
