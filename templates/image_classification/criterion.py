"""Step 4, the criterion: the loss of a batch, and the metrics of an evaluation."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo
from .vision.class_weights import make_class_weights

if TYPE_CHECKING:  # importing torchmetrics takes a second, which the first step need not wait for
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
        images, classes = batch
        return self.cross_entropy(model(images), classes)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the samples, whatever their weights are."""
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(logits.device)
        weights, smoothing = self.class_weights, self.label_smoothing
        loss = F.cross_entropy(logits, target, weights, label_smoothing=smoothing, reduction="none")
        return loss.mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The logits, target and loss (without label smoothing) of each sample: (N, ...) each."""
        images, classes = batch
        logits = model(images).float()
        loss = F.cross_entropy(logits, classes, reduction="none")
        return {"logits": logits, "target": classes, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """New metrics for an evaluation."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        from .vision.class_metrics import BalancedAccuracy

        accuracy = MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)
        f1 = MulticlassF1Score(self.num_classes, average="macro", validate_args=False)
        balanced = BalancedAccuracy(self.num_classes)
        return MetricCollection({"accuracy": accuracy, "balanced_accuracy": balanced, "f1": f1})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate`` for a batch."""
        metrics.update(outputs["logits"], outputs["target"])
