"""Step 4, the criterion: what the network is trained for, and the metrics by which it is judged."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .hyperparameters import Hyperparameters
from .masks import IGNORED

if TYPE_CHECKING:  # a second at start, for which the first step need not wait
    from torchmetrics import MetricCollection

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, H, W) and masks (N, H, W): classes, 255 where there is none."""

MAX_SIDE = 96  # pixels of the masks that are kept for the figures


class Criterion:
    """Cross-entropy and Dice loss of the pixels.

    Both are means over the images, and the loss of an image does not depend on the others: so the
    loss of a batch is the same in one piece, in accumulation steps or in several processes.
    """

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.dice_weight = settings.dice_weight
        self.weights = {"out": 1.0, "aux": settings.aux_weight}
        self.num_classes = len(facts["classes"])

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        images, masks = batch
        outputs = model(images)
        losses = [
            self.weights[name] * self.each_loss(logits, masks) for name, logits in outputs.items()
        ]
        return torch.stack(losses).sum(0).mean()

    def each_loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss of every image (N,), from logits (N, classes, H, W)."""
        truth = self.one_hot(masks)
        log_probabilities = logits.float().log_softmax(dim=1)
        counted = (masks != IGNORED).sum((1, 2)).clamp(min=1)
        loss = -(log_probabilities * truth).sum((1, 2, 3)) / counted
        if self.dice_weight:
            loss = loss + self.dice_weight * dice_loss(log_probabilities.exp(), truth)
        return loss

    def one_hot(self, masks: Tensor) -> Tensor:
        """(N, classes, H, W), whether a pixel is of a class; of none where it is ignored."""
        classes = torch.arange(self.num_classes, device=masks.device, dtype=masks.dtype)
        return masks.unsqueeze(1) == classes.view(-1, 1, 1)

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch: (N, ...) each.

        "loss" is always there; what does not begin with "_" is kept for the figures.
        """
        images, masks = batch
        logits = model(images)["out"]
        predicted = logits.argmax(1).to(torch.uint8)
        counts = count_classes(predicted, masks, self.num_classes)
        right = counts.diagonal(dim1=1, dim2=2)
        return {
            "predicted": shrink(predicted),
            "target": shrink(masks),
            "intersection": right,
            "union": counts.sum(1) + counts.sum(2) - right,
            "loss": self.each_loss(logits, masks),
            "_predicted": predicted,
            "_target": masks,
        }

    def metrics(self) -> "MetricCollection":
        """Fresh metrics; miou is the mean IoU of the classes that occur, all images together."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

        num, options = self.num_classes, dict[str, Any](ignore_index=IGNORED, validate_args=False)
        return MetricCollection(
            {
                "miou": MulticlassJaccardIndex(num, average="macro", **options),
                "pixel_accuracy": MulticlassAccuracy(num, average="micro", **options),
            }
        )

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        metrics.update(outputs["_predicted"].long(), outputs["_target"].long())


def dice_loss(probabilities: Tensor, truth: Tensor) -> Tensor:
    """1 - Dice of every image (N,), the mean over the classes that it has.

    Milletari et al. 2016 (https://arxiv.org/abs/1606.04797), with sums for squares, and 1 added to
    both parts so that classes of few pixels are no jump.

    Args:
        probabilities: (N, classes, H, W).
        truth: the same, whether a pixel is of a class; pixels of none do not count.
    """
    counted = truth.any(1, keepdim=True)
    both = (probabilities * truth).sum((2, 3))
    sizes = truth.sum((2, 3))
    dice = (2 * both + 1) / ((probabilities * counted).sum((2, 3)) + sizes + 1)
    present = sizes > 0
    return ((1 - dice) * present).sum(1) / present.sum(1).clamp(min=1)


def count_classes(predicted: Tensor, masks: Tensor, num_classes: int) -> Tensor:
    """(N, classes, classes): pixels of each image by true (row) and predicted class (column)."""
    number = torch.arange(len(masks), device=masks.device).view(-1, 1, 1)
    codes = (number * num_classes + masks) * num_classes + predicted
    counts = torch.bincount(codes[masks != IGNORED], minlength=len(masks) * num_classes**2)
    return counts.view(-1, num_classes, num_classes)


def shrink(masks: Tensor) -> Tensor:
    """Masks (N, H, W) with at most ``MAX_SIDE`` pixels a side."""
    scale = MAX_SIDE / max(masks.shape[1:])
    if scale >= 1:
        return masks
    return interpolate(masks.unsqueeze(1), scale_factor=scale, mode="nearest-exact").squeeze(1)
