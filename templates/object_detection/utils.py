"""Step 3-1, helpers that belong to no single step: boxes (N, 4), x1, y1, x2, y2 in pixels.

box_iou: intersection over union, from 0 to 1. The others, from -1 to 1, also say how far apart
boxes are that do not overlap: generalized (https://arxiv.org/abs/1902.09630), distance and complete
(https://arxiv.org/abs/1911.08287). All compare each of (N, 4) with each of (M, 4): (N, M).
"""

import torch
from torch import Tensor
from torchvision import ops
from torchvision.ops import box_iou, complete_box_iou, distance_box_iou, generalized_box_iou

__all__ = [
    "box_iou",
    "cells_to_boxes",
    "clip_boxes",
    "complete_box_iou",
    "convert_boxes",
    "distance_box_iou",
    "generalized_box_iou",
    "pad_rows",
]


def convert_boxes(boxes: Tensor, source: str, target: str) -> Tensor:
    """Boxes from one format to another: xyxy, xywh (x1, y1, width, height) or cxcywh (center)."""
    converted: Tensor = ops.box_convert(boxes, in_fmt=source, out_fmt=target)
    return converted


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """The boxes without what reaches beyond an image of ``height`` × ``width`` pixels."""
    clipped: Tensor = ops.clip_boxes_to_image(boxes, (height, width))
    return clipped


def pad_rows(tensors: list[Tensor], length: int, value: int = 0) -> Tensor:
    """(N, length, ...) from N tensors with at most ``length`` rows each, filled with ``value``."""
    padded = tensors[0].new_full((len(tensors), length, *tensors[0].shape[1:]), value)
    for row, tensor in zip(padded, tensors, strict=True):
        row[: len(tensor)] = tensor
    return padded


def cells_to_boxes(distances: Tensor, stride: int) -> Tensor:
    """Boxes (N, h, w, 4) in pixels.

    Args:
        distances: (N, 4, h, w), from the center of each cell to the left, top, right and bottom
            side, as logarithms of numbers of cells.
        stride: size of a cell in pixels.
    """
    rows, columns = (
        stride * (torch.arange(length, device=distances.device) + 0.5)
        for length in distances.shape[2:]
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    left, top, right, bottom = (stride * distances.clamp(max=8).exp()).unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=3)
