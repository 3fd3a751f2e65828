"""Step 4, the criterion: the loss that training minimizes, and the metrics."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .engine.evaluation import Predictions, Scorer
from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo
from .utils import confusion_matrices, one_hot, shrink_masks
from .vision.legend import IGNORED

if TYPE_CHECKING:  # importing it takes a second, so training imports it at the first validation
    from torchmetrics import MetricCollection

FIGURE_SIZE = 96  # pixels of the longer side of the masks that are kept for the figures


class Criterion:
    """Cross-entropy plus Dice loss.

    The loss of an image does not depend on the other images. So a batch has the same loss whether
    it is computed at once, in micro-batches or by several processes.
    """

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.dice_weight = hparams.dice_weight
        self.output_weights = {"out": 1.0, "aux": hparams.aux_weight}
        self.num_classes = len(info.classes)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        images, masks = batch
        losses = [
            self.output_weights[name] * self.image_losses(logits, masks)
            for name, logits in model(images).items()
        ]
        return torch.stack(losses).sum(0).mean()

    def image_losses(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss of each image (N,), from logits (N, classes, H, W)."""
        target = one_hot(masks, self.num_classes)
        log_probabilities = logits.float().log_softmax(dim=1)
        num_pixels = (masks != IGNORED).sum((1, 2)).clamp(min=1)
        loss = -(log_probabilities * target).sum((1, 2, 3)) / num_pixels
        if self.dice_weight:
            loss = loss + self.dice_weight * dice_loss(log_probabilities.exp(), target)
        return loss

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss of each sample, and what metrics and figures need: (N, ...) each.

        Names that begin with "_" are for the metrics only and are not kept.
        """
        images, masks = batch
        logits = model(images)["out"]
        predicted = logits.argmax(1).to(torch.uint8)
        counts = confusion_matrices(predicted, masks, self.num_classes)
        intersection = counts.diagonal(dim1=1, dim2=2)
        return {
            "predicted": shrink_masks(predicted, FIGURE_SIZE),
            "target": shrink_masks(masks, FIGURE_SIZE),
            "intersection": intersection,
            "union": counts.sum(1) + counts.sum(2) - intersection,
            "loss": self.image_losses(logits, masks),
            "_predicted": predicted,
            "_target": masks,
        }

    def metrics(self) -> "MetricCollection":
        """New metrics. miou: the mean IoU of the classes that occur, over all images together."""
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

    def make_scorer(self, outputs: Predictions) -> Scorer:
        """For evaluate: the same metrics of any choice of images, from the pixels of each class."""

        def score(indices: np.ndarray) -> dict[str, float]:
            intersection, union = (outputs[k][indices].sum(0) for k in ("intersection", "union"))
            iou = intersection[union > 0] / union[union > 0]
            correct, pixels = intersection.sum(), (intersection.sum() + union.sum()) / 2
            return {"miou": float(iou.mean()), "pixel_accuracy": float(correct / pixels)}

        return score


def dice_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of each image (N,), the mean over the classes in its mask.

    Milletari et al. 2016 (https://arxiv.org/abs/1606.04797), with sums instead of squares, and with
    1 added to numerator and denominator, so that classes with few pixels cause no jumps.

    Args:
        probabilities: (N, classes, H, W).
        target: the one-hot mask, of the same shape. Pixels without a class do not count.
    """
    has_class = target.any(1, keepdim=True)
    intersection = (probabilities * target).sum((2, 3))
    sizes = target.sum((2, 3))
    dice = (2 * intersection + 1) / ((probabilities * has_class).sum((2, 3)) + sizes + 1)
    present = sizes > 0
    return ((1 - dice) * present).sum(1) / present.sum(1).clamp(min=1)
