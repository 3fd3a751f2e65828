"""Step 6, the task's part: confusion, quality of each class, mistakes, and augmented samples."""

import math
from collections.abc import Iterator, Mapping
from unicodedata import east_asian_width

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .loaders import Data
from .utils import seed_torch

MAX_CONFUSED, MAX_CLASSES = 100, 40  # classes in the matrix, and in the figure below it
MAX_MISTAKES, MAX_SAMPLES = 12, 24


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` holds ``index`` (N,) into data.val, ``logits`` (N, C) and ``target`` (N,), or
    nothing before the first validation.
    """
    names = [shorten(str(name), 24) for name in data.facts["classes"]]
    if predictions:
        index, target = predictions["index"], predictions["target"]
        probabilities = torch.from_numpy(predictions["logits"]).softmax(dim=1).numpy()
        counts = np.zeros((len(names), len(names)), dtype=np.int64)  # true class, predicted class
        np.add.at(counts, (target, probabilities.argmax(axis=1)), 1)
        yield "confusion_matrix", *draw_confusion(counts, names)
        yield "classes", *draw_classes(counts, names)
        figure = draw_mistakes(index, target, probabilities, data, names)
        yield "mistakes", figure, "The most confident mistakes. Some may be wrong labels."
    yield "augmented_samples", draw_samples(data, names), "Training images as the model sees them."


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing to divide by."""
    return np.where(whole > 0, part / whole.clip(min=1), np.nan)


def draw_confusion(counts: np.ndarray, names: list[str]) -> tuple[Figure, str]:
    """The confusion matrix, in which many classes leave no room for numbers, and its caption."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:MAX_CONFUSED])
    shares, counts = shares[np.ix_(shown, shown)], counts[np.ix_(shown, shown)]
    labels, num = [names[c] for c in shown], len(shown)
    side = min(max(3.0, 0.42 * num), 13.0)  # inches
    figure = Figure(figsize=(side + 1.5, side))
    axes = figure.add_subplot()
    colours = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(colours, ax=axes, label="share of the true class", fraction=0.04)
    axes.set(xlabel="predicted class", ylabel="true class")
    size = min(9, 46 * side / num)  # points; a row has 72 * side / num
    angle = 0 if max(map(len, labels)) * 0.1 < side / num else 90
    axes.set_xticks(range(num), labels, fontsize=size, rotation=angle)
    axes.set_yticks(range(num), labels, fontsize=size)
    for row, column in np.argwhere(counts) if num <= 30 else []:
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, f"{counts[row, column]}", color=colour, ha="center", va="center")
    caption = "Validation images by true and predicted class; the colour is the share of the row."
    if num < len(names):
        caption += f" Only the {num} of {len(names)} classes with the most mistakes are shown."
    return figure, caption


def draw_classes(counts: np.ndarray, names: list[str]) -> tuple[Figure, str]:
    """Precision, recall and F1 of each class, lowest F1 on top, and the caption."""
    support, predicted, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    f1 = ratio(2 * right, support + predicted)
    order = np.lexsort((f1, support == 0))  # classes without an image come last
    present = [int(c) for c in order if support[c] + predicted[c] > 0]
    shown = present[:MAX_CLASSES]
    figure, rows = Figure(figsize=(8, 1.2 + 0.24 * len(shown))), range(len(shown))
    axes = figure.add_subplot()
    axes.barh(rows, f1[shown], color="#56B4E9", height=0.7, label="F1")
    for whole, marker, label in ((predicted, ">", "precision"), (support, "o", "recall")):
        values = ratio(right, whole)[shown]
        axes.plot(values, rows, marker, label=label, markersize=7, mec="white", clip_on=False)
    axes.set_yticks(rows, [f"{names[c]}  (n = {support[c]})" for c in shown])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5), xlabel="share")
    figure.legend(loc="outside upper center", ncols=3)
    caption = "Each class of the validation set, lowest F1 first; n is the number of its images."
    if len(shown) < len(present):
        caption += f" Only {len(shown)} of {len(present)} classes are shown."
    return figure, caption


def draw_mistakes(
    index: np.ndarray, target: np.ndarray, probabilities: np.ndarray, data: Data, names: list[str]
) -> Figure:
    """The wrong predictions with the highest probability, each with its image."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != target)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MAX_MISTAKES]
    if not len(worst):
        figure = Figure(figsize=(6, 1))
        figure.text(0.5, 0.5, f"No mistakes on {len(target)} images.", ha="center", va="center")
        return figure
    figure, panels = grid(len(worst), columns=4, height=2.9)
    for axes, n in zip(panels, worst, strict=True):
        i = int(index[n])
        show(axes, data.val[i][0])
        answer = f"predicted: {shorten(names[predicted[n]], 17)} ({confidence[n]:.0%})"
        axes.set_title(f"true: {shorten(names[target[n]], 24)}\n{answer}", fontsize=8, loc="left")
        axes.set_xlabel(shorten(data.val.describe(i), 36), fontsize=7)
    return figure


def draw_samples(data: Data, names: list[str]) -> Figure:
    """A grid of training samples from all over the set, the same ones every time."""
    indices = range(0, len(data.train), math.ceil(len(data.train) / MAX_SAMPLES))
    figure, panels = grid(len(indices), columns=8, height=1.5)
    with torch.random.fork_rng(devices=[]):  # whatever comes after is as random as without
        for axes, i in zip(panels, indices, strict=True):
            seed_torch(i)
            image, label = data.train[i]
            show(axes, image)
            axes.set_title(label_text(label, names), fontsize=7)
    return figure


def label_text(label: int | torch.Tensor, names: list[str]) -> str:
    """The name of a class; of a mixture, those of its two largest parts."""
    label = torch.as_tensor(label)
    if label.ndim == 0:
        return shorten(names[int(label)], 18)
    shares, classes = (part.tolist() for part in label.topk(min(2, len(label))))
    pairs = zip(shares, classes, strict=True)
    parts = [f"{share:.0%} {names[c]}" for share, c in pairs if share >= 0.005]
    return "\n".join(shorten(part, 18) for part in parts)


def grid(num: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``num`` panels in rows that are ``height`` inches high."""
    lines = math.ceil(num / columns)
    figure = Figure(figsize=(9, height * lines))
    return figure, [figure.add_subplot(lines, columns, n + 1) for n in range(num)]


def show(axes: Axes, image: torch.Tensor) -> None:
    """Show an image (C, H, W), uint8 or float in [0, 1], C = 1 or 3."""
    limit = 1 if image.is_floating_point() else 255
    pixels = (image / limit).clamp(0, 1).permute(1, 2, 0).squeeze(2).numpy()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def shorten(text: str, width: int) -> str:
    """The text in one line, with its middle left out where it is too long."""
    text = " ".join(text.split())
    cells = sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
    width = width * len(text) // max(cells, 1)  # a Hangul letter is as wide as two Latin ones
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-half:]}"
