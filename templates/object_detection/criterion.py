"""Step 4, the criterion: what a detector is trained for, and the metrics by which it is judged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torchvision.ops import generalized_box_iou_loss

from .hyperparameters import Hyperparameters

if TYPE_CHECKING:  # a second at start, for which the first step need not wait
    from torchmetrics import MetricCollection

Target = dict[str, Tensor]
Batch = tuple[list[Tensor], list[Target]]
"""Images (3, H, W), and of each its boxes (k, 4) in pixels and their labels (k,)."""

SPREAD = 1 / 6  # of a box: standard deviation of the bell that is drawn around its middle


class Criterion:
    """The losses that the models give themselves when they are called with targets."""

    LOWER_IS_BETTER = frozenset({"loss"})

    def __init__(self, settings: Hyperparameters, facts: dict[str, Any]) -> None:
        self.max_detections = settings.max_detections
        self.max_boxes = facts["max_boxes"]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a training batch, a scalar."""
        return total(model(*batch)).mean()

    def evaluate(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """What the metrics and figures need of each sample of a batch: (N, ...) each.

        Rows that an image has fewer of than others have label -1. "loss" is always there.
        """
        losses, detections = model(*batch)
        found, real = self.max_detections, self.max_boxes
        return {
            "boxes": pad([item["boxes"] for item in detections], found),
            "scores": pad([item["scores"] for item in detections], found),
            "labels": pad([item["labels"] for item in detections], found, -1),
            "true_boxes": pad([item["boxes"] for item in batch[1]], real),
            "true_labels": pad([item["labels"] for item in batch[1]], real, -1),
            "loss": total(losses),
        }

    def metrics(self) -> "MetricCollection":
        """Fresh metrics."""
        from .scores import make_scores

        return make_scores()

    def update(self, metrics: "MetricCollection", outputs: dict[str, Tensor]) -> None:
        """Add what ``evaluate`` returned to the metrics."""
        metrics.update(outputs)


def total(losses: dict[str, Tensor]) -> Tensor:
    """All parts of the loss together."""
    return torch.stack(list(losses.values())).float().sum(0)


def pad(tensors: list[Tensor], length: int, value: int = 0) -> Tensor:
    """(N, length, ...) from N tensors of at most that length."""
    padded = tensors[0].new_full((len(tensors), length, *tensors[0].shape[1:]), value)
    for row, tensor in zip(padded, tensors, strict=True):
        row[: len(tensor)] = tensor
    return padded


# The losses of models.SmallDetector


def map_losses(
    logits: Tensor, boxes: Tensor, inside: Tensor, targets: list[Target], stride: int
) -> dict[str, Tensor]:
    """The losses of each image (N,) for each of its objects. No image depends on the others.

    Args:
        logits: (N, classes, h, w), that the middle of an object is in a cell.
        boxes: (N, h, w, 4) in pixels, as each cell sees them.
        inside: (N, h, w), whether a cell belongs to the image.
        targets: the boxes and labels of each image.
        stride: pixels of a cell.
    """
    drawn = [draw_targets(target, logits.shape[1:], stride) for target in targets]
    heat, weight, true_boxes = (torch.stack(maps) for maps in zip(*drawn, strict=True))
    counts = torch.tensor([max(1, len(target["labels"])) for target in targets])
    counts = counts.to(logits.device, non_blocking=True)  # without waiting for the device
    focal = focal_loss(logits, heat) * inside.unsqueeze(1)
    giou = generalized_box_iou_loss(boxes, true_boxes) * weight
    return {
        "middles": focal.flatten(1).sum(1) / counts,
        "boxes": giou.flatten(1).sum(1) / counts,
    }


def draw_targets(
    target: Target, shape: Sequence[int], stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the maps of an image ought to show.

    Returns:
        heat (classes, h, w): bells around the middles of objects, just 1 in the cell of a middle.
        weight (h, w): how much a cell's box counts, 1 together for all cells of an object.
        boxes (h, w, 4): the box of each cell, that of the highest bell.
    """
    corners, labels = target["boxes"], target["labels"]
    heat = corners.new_zeros(tuple(shape))
    if not len(labels):
        return heat, heat[0], corners.new_zeros(*shape[1:], 4)
    middles = (corners[:, :2] + corners[:, 2:]) / 2 // stride
    spreads = SPREAD * (corners[:, 2:] - corners[:, :2]) / stride
    down, across = (
        torch.exp(-(((cells - middles[:, [axis]]) / spreads[:, [axis]]) ** 2) / 2)
        for axis, cells in (
            (1, torch.arange(shape[1], device=heat.device)),
            (0, torch.arange(shape[2], device=heat.device)),
        )
    )
    bells = down[:, :, None] * across[:, None, :]
    heat.scatter_reduce_(0, labels.view(-1, 1, 1).expand_as(bells), bells, "amax")
    owner = bells.argmax(0)
    numbers = torch.arange(len(labels), device=owner.device).view(-1, 1, 1)
    parts = bells * ((owner == numbers) & (bells > 0.1))
    weight = (parts / parts.sum((1, 2), keepdim=True).clamp(min=1e-6)).sum(0)
    return heat, weight, corners[owner]


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """The focal loss of CornerNet (Law and Deng 2018, https://arxiv.org/abs/1808.01244), by cell.

    Cells near a middle, where ``heat`` is just below 1, may be taken for it at little cost.
    """
    chance = logits.sigmoid()
    right = -logsigmoid(logits) * (1 - chance) ** 2
    wrong = -logsigmoid(-logits) * chance**2 * (1 - heat) ** 4
    return torch.where(heat == 1, right, wrong)
