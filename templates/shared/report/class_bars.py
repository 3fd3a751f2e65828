"""One bar for each class: how good a model is at it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

MAX_CLASSES = 40


def draw_class_bars(
    scores: np.ndarray, counts: Sequence[int] | np.ndarray, names: list[str], label: str, noun: str
) -> tuple[Figure, str]:
    """Bars from 0 to 1, lowest first, and the caption.

    Args:
        scores: of each class; NaN for a class that does not occur.
        counts: a number for each class, written after its name.
        names: of the classes.
        label: what the scores are.
        noun: what the counts are of.
    """
    present = [int(c) for c in np.argsort(scores, kind="stable") if not np.isnan(scores[c])]
    shown = present[:MAX_CLASSES]
    figure, rows = Figure(figsize=(8, 1.2 + 0.24 * len(shown))), range(len(shown))
    axes = figure.add_subplot()
    bars = axes.barh(rows, scores[shown], color="#56B4E9", height=0.7)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    axes.set_yticks(rows, [f"{names[c]}  (n = {counts[c]:,})" for c in shown])
    axes.set(xlim=(0, 1.07), ylim=(len(shown) - 0.5, -0.5), xlabel=label)
    caption = f"Each class of the validation set, lowest first; n is the number of {noun}."
    if len(shown) < len(present):
        caption += f" Only {len(shown)} of {len(present)} classes are shown."
    return figure, caption
