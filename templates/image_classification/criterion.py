"""Step 4, the criterion: the loss of a batch, and the metrics of an evaluation."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo

if TYPE_CHECKING:  # importing torchmetrics takes a second, which the first step need not wait for
    from torchmetrics import MetricCollection


class Criterion:
    """Cross-entropy with label smoothing."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.label_smoothing = hparams.label_smoothing
        self.num_classes = len(info.classes)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        images, classes = batch
        return F.cross_entropy(model(images), classes, label_smoothing=self.label_smoothing)

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

        accuracy = MulticlassAccuracy(self.num_classes, average="micro", validate_args=False)
        f1 = MulticlassF1Score(self.num_classes, average="macro", validate_args=False)
        return MetricCollection({"accuracy": accuracy, "f1": f1})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate`` for a batch."""
        metrics.update(outputs["logits"], outputs["target"])
