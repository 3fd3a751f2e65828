"""Masks in color over images."""

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb
from torch.nn.functional import interpolate

from .legend import IGNORED

OPACITY = 0.6  # of a mask over its image


def class_colors(num: int) -> np.ndarray:
    """(num, 3) in [0, 1]: a color for each class. Up to 20 are easy to tell apart."""
    if num <= 20:
        dark_then_light = [*range(0, 20, 2), *range(1, 20, 2)]
        return np.array(colormaps["tab20"](dark_then_light[:num]))[:, :3]
    steps = np.arange(num) * 0.618  # golden ratio: each hue is far from those just before
    return hsv_to_rgb(np.stack([steps % 1, 1 - 0.5 * (steps % 0.7), np.full(num, 0.9)], axis=1))


def overlay(image: torch.Tensor, mask: torch.Tensor, num_classes: int) -> torch.Tensor:
    """The image (3, H, W) with a mask (h, w) in color over it; ignored pixels stay as they are."""
    size = image.shape[1:]
    mask = interpolate(mask[None, None], size=size, mode="nearest-exact")[0, 0].long()
    has_class = mask != IGNORED
    palette = torch.from_numpy(class_colors(num_classes)).float()
    colors = palette[torch.where(has_class, mask, 0)].permute(2, 0, 1)
    return torch.lerp(image / 255, colors, OPACITY * has_class)
