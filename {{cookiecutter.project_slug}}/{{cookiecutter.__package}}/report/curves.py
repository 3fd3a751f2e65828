"""Curves of a training run, and the curve of find-lr."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .style import COLORS, style, to_png

NUM_COLUMNS = 3
LOOKS = {"train": ("training", COLORS[0]), "val": ("validation", COLORS[1])}


def draw_learning_curves(rows: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Figure:
    """One panel for each metric in the rows of metrics.jsonl, then learning rate and samples/s."""
    panels: dict[str, list[str]] = {}  # loss: [train/loss, val/loss]
    for key in dict.fromkeys(key for row in rows for key in row):
        split, _, name = key.partition("/")
        if split in LOOKS:
            panels.setdefault(name, []).append(key)
    panels |= {"learning rate": ["lr"], "samples per second": ["samples_per_second"]}
    num_lines = math.ceil(len(panels) / NUM_COLUMNS)
    figure = Figure(figsize=(9.6, 2.6 * num_lines + 0.3))
    handles: dict[str, Any] = {}
    for number, (title, keys) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(num_lines, NUM_COLUMNS, number)
        draw_panel(axes, rows, keys)
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.45", ls="--", lw=1, zorder=0, label="best epoch")
        axes.set(title=title.replace("_", " "), xlabel="epoch")
        artists, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, artists, strict=True))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(handles))
    return figure


def draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], keys: list[str]) -> None:
    """Values over epochs; a value that is missing or was not finite leaves a gap."""
    epochs, marker = [row["epoch"] for row in rows], "o" if len(rows) <= 30 else ""
    for key in keys:
        values = np.array([row.get(key) for row in rows], dtype=float)
        label, color = LOOKS.get(key.partition("/")[0], ("_", "0.3"))  # "_": not in the legend
        axes.plot(epochs, values, color=color, marker=marker, markersize=3, label=label)
        if label == "_":
            axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_lr_curve(
    lrs: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, proposal: float
) -> bytes:
    """PNG of the training loss over the learning rate, (N,) each, with the proposal marked."""
    with style():
        figure = Figure(figsize=(6.4, 3.8))
        axes = figure.add_subplot()
        axes.plot(lrs, losses, ".-", color="0.7", linewidth=1, label="loss of a step")
        axes.plot(lrs, smoothed, color=COLORS[0], linewidth=2, label="smoothed")
        axes.axvline(proposal, color=COLORS[1], ls="--", label=f"proposal: {proposal:.2g}")
        low = min(losses.min(), smoothed.min())
        high = losses[lrs <= 10 * lrs[0]].max()  # the last losses are far too high to show
        axes.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda lr, _: f"{lr:.0e}"))
        axes.legend(loc="lower left")
        return to_png(figure)
