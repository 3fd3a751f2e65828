"""The learning curves of several runs in one picture."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..engine.files import shorten
from .curves import NUM_COLUMNS
from .style import COLORS

Rows = Sequence[Mapping[str, Any]]
STYLES = ["-", "--", ":", "-."]  # when there are more groups than colors


def draw_compared_curves(groups: Sequence[tuple[str, Sequence[Rows]]]) -> Figure:
    """A panel for the training loss and each validation metric, a color for each group of runs."""
    rows = [row for _, runs in groups for rows in runs for row in rows]
    every = dict.fromkeys(key for row in rows for key in row)
    keys = [key for key in every if key == "train/loss" or key.startswith("val/")]
    num_lines = math.ceil(len(keys) / NUM_COLUMNS)
    figure = Figure(figsize=(9.6, 2.6 * num_lines + 0.3 + 0.2 * math.ceil(len(groups) / 3)))
    for place, key in enumerate(keys, start=1):
        axes = figure.add_subplot(num_lines, NUM_COLUMNS, place)
        for number, (name, runs) in enumerate(groups):
            look = {
                "color": COLORS[number % len(COLORS)],
                "linestyle": STYLES[number // len(COLORS) % len(STYLES)],
            }
            draw_group(axes, runs, key, look, shorten(name, 40))
        split, _, metric = key.partition("/")
        split = {"train": "training", "val": "validation"}[split]
        axes.set(title=f"{split} {metric.replace('_', ' ')}", xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def draw_group(
    axes: Axes, runs: Sequence[Rows], key: str, look: Mapping[str, Any], label: str
) -> None:
    """A line for a run; for several, thin lines and their mean over the epochs that all have."""
    curves = [np.array([row.get(key) for row in rows], dtype=float) for rows in runs]
    epochs = [[row["epoch"] for row in rows] for rows in runs]
    if len(runs) > 1:
        for x, curve in zip(epochs, curves, strict=True):
            axes.plot(x, curve, **look, alpha=0.35, linewidth=0.8)
    shortest = min(map(len, curves))
    mean = np.mean([curve[:shortest] for curve in curves], axis=0)
    axes.plot(
        epochs[0][:shortest], mean, **look, label=label, marker="o" * (shortest == 1), markersize=3
    )
