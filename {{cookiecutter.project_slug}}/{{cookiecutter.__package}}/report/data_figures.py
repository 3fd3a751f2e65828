"""What is in the data: how often each class occurs, and histograms."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ..engine.files import shorten
from .style import COLORS

MAX_CLASSES, NUM_COLUMNS, NUM_BINS = 40, 3, 30


def draw_class_counts(counts: Mapping[str, Mapping[str, int]]) -> tuple[Figure, str]:
    """A bar for each class in each split, and the caption. ``counts``: split -> class -> count."""
    totals = {name: sum(split[name] for split in counts.values()) for name in counts["train"]}
    shown = sorted(totals, key=lambda name: -totals[name])[:MAX_CLASSES]
    figure = Figure(figsize=(8, 1.2 + 0.24 * len(shown)))
    axes = figure.add_subplot()
    left = np.zeros(len(shown))
    for split, color in zip(counts, COLORS, strict=False):
        widths = np.array([counts[split][name] for name in shown])
        axes.barh(range(len(shown)), widths, left=left, color=color, height=0.7, label=split)
        left += widths
    axes.set_yticks(range(len(shown)), [f"{shorten(n, 30)}  ({totals[n]:,})" for n in shown])
    axes.set(ylim=(len(shown) - 0.5, -0.5), xlabel="count")
    figure.legend(loc="outside upper center", ncols=len(counts))
    left_out = f" The {len(shown)} most frequent of {len(totals)} classes are shown."
    caption = "How often each class occurs."
    return figure, caption + (left_out if len(shown) < len(totals) else "")


def draw_histograms(values: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """A panel for each kind of value, with a line for each split."""
    num_lines = math.ceil(len(values) / NUM_COLUMNS)
    figure = Figure(figsize=(9.6, 2.6 * num_lines + 0.3))
    for place, (what, splits) in enumerate(values.items(), start=1):
        axes = figure.add_subplot(num_lines, NUM_COLUMNS, place)
        known = {name: numbers[np.isfinite(numbers)] for name, numbers in splits.items()}
        edges = bin_edges(np.concatenate(list(known.values())))
        for (name, numbers), color in zip(known.items(), COLORS, strict=False):
            weights = np.full(len(numbers), 1 / max(1, len(numbers)))
            axes.hist(
                numbers, edges.tolist(), weights=weights, histtype="step", color=color, label=name
            )
        axes.set(title=shorten(what, 40), ylim=(0, None))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges (NUM_BINS + 1,) around finite values, which may all be nearly the same, or none."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low < 1e-9 * size or high == low:  # so the axis has numbers that can be read
        low, high = low - max(0.5, 0.1 * size), high + max(0.5, 0.1 * size)
    return np.linspace(low, high, NUM_BINS + 1)
