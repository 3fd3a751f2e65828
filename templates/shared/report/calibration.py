"""Whether probabilities of classes can be believed, and what a threshold costs."""

import numpy as np
import torch
from matplotlib.figure import Figure

from ..engine.calibration import NUM_BINS, calibration_error

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)  # marked on the curves


def draw_calibration(logits: np.ndarray, target: np.ndarray, noun: str) -> tuple[Figure, str]:
    """Accuracy against the probability of the answer, in bins of equal width, and the caption.

    From logits (N, C) and target (N,); ``noun`` says what is counted: images, rows.
    """
    probabilities = torch.from_numpy(logits).softmax(dim=1).numpy()
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    edges = np.linspace(0, 1, NUM_BINS + 1)
    group = np.digitize(confidence, edges[1:-1])
    bins = [(confidence[group == b], right[group == b]) for b in np.unique(group)]
    figure = Figure(figsize=(5.5, 6))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    top.plot([c.mean() for c, _ in bins], [r.mean() for _, r in bins], "o-", clip_on=False)
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    bottom.hist(confidence, bins=edges.tolist(), edgecolor="white")
    bottom.set(xlabel="probability of the predicted class", ylabel=noun)
    return figure, (
        "How often the model is right (top) when it gives its answer a certain probability, and "
        f"how many {noun} these are (bottom). The mean difference, the expected calibration error "
        f"(ECE), is {calibration_error(logits, target):.1%}."
    )


def draw_thresholds(logits: np.ndarray, target: np.ndarray, name: str) -> tuple[Figure, str]:
    """ROC and precision-recall curves of the second of two classes, and the caption."""
    from torchmetrics.functional.classification import binary_precision_recall_curve, binary_roc

    probability = torch.from_numpy(logits).softmax(dim=1)[:, 1]
    labels = torch.from_numpy(target)
    fpr, tpr, roc_thresholds = binary_roc(probability, labels)
    precision, recall, thresholds = binary_precision_recall_curve(probability, labels)
    figure = Figure(figsize=(9, 4.4))
    left, right = figure.subplots(1, 2)
    left.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    left.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC")
    right.axhline(float(labels.float().mean()), color="0.4", linestyle="--", linewidth=1)
    right.set(xlabel="recall", ylabel="precision", title="precision and recall")
    curves = [(left, fpr, tpr, roc_thresholds), (right, recall[:-1], precision[:-1], thresholds)]
    for axes, x, y, limits in curves:
        axes.step(x, y, where="post" if axes is left else "mid", clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
        for number, threshold in enumerate(THRESHOLDS):  # sizes tell equal places apart
            n, size = int((limits - threshold).abs().argmin()), 11 - 1.5 * number
            look = {"color": f"C{number + 1}", "markersize": size, "clip_on": False}
            axes.plot(x[n], y[n], "o", label=f"{threshold:g}", **look)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", title="threshold")
    return figure, (
        f"What is gained and lost if {name} is the answer from another probability on (dots). "
        "Dashed is chance."
    )
