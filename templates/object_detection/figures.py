"""Step 6, the task's part: predicted boxes, precision and recall, what was missed or made up."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .loaders import Data
from .matching import Curve, Found, Predictions, make_curve, match, overlaps
from .panels import draw_samples, grid, show
from .utils import shorten

MAX_IMAGES, MAX_MISTAKES = 12, 8
MAX_CLASSES, MAX_CURVES = 40, 10
MAX_TEXTS = 12  # names that are written into an image
TRUE, RIGHT, WRONG = "#56B4E9", "#00D890", "#FF9A40"  # bright, to be seen on photographs


def draw(predictions: Predictions, data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` holds ``index`` (N,) into data.val, and of each image ``boxes`` (N, K, 4),
    ``scores`` and ``labels`` (N, K), ``true_boxes`` (N, T, 4) and ``true_labels`` (N, T), label -1
    where there are fewer; or nothing before the first validation.
    """
    names = [shorten(str(name), 24) for name in data.facts["classes"]]
    if predictions:
        found = match(predictions)
        curves = [make_curve(found, number) for number in range(len(names))]
        yield "detections", *draw_detections(found, data, names)
        yield "precision_recall", *draw_curves(curves, names)
        yield "classes", *draw_classes(curves, names)
        yield "mistakes", *draw_mistakes(found, data, names)
    figure = draw_samples(data, 6, 1.7, partial(draw_sample, names=names))
    yield "augmented_samples", figure, "Training images as the model sees them."


def draw_detections(found: Found, data: Data, names: list[str]) -> tuple[Figure, str]:
    """Validation images from all over the set with true and predicted boxes, and the caption."""
    index = found.predictions["index"]
    chosen = range(0, len(index), math.ceil(len(index) / MAX_IMAGES))
    figure, panels = grid(len(chosen), columns=4, height=2.5)
    for axes, n in zip(panels, chosen, strict=True):
        i = int(index[n])
        show(axes, data.val[i][0])
        mark_all(axes, found, n, names)
        axes.set_xlabel(shorten(data.val.describe(i), 36), fontsize=7)
    return figure, (
        "Validation images. Blue and dashed: true boxes; green: right detections; orange: wrong "
        f"ones. Only scores from {found.threshold:.2f} on are shown, where F1 is highest."
    )


def mark_all(axes: Axes, found: Found, n: int, names: list[str]) -> None:
    """The true boxes of an image, and the detections with enough score."""
    image = {name: values[n] for name, values in found.predictions.items()}
    for t in np.flatnonzero(image["true_labels"] >= 0):
        missed = found.scores[n, t] < found.threshold
        text = names[image["true_labels"][t]] if missed else ""
        mark(axes, image["true_boxes"][t], TRUE, text, "--")
    sure = np.flatnonzero((image["labels"] >= 0) & (image["scores"] >= found.threshold))
    for k in sure:
        text = f"{shorten(names[image['labels'][k]], 16)} {image['scores'][k]:.2f}"
        colour = RIGHT if found.right[n, k] else WRONG
        mark(axes, image["boxes"][k], colour, text if len(sure) <= MAX_TEXTS else "")


def mark(axes: Axes, box: Sequence[float], colour: str, text: str = "", line: str = "-") -> None:
    """Draw a box onto an image, with a text above it."""
    x1, y1, x2, y2 = (float(side) - 0.5 for side in box)  # the pixel 0 begins at -0.5
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=line)
    axes.add_patch(frame)
    if text:
        background = {"facecolor": colour, "pad": 0.5, "linewidth": 0}
        axes.text(x1, y1, text, fontsize=6, va="bottom", bbox=background, clip_on=True)


def draw_curves(curves: list[Curve], names: list[str]) -> tuple[Figure, str]:
    """Precision over recall of the classes with the lowest average precision, and the caption."""
    present = [c for c, curve in enumerate(curves) if curve.num_objects]
    worst = sorted(present, key=lambda c: curves[c].average_precision)[:MAX_CURVES]
    figure, recalls = Figure(figsize=(8, 4.5)), np.linspace(0, 1, 101)
    axes = figure.add_subplot()
    for place, c in enumerate(worst):
        label = f"{names[c]} (AP {curves[c].average_precision:.2f})"
        line = "-" if place < 7 else "--"  # there are seven colours
        axes.plot(recalls, curves[c].precisions, color=f"C{place}", linestyle=line, label=label)
    mean = np.mean([curves[c].precisions for c in present], axis=0)
    label = f"mean of {len(present)} classes (AP {mean.mean():.2f})"
    axes.plot(recalls, mean, color="0.3", linewidth=3, label=label)
    figure.legend(loc="outside right upper")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    caption = "Precision and recall on the validation images at IoU 0.5."
    if len(worst) < len(present):
        caption += f" Only the {len(worst)} worst of {len(present)} classes are shown."
    return figure, caption


def draw_classes(curves: list[Curve], names: list[str]) -> tuple[Figure, str]:
    """Average precision of each class, lowest on top, and the caption."""
    present = [c for c, curve in enumerate(curves) if curve.num_objects]
    shown = sorted(present, key=lambda c: curves[c].average_precision)[:MAX_CLASSES]
    figure, rows = Figure(figsize=(8, 1.2 + 0.24 * len(shown))), range(len(shown))
    axes = figure.add_subplot()
    values = [curves[c].average_precision for c in shown]
    bars = axes.barh(rows, values, color="#56B4E9", height=0.7)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    axes.set_yticks(rows, [f"{names[c]}  (n = {curves[c].num_objects:,})" for c in shown])
    axes.set(xlim=(0, 1.07), ylim=(len(shown) - 0.5, -0.5), xlabel="average precision at IoU 0.5")
    caption = "Each class of the validation set, lowest first; n is the number of its objects."
    if len(shown) < len(present):
        caption += f" Only {len(shown)} of {len(present)} classes are shown."
    return figure, caption


def draw_mistakes(found: Found, data: Data, names: list[str]) -> tuple[Figure, str]:
    """Parts of images: objects that were missed, and wrong detections; and the caption."""
    said, caption = found.predictions, "Objects that were missed, and the surest wrong detections."
    missed = np.argwhere((said["true_labels"] >= 0) & (found.scores < found.threshold))
    missed = missed[np.argsort(found.scores[tuple(missed.T)], kind="stable")][:MAX_MISTAKES]
    wrong = (said["labels"] >= 0) & (said["scores"] >= found.threshold) & ~found.right
    made_up = np.argwhere(wrong)
    made_up = made_up[np.argsort(-said["scores"][wrong], kind="stable")][:MAX_MISTAKES]
    if not len(missed) + len(made_up):
        figure = Figure(figsize=(6, 1))
        text = f"No mistakes in {len(said['index'])} images."
        figure.text(0.5, 0.5, text, ha="center", va="center")
        return figure, caption
    figure, panels = grid(len(missed) + len(made_up), columns=4, height=2.6)
    for axes, (n, t) in zip(panels, missed, strict=False):
        name = names[said["true_labels"][n, t]]
        draw_part(axes, data, int(said["index"][n]), said["true_boxes"][n, t], TRUE)
        axes.set_title(f"missed: {name}", fontsize=8, loc="left")
    for axes, (n, k) in zip(panels[len(missed) :], made_up, strict=True):
        draw_part(axes, data, int(said["index"][n]), said["boxes"][n, k], WRONG)
        axes.set_title(describe_wrong(said, n, k, names), fontsize=8, loc="left")
    return figure, f"{caption} Some may be wrong annotations."


def describe_wrong(said: Predictions, n: int, k: int, names: list[str]) -> str:
    """What was said, and what is there."""
    overlap = overlaps(said, n)[k]
    best = int(overlap.argmax())
    there = f"{names[said['true_labels'][n, best]]}, IoU {overlap[best]:.2f}"
    name = shorten(names[said["labels"][n, k]], 17)
    answer = f"predicted: {name} ({said['scores'][n, k]:.2f})"
    return f"{answer}\ntrue: {there if overlap[best] > 0.1 else 'nothing'}"


def draw_part(axes: Axes, data: Data, i: int, box: Sequence[float], colour: str) -> None:
    """The surroundings of a box in a validation image."""
    image = data.val[i][0]
    show(axes, image)
    mark(axes, box, colour)
    x1, y1, x2, y2 = map(float, box)
    side = min(2 * max(x2 - x1, y2 - y1, 8), max(image.shape[1:]))
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    axes.set(xlim=(x - side / 2, x + side / 2), ylim=(y + side / 2, y - side / 2))
    axes.set_xlabel(shorten(data.val.describe(i), 36), fontsize=7)


def draw_sample(axes: Axes, sample: tuple[torch.Tensor, Any], names: list[str]) -> None:
    """A training image with its boxes."""
    image, target = sample
    show(axes, image)
    few = len(target["labels"]) <= MAX_TEXTS
    for box, label in zip(target["boxes"], target["labels"], strict=True):
        mark(axes, box.tolist(), TRUE, shorten(names[label], 12) if few else "")
