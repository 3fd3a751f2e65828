"""Step 6, the task's part: predicted against true values, residuals, and the worst rows."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from .loaders import Data
from .utils import shorten

MAX_ROWS = 15


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` holds ``index``, ``prediction`` and ``target``, all (N,), the last two in the
    target's own units, or nothing before the first validation.
    """
    if not predictions:
        return
    name = shorten(str(data.facts["target"]), 28)
    prediction, target = predictions["prediction"], predictions["target"]
    caption = "Validation rows. A perfect prediction lies on the line."
    yield "predicted_against_true", draw_agreement(prediction, target, name), caption
    caption = "Residuals of the validation rows: how they are spread (left), and whether they "
    caption += "depend on the prediction (right); a trend there is something left to learn."
    yield "residuals", draw_residuals(prediction, target, name), caption
    caption = "The validation rows with the largest errors. Some may be wrong data."
    yield "worst_rows", draw_worst(predictions["index"], prediction, target, data, name), caption


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
        [shorten(data.val.describe(int(index[n])), 60), *(format(value, form) for value in row)]
        for n, row in zip(worst, values, strict=True)
    ]
    figure = Figure(figsize=(9, 0.5 + 0.28 * len(cells)))
    axes = figure.add_subplot()
    axes.axis("off")
    table = axes.table(
        cellText=cells,
        colLabels=["row", f"true {shorten(name, 12)}", "predicted", "true - predicted"],
        colWidths=[0.49, 0.17, 0.17, 0.17],
        cellLoc="right",
        bbox=Bbox.unit(),
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (_, column), cell in table.get_celld().items():
        cell.set_edgecolor("0.85")
        if column == 0:
            cell.set_text_props(ha="left")
    return figure


def opacity(num_points: int) -> float:
    """Lighter dots where many lie over one another."""
    return float(np.clip(1000 / max(num_points, 1), 0.05, 0.8))
