"""Step 4, the criterion: the loss, and the metrics by which a model is judged."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo
from .tabular.class_weights import make_class_weights

if TYPE_CHECKING:  # importing it takes a second
    from torchmetrics import MetricCollection


class Criterion:
    """Squared or Huber loss of a number, or cross-entropy of classes; and a ridge penalty.

    Errors of numbers are in standard deviations of the target, so its unit does not matter: always
    predicting the mean has a squared loss of 1.
    """

    LOWER_IS_BETTER = frozenset({"loss", "mae", "rmse"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.penalty = hparams.ridge_alpha / info.num_rows
        self.huber_delta = hparams.huber_delta if hparams.loss == "huber" else None
        self.target_mean, self.target_std = info.target_mean, info.target_std
        self.target_offset = info.target_offset
        self.num_classes = len(info.classes)
        self.class_weights = make_class_weights(hparams.class_weights, info.class_counts)
        self.matrices: list[Tensor] = []

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar, with the gradient of the penalty.

        The penalty is on matrices only: not on biases, and not on the linear part. Its value is not
        added, so that training and validation losses can be compared.
        """
        (numeric, categories), target = batch
        losses = self.sample_losses(model(numeric, categories), target)
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(target.device)
            # Not divided by the sum of the weights, which differs from batch to batch.
            losses = losses * self.class_weights[target]
        if not self.matrices:  # searched once: this takes longer than the penalty
            self.matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        penalized: Tensor = RidgePenalty.apply(losses.mean(), self.penalty, *self.matrices)
        return penalized

    def sample_losses(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row (N,), without weights and penalty: the mean over an ensemble."""
        if output.ndim > target.ndim + bool(self.num_classes):  # each member has its own output
            members = output.shape[1]
            losses = self.sample_losses(output.flatten(0, 1), target.repeat_interleave(members))
            return losses.view(-1, members).mean(1)
        if self.num_classes:
            return F.cross_entropy(output, target, reduction="none")
        error: Tensor = (output - target) / self.target_std
        if self.huber_delta is None:
            return error.square()
        zero = torch.zeros_like(error)
        return F.huber_loss(error, zero, reduction="none", delta=self.huber_delta)

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Outputs for the metrics and figures, one row per sample.

        "target" (N,), "loss" (N,), and "prediction" (N,) in the units of the target, or "logits"
        (N, classes).
        """
        (numeric, categories), target = batch
        output = model(numeric, categories)
        loss = self.sample_losses(output, target)
        if self.num_classes:
            return {"logits": output, "target": target, "loss": loss}
        # On the CPU, because not every device has float64.
        prediction = output.to("cpu", torch.float64) + self.target_offset
        true = target.to("cpu", torch.float64) + self.target_offset
        return {"prediction": prediction, "target": true, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """New metrics."""
        from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        from .tabular.class_metrics import BalancedAccuracy
        from .tabular.metrics import R2, MeanAUROC

        if not self.num_classes:
            return MetricCollection(
                {"r2": R2(), "rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}
            )
        n = self.num_classes
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(n, average="micro", validate_args=False),
                "balanced_accuracy": BalancedAccuracy(n),
                "f1": MulticlassF1Score(n, average="macro", validate_args=False),
                "auroc": MeanAUROC(n, average="none", validate_args=False),
            },
            compute_groups=False,  # AUROC needs all rows, the others only counts
        )

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate``."""
        if self.num_classes:
            metrics.update(outputs["logits"], outputs["target"])
        else:
            # The metrics stay the same. Around a large mean (a year), float32 would lose digits.
            mean, device = self.target_offset + self.target_mean, outputs["loss"].device
            numbers = (outputs[name] - mean for name in ("prediction", "target"))
            metrics.update(*(number.to(device, torch.float32) for number in numbers))


class RidgePenalty(torch.autograd.Function):
    """The loss unchanged, with the gradient of loss + penalty * (sum of squared weights).

    Letting autograd differentiate that sum takes three times as long.
    """

    @staticmethod
    def forward(context: Any, loss: Tensor, penalty: float, *weights: Tensor) -> Tensor:
        """The loss, a scalar."""
        context.penalty = penalty
        context.save_for_backward(*weights)
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the loss, of the penalty (none), and of each of the weights."""
        factor = 2 * context.penalty * gradient
        return gradient, None, *(factor * weight for weight in context.saved_tensors)
