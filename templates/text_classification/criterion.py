"""Step 4, the criterion: what the network is trained for, and the metrics by which it is judged."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .hyperparameters import Hyperparameters

if TYPE_CHECKING:  # a second at start, for which the first step need not wait
    from torchmetrics import MetricCollection

Batch = tuple[Tensor, np.ndarray, Tensor]
"""Tokens (N, L), each text with PADDING after its end; lengths (N,); numbers of classes (N,)."""


class Criterion:
    """Cross-entropy with label smoothing."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.label_smoothing = settings.label_smoothing
        self.num_classes = len(facts["classes"])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        tokens, lengths, classes = batch
        return functional.cross_entropy(
            model(tokens, lengths), classes, label_smoothing=self.label_smoothing
        )

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch: (N, ...) each.

        "loss" is always there; "length" is the number of tokens.
        """
        tokens, lengths, classes = batch
        logits = model(tokens, lengths).float()
        loss = functional.cross_entropy(logits, classes, reduction="none")
        length = torch.from_numpy(lengths).to(classes.device, non_blocking=True)
        return {"logits": logits, "target": classes, "length": length, "loss": loss}

    def metrics(self) -> "MetricCollection":
        """Fresh metrics."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(
                    self.num_classes, average="micro", validate_args=False
                ),
                "f1": MulticlassF1Score(self.num_classes, average="macro", validate_args=False),
            }
        )

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        metrics.update(outputs["logits"], outputs["target"])
