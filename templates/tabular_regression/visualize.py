"""Step 6, visualize results: residuals of numbers, confusion of classes, and the worst rows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from .engine.data import Data
from .engine.files import shorten
from .engine.inputs import PredictOptions
from .loaders import DataInfo
from .report.best_classes import best_classes
from .report.calibration import draw_calibration, draw_thresholds
from .report.confusion import count_pairs, draw_classes, draw_confusion
from .report.mistakes import confident_mistakes, draw_no_mistakes
from .report.probabilities import draw_roc
from .report.tables import draw_table

MAX_ROWS = 15
Figures = Iterator[tuple[str, Figure, str]]


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Figures:
    """Yield (file name, figure, caption).

    ``predictions`` has the outputs of ``Criterion.evaluate`` and ``index`` (N,) into data.val. It
    is empty before the first validation.
    """
    if "logits" in predictions:
        yield from draw_classification(predictions, data)
    elif predictions:
        yield from draw_regression(predictions, data)


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes; ``places`` are the files with the row in them."""
    if info.classes:
        found = best_classes(outputs["logits"], info.classes, options.top)
    else:
        ends = {"": "prediction", "_low": "low", "_high": "high"}  # of intervals, if there are some
        known = {info.target + end: outputs[n].tolist() for end, n in ends.items() if n in outputs}
        found = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    for place, row in zip(places, found, strict=True):
        yield {"row": place} | row


def draw_regression(predictions: Mapping[str, np.ndarray], data: Data) -> Figures:
    """The figures of numbers."""
    name = shorten(data.info.target, 28)
    prediction, target = predictions["prediction"], predictions["target"]
    figure = draw_agreement(prediction, target, name)
    yield "predicted_against_true", figure, "The line is a perfect prediction."
    caption = "Residuals. A trend on the right is something left to learn."
    yield "residuals", draw_residuals(prediction, target, name), caption
    caption = "The rows with the largest errors. Some may be wrong data."
    yield "worst_rows", draw_worst(predictions["index"], prediction, target, data), caption


def draw_classification(predictions: Mapping[str, np.ndarray], data: Data) -> Figures:
    """The figures of classes."""
    names = [shorten(name, 24) for name in data.info.classes]
    target, logits = torch.from_numpy(predictions["target"]), predictions["logits"]
    probabilities = torch.from_numpy(logits).softmax(dim=1)
    counts = count_pairs(predictions["target"], logits.argmax(axis=1), len(names))
    yield "confusion_matrix", *draw_confusion(counts, names, "rows")
    yield "classes", *draw_classes(counts, names, "rows")
    if len(names) == 2:
        yield "thresholds", *draw_thresholds(logits, predictions["target"], names[1])
    else:
        yield "roc_curves", *draw_roc(probabilities, target, names)
    yield "calibration", *draw_calibration(logits, predictions["target"], "rows")
    figure = draw_mistakes(predictions["index"], target.numpy(), probabilities.numpy(), data, names)
    yield "worst_rows", figure, "The most confident mistakes. Some may be wrong data."


def draw_agreement(prediction: np.ndarray, target: np.ndarray, name: str) -> Figure:
    """Predicted against true values, with the line where both are equal."""
    figure = Figure(figsize=(5.5, 5.5))
    axes = figure.add_subplot()
    lowest = min(prediction.min(), target.min())
    axes.axline((lowest, lowest), slope=1, color="0.4", linestyle="--", linewidth=1)
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


def opacity(num_points: int) -> float:
    """Less for more points, which lie over one another."""
    return float(np.clip(1000 / max(num_points, 1), 0.05, 0.8))


def draw_worst(index: np.ndarray, prediction: np.ndarray, target: np.ndarray, data: Data) -> Figure:
    """A table of the rows with the largest errors."""
    values = np.stack([target, prediction, target - prediction], axis=1)
    worst = np.argsort(-np.abs(values[:, 2]), kind="stable")[:MAX_ROWS]
    largest = np.abs(values[worst]).max()
    decimals = max(0, 3 - math.floor(math.log10(largest))) if largest else 0
    form = f",.{decimals}f" if 1e-4 < largest < 1e9 else ".4g"
    rows = [[data.val.describe(int(index[n])), *(f"{v:{form}}" for v in values[n])] for n in worst]
    titles = ["row", f"true {shorten(data.info.target, 12)}", "predicted", "true - predicted"]
    return draw_table(titles, rows, [0.49, 0.17, 0.17, 0.17])


def draw_mistakes(
    index: np.ndarray, target: np.ndarray, probabilities: np.ndarray, data: Data, names: list[str]
) -> Figure:
    """A table of the wrong predictions with the highest probability."""
    worst = confident_mistakes(target, probabilities, MAX_ROWS)
    if not len(worst):
        return draw_no_mistakes(len(target), "rows")
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    rows = []
    for n in worst:
        place, share = data.val.describe(int(index[n])), f"{confidence[n]:.0%}"
        rows.append([place, names[target[n]], names[predicted[n]], share])
    titles = ["row", "true class", "predicted class", "probability"]
    return draw_table(titles, rows, [0.4, 0.24, 0.24, 0.12])
