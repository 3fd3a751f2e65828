"""Step 3, define and load models: a small detector without anchors, and torchvision's by name."""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d
from torchvision.ops import Conv2dNormActivation, batched_nms

from .criterion import heatmap_losses
from .engine.exporting import ExportForm
from .hyperparameters import Hyperparameters
from .loaders import DataInfo, Target
from .utils import cells_to_boxes, clip_boxes
from .vision.detectors import Detection, Losses, build_detector
from .vision.exported import detector_form
from .vision.pixels import require_pixels

STRIDE = 4  # pixels of the image per cell of the heatmaps
NUM_STAGES = 4  # of the backbone; each halves the resolution, after the stem has halved it


class SmallDetector(nn.Module):
    """Predicts heatmaps of the centers of objects, and in each cell the distances to the sides.

    As in "Objects as Points" (Zhou et al. 2019, https://arxiv.org/abs/1904.07850); as in TTFNet
    (Liu et al. 2020, https://arxiv.org/abs/1909.00700), the cells around a center learn the box
    too. Images must not be larger than ``info.image_size``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        super().__init__()
        assert info.image_size is not None
        self.hparams = hparams
        smallest = STRIDE * 2 ** (NUM_STAGES - 1)
        self.side = smallest * math.ceil(info.image_size / smallest)
        self.register_buffer("mean", torch.tensor(info.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(info.std).view(-1, 1, 1))
        self.network = HeatmapNetwork(num_classes=len(info.classes), width=hparams.width)

    @property
    def compile_target(self) -> nn.Module:
        """The submodule that --compile compiles; the shapes around it change with each batch."""
        return self.network

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> Losses | list[Detection] | tuple[Losses, list[Detection]]:
        """In training mode the losses of each image (N,), else detections, after losses if targets.

        Args:
            images: (3, H, W) each, uint8 or float in [0, 1].
            targets: boxes (k, 4) in pixels and labels (k,) of each image.
        """
        logits, distances = self.network(self.normalize(images))
        logits, boxes = logits.float(), cells_to_boxes(distances.float(), STRIDE)
        is_inside = self.cells_inside(images)
        losses: Losses = {}
        if targets is not None:
            losses = heatmap_losses(logits, boxes, is_inside, targets, STRIDE)
            losses["boxes"] *= self.hparams.box_weight
        if self.training:
            return losses
        detections = self.detect(logits.sigmoid() * is_inside.unsqueeze(1), boxes, images)
        return detections if targets is None else (losses, detections)

    def normalize(self, images: list[Tensor]) -> Tensor:
        """Normalized images, padded with 0 to (N, 3, side, side) whatever the largest one is.

        So the results for an image do not depend on the other images of its batch.
        """
        canvas = self.mean.new_zeros(len(images), 3, self.side, self.side)
        for padded, image in zip(canvas, images, strict=True):
            height, width = image.shape[1:]
            if not self.training:
                require_pixels(image)
            pixels = image if image.is_floating_point() else image / 255
            padded[:, :height, :width] = (pixels - self.mean) / self.std
        return canvas

    def cells_inside(self, images: list[Tensor]) -> Tensor:
        """(N, h, w): whether a cell is at least partly inside the image."""
        starts = torch.arange(0, self.side, STRIDE, device=self.mean.device)
        sizes = torch.tensor([image.shape[1:] for image in images])
        sizes = sizes.to(starts.device, non_blocking=True)
        rows, columns = (starts < sizes[:, axis, None] for axis in (0, 1))
        return rows[:, :, None] & columns[:, None, :]

    def detect(self, scores: Tensor, boxes: Tensor, images: list[Tensor]) -> list[Detection]:
        """The peaks of the heatmaps (N, classes, h, w), with their boxes from (N, h, w, 4)."""
        peaks = scores * (max_pool2d(scores, 3, stride=1, padding=1) == scores)
        num_cells = boxes[0, ..., 0].numel()
        count = min(4 * self.hparams.max_detections, peaks[0].numel())
        best, positions = peaks.flatten(1).topk(count)
        labels, cells = positions // num_cells, positions % num_cells
        chosen = boxes.flatten(1, 2).gather(1, cells.unsqueeze(2).expand(-1, -1, 4))
        detections = []
        for n, image in enumerate(images):
            is_high = best[n] > self.hparams.score_threshold
            found, scored, classes = chosen[n][is_high], best[n][is_high], labels[n][is_high]
            found = clip_boxes(found, *image.shape[1:])
            kept = batched_nms(found, scored, classes, self.hparams.nms_iou)
            kept = kept[: self.hparams.max_detections]
            item = {"boxes": found[kept], "scores": scored[kept], "labels": classes[kept]}
            detections.append(item)
        return detections


class HeatmapNetwork(nn.Module):
    """A backbone with a feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144)."""

    def __init__(self, *, num_classes: int, width: int) -> None:
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
        self.centers = nn.Conv2d(2 * width, num_classes, 1)
        self.distances = nn.Conv2d(2 * width, 4, 1)
        nn.init.normal_(self.centers.weight, std=0.01)
        nn.init.constant_(self.centers.get_parameter("bias"), -math.log(99))  # a score of 1%

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) to logits (N, classes, h, w) and distances (N, 4, h, w)."""
        features, levels = self.stem(images), []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            features = stage(features)
            levels.append(lateral(features))
        pyramid = levels.pop()
        while levels:
            pyramid = interpolate(pyramid, scale_factor=2) + levels.pop()
        features = self.last(pyramid)
        return self.centers(features), self.distances(features)


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model, which is called like ``SmallDetector``.

    ``initialize=False`` loads no pretrained weights, for a model that a checkpoint will fill.
    """
    if hparams.model == "small":
        return SmallDetector(hparams, info)
    return build_detector(
        hparams.model,
        num_classes=len(info.classes),
        image_size=info.image_size,
        score_threshold=hparams.score_threshold,
        nms_iou=hparams.nms_iou,
        max_detections=hparams.max_detections,
        pretrained=hparams.pretrained,
        freeze_backbone=hparams.freeze_backbone,
        initialize=initialize,
    )


def make_export(model: nn.Module, hparams: Hyperparameters, info: DataInfo) -> ExportForm:
    """What export needs to know of the model."""
    return detector_form(
        model, partial(cells_to_boxes, stride=STRIDE), info.image_size, vars(hparams)
    )
