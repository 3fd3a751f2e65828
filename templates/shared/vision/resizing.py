"""Resizing inside a model's graph: antialiased and bilinear, as torchvision does it."""

from typing import Any

import torch
from torch import Tensor


def resize_matrix(length: Tensor, count: int, target: Tensor, side: int) -> Tensor:
    """What each of ``side`` new pixels takes from each of ``count`` old ones: (side, count).

    ``side`` pixels are the middle of ``target`` new ones; if these are fewer, the last are empty.

    Args:
        length: ``count`` as a tensor.
        count: pixels before.
        target: pixels of the whole resized image, a tensor.
        side: pixels of what is kept.
    """
    skipped = ((target - side).clamp(min=0) / 2).round()
    scale = length / target
    device = length.device
    new = torch.arange(side, device=device).unsqueeze(1) + skipped
    distance = (torch.arange(count, device=device) + 0.5 - (new + 0.5) * scale).abs()
    weights = (1 - distance / scale.clamp(min=1)).clamp(min=0) * (new < target)
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-6)


def resize_images(images: Tensor, shorter: int | None, side: int) -> Tensor:
    """Images (N, C, H, W) of any size as float (N, C, side, side), in the units they have.

    Either the shorter side gets ``shorter`` pixels and the middle is cut out, or (None) the longer
    side gets ``side`` pixels, and the rest at the right and at the bottom is 0.
    """
    lengths = image_size(images)
    target = resized_size(lengths, shorter, side)
    height, width = images.shape[2:]
    rows = resize_matrix(lengths[0], height, target[0], side)
    columns = resize_matrix(lengths[1], width, target[1], side)
    return rows @ images.float() @ columns.T


def image_size(images: Tensor) -> Tensor:
    """Height and width (2,), as a tensor that a graph computes from its input."""
    options: dict[str, Any] = {"dtype": torch.int64, "device": images.device}
    return torch.stack([torch.scalar_tensor(length, **options) for length in images.shape[2:]])


def resized_size(lengths: Tensor, shorter: int | None, side: int) -> Tensor:
    """Height and width (2,) to which images are resized, before they are cut or filled."""
    if shorter is None:
        return (lengths * side // torch.maximum(*lengths.unbind())).clamp(min=1)
    return lengths * shorter // torch.minimum(*lengths.unbind())
