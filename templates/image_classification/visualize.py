"""Step 6, visualize: the confusion matrix, the quality of each class, mistakes and samples."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .engine.data import Data
from .engine.files import shorten
from .engine.inputs import PredictOptions
from .loaders import DataInfo
from .report.best_classes import best_classes
from .report.calibration import draw_calibration, draw_thresholds
from .report.confusion import count_pairs, draw_classes, draw_confusion
from .report.mistakes import confident_mistakes, draw_no_mistakes
from .report.panels import draw_samples, grid, show
from .utils import describe_label

MAX_MISTAKES = 12


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """The figures of a run: (file name, figure, caption).

    ``predictions`` holds ``index`` (N,) into data.val, ``logits`` (N, C) and ``target`` (N,). It is
    empty before the first validation.
    """
    names = [shorten(name, 24) for name in data.info.classes]
    if predictions:
        index, target = predictions["index"], predictions["target"]
        probabilities = torch.from_numpy(predictions["logits"]).softmax(dim=1).numpy()
        counts = count_pairs(target, probabilities.argmax(axis=1), len(names))
        yield "confusion_matrix", *draw_confusion(counts, names, "images")
        yield "classes", *draw_classes(counts, names, "images")
        yield "calibration", *draw_calibration(predictions["logits"], target, "images")
        if len(names) == 2:
            yield "thresholds", *draw_thresholds(predictions["logits"], target, names[1])
        figure = draw_mistakes(index, target, probabilities, data, names)
        yield "mistakes", figure, "The most confident mistakes. Some may be wrong labels."
    figure = draw_samples(data, 8, 1.5, partial(draw_sample, names=names))
    yield "augmented_samples", figure, "Training images as the model sees them."


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes, one for each image.

    ``outputs`` are those of ``Criterion.evaluate``, and ``places`` the names of the samples.
    """
    found = best_classes(outputs["logits"], info.classes, options.top)
    for place, row in zip(places, found, strict=True):
        yield {"file": place} | row


def draw_mistakes(
    index: np.ndarray, target: np.ndarray, probabilities: np.ndarray, data: Data, names: list[str]
) -> Figure:
    """The wrong predictions with the highest probability, each with its image."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    worst = confident_mistakes(target, probabilities, MAX_MISTAKES)
    if not len(worst):
        return draw_no_mistakes(len(target), "images")
    figure, panels = grid(len(worst), columns=4, height=2.9)
    for axes, n in zip(panels, worst, strict=True):
        i = int(index[n])
        show(axes, data.val[i][0])
        answer = f"predicted: {shorten(names[predicted[n]], 17)} ({confidence[n]:.0%})"
        axes.set_title(f"true: {names[target[n]]}\n{answer}", fontsize=8, loc="left")
        axes.set_xlabel(shorten(data.val.describe(i), 36), fontsize=7)
    return figure


def draw_sample(axes: Axes, sample: tuple[Tensor, int | Tensor], names: list[str]) -> None:
    """A training image with its class."""
    image, label = sample
    show(axes, image)
    lines = [shorten(line, 18) for line in describe_label(label, names)]
    axes.set_title("\n".join(lines), fontsize=7)
