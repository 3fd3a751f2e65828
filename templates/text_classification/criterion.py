"""Step 4, the criterion: the loss, and the metrics by which a model is judged."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo
from .text.class_weights import make_class_weights

if TYPE_CHECKING:  # importing it takes a second
    from torchmetrics import MetricCollection


class Criterion:
    """Cross-entropy with label smoothing."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.label_smoothing = hparams.label_smoothing
        self.num_classes = len(info.classes)
        self.class_weights = make_class_weights(hparams.class_weights, info.class_counts)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        tokens, lengths, target = batch
        return self.cross_entropy(model(tokens, lengths), target)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the samples, whatever their weights are."""
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(logits.device)
        weights, smoothing = self.class_weights, self.label_smoothing
        loss = F.cross_entropy(logits, target, weights, label_smoothing=smoothing, reduction="none")
        return loss.mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Outputs for the metrics and figures, one row per sample; "length" counts tokens."""
        tokens, lengths, target = batch
        logits = model(tokens, lengths).float()
        loss = F.cross_entropy(logits, target, reduction="none")
        length = torch.from_numpy(lengths).to(target.device, non_blocking=True)
        return {"logits": logits, "target": target, "length": length, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """New metrics."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        from .text.class_metrics import BalancedAccuracy

        accuracy = MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)
        f1 = MulticlassF1Score(self.num_classes, average="macro", validate_args=False)
        balanced = BalancedAccuracy(self.num_classes)
        return MetricCollection({"accuracy": accuracy, "balanced_accuracy": balanced, "f1": f1})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate``."""
        metrics.update(outputs["logits"], outputs["target"])
