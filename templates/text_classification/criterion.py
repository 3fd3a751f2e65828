"""Step 4, the criterion: the loss, and the metrics by which a model is judged."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo

if TYPE_CHECKING:  # importing it takes a second
    from torchmetrics import MetricCollection


class Criterion:
    """Cross-entropy with label smoothing."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.label_smoothing = hparams.label_smoothing
        self.num_classes = len(info.classes)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        tokens, lengths, target = batch
        logits = model(tokens, lengths)
        return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)

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

        n = self.num_classes
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(n, average="micro", validate_args=False),
                "f1": MulticlassF1Score(n, average="macro", validate_args=False),
            }
        )

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add the outputs of ``evaluate``."""
        metrics.update(outputs["logits"], outputs["target"])
