"""Precision by recall."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

MAX_CURVES = 10


def draw_precision_recall(
    precisions: Sequence[np.ndarray], names: Sequence[str]
) -> tuple[Figure, str]:
    """The curves of the classes with the lowest average precision, their mean, and the caption.

    ``precisions`` has for each class the precision at a recall of 0, 0.01, ... 1 (101,).
    """
    worst = sorted(range(len(names)), key=lambda c: precisions[c].mean())[:MAX_CURVES]
    figure, recalls = Figure(figsize=(8, 4.5)), np.linspace(0, 1, 101)
    axes = figure.add_subplot()
    for place, c in enumerate(worst):
        label = f"{names[c]} (AP {precisions[c].mean():.2f})"
        line = "-" if place < 7 else "--"  # there are seven colors
        axes.plot(recalls, precisions[c], color=f"C{place}", linestyle=line, label=label)
    mean = np.mean(precisions, axis=0)
    label = f"mean of {len(names)} classes (AP {mean.mean():.2f})"
    axes.plot(recalls, mean, color="0.3", linewidth=3, label=label)
    figure.legend(loc="outside right upper")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    caption = "Precision and recall at IoU 0.5."
    if len(worst) < len(names):
        caption += f" Only the {len(worst)} worst of {len(names)} classes are shown."
    return figure, caption
