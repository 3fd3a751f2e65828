"""Step 3-1, helpers that belong to no single step: masks as tensors.

A mask (N, H, W) uint8 has the class of each pixel, or IGNORED.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .vision.legend import IGNORED


def one_hot(masks: Tensor, num_classes: int) -> Tensor:
    """(N, classes, H, W) bool: whether a pixel has a class. An ignored pixel has none."""
    classes = torch.arange(num_classes, device=masks.device, dtype=masks.dtype)
    return masks.unsqueeze(1) == classes.view(-1, 1, 1)


def confusion_matrices(predicted: Tensor, masks: Tensor, num_classes: int) -> Tensor:
    """(N, classes, classes): the pixels of each image by true class (row) and predicted class."""
    image = torch.arange(len(masks), device=masks.device).view(-1, 1, 1)
    cells = (image * num_classes + masks) * num_classes + predicted
    counts = torch.bincount(cells[masks != IGNORED], minlength=len(masks) * num_classes**2)
    return counts.view(-1, num_classes, num_classes)


def shrink_masks(masks: Tensor, max_side: int) -> Tensor:
    """The masks, scaled down so that the longer side has at most ``max_side`` pixels."""
    scale = max_side / max(masks.shape[1:])
    if scale >= 1:
        return masks
    return interpolate(masks.unsqueeze(1), scale_factor=scale, mode="nearest-exact").squeeze(1)
