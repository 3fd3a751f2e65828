"""Step 4, the criterion: the loss that training minimizes, and the metrics."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torchvision.ops import generalized_box_iou_loss

from .engine.evaluation import Predictions, Scorer
from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo, Target
from .utils import pad_rows

if TYPE_CHECKING:  # importing it takes a second, so training imports it at the first validation
    from torchmetrics import MetricCollection

BELL_WIDTH = 1 / 6  # standard deviation of the bell around a center, in sizes of the box


class Criterion:
    """The sum of the losses that a detector returns when it is called with targets."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        self.max_detections = hparams.max_detections
        self.max_boxes = info.max_boxes

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        images, targets = batch
        return total(model(images, targets)).mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss of each sample, and what metrics and figures need: (N, ...) each.

        Images with fewer boxes than others have rows with label -1. "_size" is their height and
        width, for predict.
        """
        images, targets = batch
        losses, detections = model(images, targets)
        found, true = self.max_detections, self.max_boxes
        return {
            "boxes": pad_rows([item["boxes"] for item in detections], found),
            "scores": pad_rows([item["scores"] for item in detections], found),
            "labels": pad_rows([item["labels"] for item in detections], found, -1),
            "true_boxes": pad_rows([target["boxes"] for target in targets], true),
            "true_labels": pad_rows([target["labels"] for target in targets], true, -1),
            "loss": total(losses),
            "_size": torch.tensor([image.shape[1:] for image in images]),
        }

    def metrics(self) -> "MetricCollection":
        """New metrics: COCO's mAP, and mAP at IoU 0.5."""
        from torchmetrics import MetricCollection

        from .vision.metrics import AveragePrecision

        return MetricCollection({"ap": AveragePrecision()})

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        metrics.update(outputs)

    def make_scorer(self, outputs: Predictions) -> Scorer:
        """For evaluate: the metrics of any choice of images, in milliseconds instead of seconds."""
        from .vision.scoring import average_precision_scorer

        return average_precision_scorer(outputs)


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all losses: a scalar, or (N,)."""
    return torch.stack(list(losses.values())).float().sum(0)


# The losses of models.SmallDetector


def heatmap_losses(
    logits: Tensor, boxes: Tensor, is_inside: Tensor, targets: list[Target], stride: int
) -> dict[str, Tensor]:
    """The losses of each image (N,), per object. They do not depend on the other images.

    Args:
        logits: (N, classes, h, w), that a cell has the center of an object.
        boxes: (N, h, w, 4) in pixels, predicted by each cell.
        is_inside: (N, h, w), whether a cell is inside the image.
        targets: of each image.
        stride: size of a cell in pixels.
    """
    maps = [draw_target(target, logits.shape[1:], stride) for target in targets]
    heat, weight, true_boxes = (torch.stack(tensors) for tensors in zip(*maps, strict=True))
    num_boxes = torch.tensor([max(1, len(target["labels"])) for target in targets])
    num_boxes = num_boxes.to(logits.device, non_blocking=True)
    center_loss = focal_loss(logits, heat) * is_inside.unsqueeze(1)
    box_loss = generalized_box_iou_loss(boxes, true_boxes) * weight
    return {
        "centers": center_loss.flatten(1).sum(1) / num_boxes,
        "boxes": box_loss.flatten(1).sum(1) / num_boxes,
    }


def draw_target(target: Target, shape: Sequence[int], stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the network should predict for an image; ``shape`` is (classes, h, w).

    Returns:
        heat (classes, h, w): bells around the centers of objects, exactly 1 in the center's cell.
        weight (h, w): of each cell in the box loss; the cells of an object together have 1.
        boxes (h, w, 4): the box that each cell should predict, that of the highest bell.
    """
    boxes, labels = target["boxes"], target["labels"]
    heat = boxes.new_zeros(tuple(shape))
    if not len(labels):
        return heat, heat[0], boxes.new_zeros(*shape[1:], 4)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 // stride
    spreads = BELL_WIDTH * (boxes[:, 2:] - boxes[:, :2]) / stride
    vertical, horizontal = (
        torch.exp(-(((cells - centers[:, [axis]]) / spreads[:, [axis]]) ** 2) / 2)
        for axis, cells in (
            (1, torch.arange(shape[1], device=heat.device)),
            (0, torch.arange(shape[2], device=heat.device)),
        )
    )
    bells = vertical[:, :, None] * horizontal[:, None, :]
    heat.scatter_reduce_(0, labels.view(-1, 1, 1).expand_as(bells), bells, "amax")
    highest = bells.argmax(0)
    objects = torch.arange(len(labels), device=heat.device).view(-1, 1, 1)
    weights = bells * ((highest == objects) & (bells > 0.1))
    weight = (weights / weights.sum((1, 2), keepdim=True).clamp(min=1e-6)).sum(0)
    return heat, weight, boxes[highest]


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """The focal loss of CornerNet (Law and Deng 2018, https://arxiv.org/abs/1808.01244).

    Cells near a center, where ``heat`` is just below 1, cost little when they are taken for it.
    """
    probability = logits.sigmoid()
    positive = -logsigmoid(logits) * (1 - probability) ** 2
    negative = -logsigmoid(-logits) * probability**2 * (1 - heat) ** 4
    return torch.where(heat == 1, positive, negative)
