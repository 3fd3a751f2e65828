"""Figures with many images."""

import math
from collections.abc import Callable

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..engine.data import Data
from ..engine.seeding import seed_torch

MAX_SAMPLES = 24


def grid(num: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``num`` panels, in rows that are ``height`` inches high."""
    num_rows = math.ceil(num / columns)
    figure = Figure(figsize=(9, height * num_rows))
    return figure, [figure.add_subplot(num_rows, columns, n + 1) for n in range(num)]


def show(axes: Axes, image: torch.Tensor) -> None:
    """Show an image (C, H, W), uint8 or float in [0, 1], C = 1 or 3."""
    limit = 1 if image.is_floating_point() else 255
    pixels = (image / limit).clamp(0, 1).permute(1, 2, 0).squeeze(2).numpy()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_samples(data: Data, columns: int, height: float, draw: Callable[..., None]) -> Figure:
    """Augmented training samples from all over the data set, the same ones every time."""
    indices = range(0, len(data.train), math.ceil(len(data.train) / MAX_SAMPLES))
    figure, panels = grid(len(indices), columns, height)
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it is
        for axes, i in zip(panels, indices, strict=True):
            seed_torch(i)
            draw(axes, data.train[i])
    return figure
