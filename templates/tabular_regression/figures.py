"""Step 6, the task's part: residuals of numbers, confusion of classes, and the worst rows."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from .confusion import count_pairs, draw_classes, draw_confusion
from .loaders import Data
from .mistakes import confident_mistakes, draw_no_mistakes
from .tables import draw_table
from .utils import import_torchmetrics, shorten

MAX_ROWS, MAX_CURVES, NUM_BINS = 15, 10, 10

Drawn = Iterator[tuple[str, Figure, str]]


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Drawn:
    """Yield (file name, figure, caption).

    ``predictions`` holds ``index`` (N,) into data.val, ``target`` (N,), and ``prediction`` (N,) in
    the target's own units or ``logits`` (N, C); or nothing before the first validation.
    """
    if "logits" in predictions:
        yield from draw_classification(predictions, data)
    elif predictions:
        yield from draw_regression(predictions, data)


def draw_regression(predictions: Mapping[str, np.ndarray], data: Data) -> Drawn:
    """The figures for a number."""
    name = shorten(str(data.facts["target"]), 28)
    prediction, target = predictions["prediction"], predictions["target"]
    caption = "Validation rows. A perfect prediction lies on the line."
    yield "predicted_against_true", draw_agreement(prediction, target, name), caption
    caption = "Residuals of the validation rows: how they are spread (left), and whether they "
    caption += "depend on the prediction (right); a trend there is something left to learn."
    yield "residuals", draw_residuals(prediction, target, name), caption
    caption = "The validation rows with the largest errors. Some may be wrong data."
    yield "worst_rows", draw_worst(predictions["index"], prediction, target, data, name), caption


def draw_classification(predictions: Mapping[str, np.ndarray], data: Data) -> Drawn:
    """The figures for a class."""
    # Not above: to import it takes longer than all that is drawn for a number.
    import_torchmetrics()
    from torchmetrics.functional.classification import multiclass_calibration_error

    names = [shorten(str(name), 24) for name in data.facts["classes"]]
    target = torch.from_numpy(predictions["target"])
    shares = torch.from_numpy(predictions["logits"]).softmax(dim=1)
    probabilities, classes = shares.numpy(), predictions["target"]
    counts = count_pairs(classes, probabilities.argmax(axis=1), len(names))
    yield "confusion_matrix", *draw_confusion(counts, names, "rows")
    yield "classes", *draw_classes(counts, names, "rows")
    yield "roc_curves", *draw_roc(shares, target, names)
    error = multiclass_calibration_error(shares, target, len(names), NUM_BINS).item()
    caption = "How often the model is right (top) where it gives its answer a certain probability, "
    caption += f"and how many rows these are (bottom). On average {error:.1%} lie between them."
    yield "calibration", draw_calibration(probabilities, classes), caption
    figure = draw_mistakes(predictions["index"], classes, probabilities, data, names)
    yield "worst_rows", figure, "The most confident mistakes. Some may be wrong data."


def draw_agreement(prediction: np.ndarray, target: np.ndarray, name: str) -> Figure:
    """Predicted against true values, with the line where both are equal."""
    figure = Figure(figsize=(5.5, 5.5))
    axes = figure.add_subplot()
    both = np.concatenate([prediction, target])
    axes.axline((both.min(), both.min()), slope=1, color="0.4", linestyle="--", linewidth=1)
    axes.plot(target, prediction, ".", alpha=opacity(len(target)), markersize=8, mew=0)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", aspect="equal")
    return figure


def draw_residuals(prediction: np.ndarray, target: np.ndarray, name: str) -> Figure:
    """Histogram of true minus predicted, and the same against the prediction."""
    figure = Figure(figsize=(9, 3.8))
    left, right = figure.subplots(1, 2)
    residuals = target - prediction
    left.hist(residuals, bins=min(50, max(5, round(len(residuals) ** 0.5))), edgecolor="white")
    left.axvline(0, color="0.4", linestyle="--", linewidth=1)
    left.set(xlabel=f"true - predicted {name}", ylabel="number of rows")
    right.axhline(0, color="0.4", linestyle="--", linewidth=1)
    right.plot(prediction, residuals, ".", alpha=opacity(len(target)), markersize=8, mew=0)
    right.set(xlabel=f"predicted {name}", ylabel=f"true - predicted {name}")
    return figure


def draw_worst(
    index: np.ndarray, prediction: np.ndarray, target: np.ndarray, data: Data, name: str
) -> Figure:
    """A table of the rows with the largest errors."""
    residuals = target - prediction
    worst = np.argsort(-np.abs(residuals), kind="stable")[:MAX_ROWS]
    values = np.stack([target, prediction, residuals], axis=1)[worst]
    largest = np.abs(values).max()
    decimals = max(0, 3 - math.floor(math.log10(largest))) if largest else 0
    form = f",.{decimals}f" if 1e-4 < largest < 1e9 else ".4g"
    cells = [
        [data.val.describe(int(index[n])), *(format(value, form) for value in row)]
        for n, row in zip(worst, values, strict=True)
    ]
    titles = ["row", f"true {shorten(name, 12)}", "predicted", "true - predicted"]
    return draw_table(titles, cells, [0.49, 0.17, 0.17, 0.17])


def draw_roc(shares: Tensor, target: Tensor, names: list[str]) -> tuple[Figure, str]:
    """The ROC curve of each class against the others, the worst ones if there are many."""
    from torchmetrics.functional.classification import binary_auroc, binary_roc

    present = [c for c in range(len(names)) if 0 < (target == c).sum() < len(target)]
    areas = {c: binary_auroc(shares[:, c], (target == c).long()).item() for c in present}
    shown = sorted(present, key=areas.__getitem__)[:MAX_CURVES]
    if len(names) == 2:  # the two curves are mirror images
        shown = shown[-1:]
    figure = Figure(figsize=(7.5, 4.8))
    axes = figure.add_subplot()
    axes.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    for c in shown:
        false, true, _ = binary_roc(shares[:, c], (target == c).long())
        axes.plot(false, true, label=f"{names[c]} ({areas[c]:.3f})", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="share of the other rows taken for the class", ylabel="share of its rows found")
    if shown:
        figure.legend(loc="outside right upper", title="class (area)")
    caption = "ROC curves: what it costs to find more rows of a class; chance is the line."
    if len(shown) < min(len(present), MAX_CURVES + 1) and len(names) > 2:
        caption += (
            f" Only the {len(shown)} of {len(present)} classes with the least area are shown."
        )
    return figure, caption


def draw_calibration(probabilities: np.ndarray, target: np.ndarray) -> Figure:
    """Accuracy against the probability of the answer, in bins of like width."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    edges = np.linspace(0, 1, NUM_BINS + 1)
    group = np.digitize(confidence, edges[1:-1])
    bins = [(confidence[group == b], right[group == b]) for b in np.unique(group)]
    figure = Figure(figsize=(5.5, 6))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    top.plot([c.mean() for c, _ in bins], [r.mean() for _, r in bins], "o-", clip_on=False)
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    bottom.hist(confidence, bins=edges.tolist(), edgecolor="white")
    bottom.set(xlabel="probability of the predicted class", ylabel="rows")
    return figure


def draw_mistakes(
    index: np.ndarray, target: np.ndarray, probabilities: np.ndarray, data: Data, names: list[str]
) -> Figure:
    """A table of the wrong predictions with the highest probability."""
    worst = confident_mistakes(target, probabilities, MAX_ROWS)
    if not len(worst):
        return draw_no_mistakes(len(target), "rows")
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = [
        [
            data.val.describe(int(index[n])),
            names[target[n]],
            names[predicted[n]],
            f"{confidence[n]:.0%}",
        ]
        for n in worst
    ]
    titles = ["row", "true class", "predicted class", "probability"]
    return draw_table(titles, rows, [0.4, 0.24, 0.24, 0.12])


def opacity(num_points: int) -> float:
    """Lighter dots where many lie over one another."""
    return float(np.clip(1000 / max(num_points, 1), 0.05, 0.8))
