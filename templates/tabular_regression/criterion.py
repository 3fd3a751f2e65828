"""Step 4, the criterion: what the network is trained for, and the metrics by which it is judged."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .hyperparameters import Hyperparameters

if TYPE_CHECKING:  # a second at start, for which the first step need not wait
    from torchmetrics import MetricCollection

Batch = tuple[tuple[Tensor, Tensor], Tensor]
"""((numeric columns (N, F), codes of the categories (N, K)), targets (N,))."""


class Criterion:
    """The loss of the objective, and in training a penalty on large weights."""

    LOWER_IS_BETTER = frozenset({"loss", "mae", "rmse"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.penalty = settings.ridge_alpha / facts["num_rows"]
        classify = settings.objective == "classification"
        self.objective = (Classification if classify else Regression)(settings, facts)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar, with the gradient of the penalty.

        The penalty is on matrices alone, so not on biases and not on the linear part. It is not
        part of the value, so that training and validation losses can be compared.
        """
        (numeric, categories), target = batch
        mean = self.objective.training_loss(model(numeric, categories), target)
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        if not matrices or not self.penalty:
            return mean
        penalized: Tensor = Penalized.apply(mean, self.penalty, *matrices)
        return penalized

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch.

        "target" and "loss" (N,) are always there. Of numbers also "prediction" (N,), in the units
        of the target; of classes "logits" (N, classes).
        """
        (numeric, categories), target = batch
        output = model(numeric, categories)
        loss = self.objective.losses(output, target)
        return {self.objective.OUTPUT: output, "target": target, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """Fresh metrics."""
        return self.objective.metrics()

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        self.objective.update(metrics, outputs[self.objective.OUTPUT], outputs["target"])


class Penalized(torch.autograd.Function):
    """A loss as it is, but with the gradient of ``loss + penalty * (sum of squared weights)``.

    To let autograd differentiate that sum takes three times as long.
    """

    @staticmethod
    def forward(context: Any, loss: Tensor, penalty: float, *weights: Tensor) -> Tensor:
        """The loss, a scalar."""
        context.penalty = penalty
        context.save_for_backward(*weights)
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients with respect to the loss, the penalty (none), and each of the weights."""
        share = 2 * context.penalty * gradient
        return gradient, None, *(share * weight for weight in context.saved_tensors)


class Regression:
    """Squared or Huber loss of the errors, counted in standard deviations of the target.

    So it does not matter whether the target is in metres or millimetres; a model that always says
    the mean of the target has a squared loss of 1.
    """

    OUTPUT = "prediction"

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.delta = settings.huber_delta if settings.loss == "huber" else None
        self.mean = facts["target_mean"]
        self.std = facts["target_std"]

    def losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Of each row, (N,)."""
        error: Tensor = (prediction - target) / self.std
        if self.delta is None:
            return error.square()
        zero = torch.zeros_like(error)
        return functional.huber_loss(error, zero, reduction="none", delta=self.delta)

    def training_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Of a batch, a scalar."""
        return self.losses(prediction, target).mean()

    def metrics(self) -> "MetricCollection":
        """Of predicted numbers."""
        from .scores import scores_of_numbers

        return scores_of_numbers()

    def update(self, metrics: "MetricCollection", prediction: Tensor, target: Tensor) -> None:
        """All metrics are the same for shifted targets, and sums of squares around zero are exact.

        Around a large mean (a year, say) float32 would lose the digits that matter.
        """
        metrics.update(prediction - self.mean, target - self.mean)


class Classification:
    """Cross-entropy; ``balanced`` weighs the rows so that all classes count the same."""

    OUTPUT = "logits"

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        counts = torch.tensor(facts["class_counts"], dtype=torch.float32)
        self.weights = counts.sum() / (len(counts) * counts) if settings.balanced else None
        self.num_classes = len(counts)

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of each row, (N,)."""
        return functional.cross_entropy(logits, target, reduction="none")

    def training_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of a batch, a scalar. It is not divided by the sum of weights, which differs by batch."""
        losses = self.losses(logits, target)
        if self.weights is not None:
            self.weights = self.weights.to(target.device)
            losses = losses * self.weights[target]
        return losses.mean()

    def metrics(self) -> "MetricCollection":
        """Of predicted classes."""
        from .scores import scores_of_classes

        return scores_of_classes(self.num_classes)

    def update(self, metrics: "MetricCollection", logits: Tensor, target: Tensor) -> None:
        """All of them take logits."""
        metrics.update(logits, target)
