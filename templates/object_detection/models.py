"""Step 3, define and load models: a small detector without anchors, and torchvision's by name."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d
from torchvision.ops import Conv2dNormActivation, batched_nms

from .criterion import map_losses
from .hyperparameters import Hyperparameters
from .pretrained import Detection, Losses, Target, torchvision_detector
from .utils import clip_boxes

STRIDE = 4  # pixels of an image for each cell of the maps
NUM_STAGES = 4  # each halves the image once more, after the stem has halved it


class SmallDetector(nn.Module):
    """Says of every cell of a map of what class an object's middle is there, and how far its sides.

    As in "Objects as Points" (Zhou et al. 2019, https://arxiv.org/abs/1904.07850), but the cells
    around a middle learn the box too, as in TTFNet (Liu et al. 2020,
    https://arxiv.org/abs/1909.00700). It has 0.7 million parameters at ``width`` 32.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        settings: Hyperparameters,
        *,
        num_classes: int,
        image_size: int,
        mean: list[float],
        std: list[float],
    ) -> None:
        super().__init__()
        self.settings = settings
        step = STRIDE * 2 ** (NUM_STAGES - 1)
        self.side = step * math.ceil(image_size / step)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.maps = Maps(num_classes=num_classes, width=settings.width)

    @property
    def compiled_part(self) -> nn.Module:
        """What --compile compiles: around it shapes differ from batch to batch."""
        return self.maps

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> Losses | list[Detection] | tuple[Losses, list[Detection]]:
        """Losses of each image (N,) in training, else detections, with losses if there are targets.

        Args:
            images: (3, H, W) each, uint8 or float in [0, 1], not larger than the image size.
            targets: of each image boxes (k, 4) in its pixels, and labels (k,).
        """
        logits, sides = self.maps(self.canvas(images))
        logits, boxes = logits.float(), sides_to_boxes(sides.float())
        inside = self.cells_inside(images)
        losses: Losses = {}
        if targets is not None:
            losses = map_losses(logits, boxes, inside, targets, STRIDE)
            losses["boxes"] *= self.settings.box_weight
        if self.training:
            return losses
        detections = self.detect(logits.sigmoid() * inside.unsqueeze(1), boxes, images)
        return detections if targets is None else (losses, detections)

    def canvas(self, images: list[Tensor]) -> Tensor:
        """Normalised images (N, 3, side, side), 0 where they do not reach.

        Its size does not depend on the other images of a batch, and so the results do not either.
        """
        canvas = self.mean.new_zeros(len(images), 3, self.side, self.side)
        for place, image in zip(canvas, images, strict=True):
            height, width = image.shape[1:]
            floats = image if image.is_floating_point() else image / 255
            place[:, :height, :width] = (floats - self.mean) / self.std
        return canvas

    def cells_inside(self, images: list[Tensor]) -> Tensor:
        """(N, h, w): whether some of a cell is inside the image."""
        starts = torch.arange(0, self.side, STRIDE, device=self.mean.device)
        sizes = torch.tensor([image.shape[1:] for image in images])
        sizes = sizes.to(starts.device, non_blocking=True)  # without waiting for the device
        rows, columns = (starts < sizes[:, axis, None] for axis in (0, 1))
        return rows[:, :, None] & columns[:, None, :]

    def detect(self, scores: Tensor, boxes: Tensor, images: list[Tensor]) -> list[Detection]:
        """The highest peaks of the maps (N, classes, h, w), with their boxes from (N, h, w, 4)."""
        peaks = scores * (max_pool2d(scores, 3, stride=1, padding=1) == scores)
        count = min(4 * self.settings.max_detections, peaks[0].numel())
        best, places = peaks.flatten(1).topk(count)
        labels, cells = places // boxes[0, ..., 0].numel(), places % boxes[0, ..., 0].numel()
        chosen = boxes.flatten(1, 2).gather(1, cells.unsqueeze(2).expand(-1, -1, 4))
        return [
            self._select(chosen[n], best[n], labels[n], image.shape[1:])
            for n, image in enumerate(images)
        ]

    def _select(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, size: Sequence[int]
    ) -> Detection:
        """Those with enough score, one for each object."""
        enough = scores > self.settings.score_threshold
        boxes, scores, labels = clip_boxes(boxes[enough], *size), scores[enough], labels[enough]
        kept = batched_nms(boxes, scores, labels, self.settings.nms_iou)
        kept = kept[: self.settings.max_detections]
        return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}


class Maps(nn.Module):
    """The convolutions of the detector."""

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.middles = nn.Conv2d(2 * width, num_classes, 1)
        self.sides = nn.Conv2d(2 * width, 4, 1)
        nn.init.normal_(self.middles.weight, std=0.01)
        nn.init.constant_(self.middles.get_parameter("bias"), -math.log(99))  # 1% sure at first

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) to logits (N, classes, h, w) and sides (N, 4, h, w)."""
        features = self.backbone(images)
        return self.middles(features), self.sides(features)


class Backbone(nn.Module):
    """Features (N, 2 * width, H / 4, W / 4) that know their surroundings.

    Each stage halves the image; then, from the deepest up, each is added to the one before (feature
    pyramid, Lin et al. 2017, https://arxiv.org/abs/1612.03144).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.stem = Conv2dNormActivation(3, width, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                Conv2dNormActivation(before, after, stride=2), Conv2dNormActivation(after, after)
            )
            for before, after in pairwise(channels)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(c, 2 * width, 1) for c in channels[1:])
        self.last = Conv2dNormActivation(2 * width, 2 * width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to features."""
        features, levels = self.stem(images), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            features = stage(features)
            levels.append(lateral(features))
        together = levels.pop()
        while levels:
            together = interpolate(together, scale_factor=2) + levels.pop()
        last: Tensor = self.last(together)
        return last


def sides_to_boxes(sides: Tensor) -> Tensor:
    """Boxes (N, h, w, 4) in pixels, with sides exp(``sides``) cells away from each cell's middle.

    Args:
        sides: (N, 4, h, w), to the left, top, right and bottom.
    """
    rows, columns = (
        STRIDE * (torch.arange(length, device=sides.device) + 0.5) for length in sides.shape[2:]
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    left, top, right, bottom = (STRIDE * sides.clamp(max=8).exp()).unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=3)


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for data of which ``facts`` are known.

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes, image_size = len(facts["classes"]), facts["image_size"]
    if settings.model != "small":
        return torchvision_detector(settings, num_classes, image_size, initialize)
    return SmallDetector(
        settings,
        num_classes=num_classes,
        image_size=image_size,
        mean=facts["mean"],
        std=facts["std"],
    )
