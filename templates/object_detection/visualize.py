"""Step 6, visualize: predicted boxes, precision and recall, missed objects, wrong detections."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from .engine.data import Data
from .engine.files import shorten
from .engine.inputs import PredictOptions
from .loaders import DataInfo, Sample
from .report.boxes import draw_box
from .report.class_bars import draw_class_bars
from .report.panels import draw_samples, grid, show
from .report.precision_recall import draw_precision_recall
from .vision.images import image_size, read_image
from .vision.matching import Matches, Predictions, describe_wrong, lowest, match, precision_curve

MAX_IMAGES, MAX_MISTAKES = 12, 8
MAX_TEXTS = 12  # in an image
TRUE, CORRECT, WRONG = "#56B4E9", "#00D890", "#FF9A40"  # bright, to be seen on photographs


def draw(predictions: Predictions, data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` has ``index`` (N,) into data.val, and what ``Predictions`` says. Before the
    first validation it is empty.
    """
    names = [shorten(name, 24) for name in data.info.classes]
    if predictions:
        matches = match(predictions)
        curves = [precision_curve(matches, label) for label in range(len(names))]
        yield "detections", *draw_detections(matches, data, names)
        present = [c for c, curve in enumerate(curves) if curve.num_objects]
        precisions = [curves[c].precisions for c in present]
        yield "precision_recall", *draw_precision_recall(precisions, [names[c] for c in present])
        scores = np.array([curve.average_precision for curve in curves])
        counts = [curve.num_objects for curve in curves]
        label = "average precision at IoU 0.5"
        yield "classes", *draw_class_bars(scores, counts, names, label, "its objects")
        yield "mistakes", *draw_mistakes(matches, data, names)
    figure = draw_samples(data, 6, 1.7, partial(draw_sample, names=names))
    yield "augmented_samples", figure, "Training images as the model sees them."


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes, one for each image.

    Boxes are x1, y1, x2, y2 in pixels of the file, the most certain first.
    """
    for n, place in enumerate(places):
        width, height = image_size(place)
        scale = np.array([width, height] * 2) / outputs["_size"][n][[1, 0, 1, 0]]
        is_kept = (outputs["labels"][n] >= 0) & (outputs["scores"][n] >= options.min_score)
        boxes = (outputs["boxes"][n][is_kept] * scale).tolist()
        names = [info.classes[label] for label in outputs["labels"][n][is_kept]]
        scores = outputs["scores"][n][is_kept].tolist()
        found = zip(names, scores, boxes, strict=True)
        objects = [{"class": name, "score": score, "box": box} for name, score, box in found]
        yield {"file": place, "objects": objects}


def make_picture(row: Mapping[str, Any], info: DataInfo) -> Tensor:
    """The image of a row (3, H, W) uint8, with its boxes."""
    image = read_image(row["file"], pixel_range=info.pixel_range)
    objects = row["objects"]
    if not objects:
        return image
    boxes = torch.tensor([found["box"] for found in objects])
    texts = [f"{found['class']} {found['score']:.2f}" for found in objects]
    drawn: Tensor = draw_bounding_boxes(image, boxes, texts, colors=CORRECT, width=2)
    return drawn


def draw_detections(matches: Matches, data: Data, names: list[str]) -> tuple[Figure, str]:
    """Evenly spaced images with true and predicted boxes, and the caption."""
    index = matches.predictions["index"]
    chosen = range(0, len(index), math.ceil(len(index) / MAX_IMAGES))
    figure, panels = grid(len(chosen), columns=4, height=2.5)
    for axes, n in zip(panels, chosen, strict=True):
        show(axes, data.val[int(index[n])][0])
        draw_boxes(axes, matches, n, names)
        axes.set_xlabel(shorten(data.val.describe(int(index[n])), 36), fontsize=7)
    return figure, (
        "Blue and dashed: true boxes; green: correct detections; orange: wrong "
        f"ones. Only scores from {matches.threshold:.2f} on are shown, where F1 is highest."
    )


def draw_boxes(axes: Axes, matches: Matches, n: int, names: list[str]) -> None:
    """The true boxes of image n, and the detections whose score is high enough."""
    image = {name: values[n] for name, values in matches.predictions.items()}
    for t in np.flatnonzero(image["true_labels"] >= 0):
        is_missed = matches.found_scores[n, t] < matches.threshold
        text = names[image["true_labels"][t]] if is_missed else ""
        draw_box(axes, image["true_boxes"][t], TRUE, text, "--")
    is_high = (image["labels"] >= 0) & (image["scores"] >= matches.threshold)
    for k in np.flatnonzero(is_high):
        text = f"{shorten(names[image['labels'][k]], 16)} {image['scores'][k]:.2f}"
        color = CORRECT if matches.is_correct[n, k] else WRONG
        draw_box(axes, image["boxes"][k], color, text if is_high.sum() <= MAX_TEXTS else "")


def draw_mistakes(matches: Matches, data: Data, names: list[str]) -> tuple[Figure, str]:
    """Crops of missed objects and of the wrong detections with the highest scores; the caption."""
    found, threshold = matches.predictions, matches.threshold
    is_missed = (found["true_labels"] >= 0) & (matches.found_scores < threshold)
    is_wrong = (found["labels"] >= 0) & (found["scores"] >= threshold) & ~matches.is_correct
    missed = lowest(matches.found_scores, is_missed, MAX_MISTAKES)
    wrong = lowest(-found["scores"], is_wrong, MAX_MISTAKES)
    caption = "Missed objects, and the wrong detections with the highest scores."
    if not len(missed) + len(wrong):
        figure = Figure(figsize=(6, 1))
        text = f"No mistakes in {len(found['index'])} images."
        figure.text(0.5, 0.5, text, ha="center", va="center")
        return figure, caption
    figure, panels = grid(len(missed) + len(wrong), columns=4, height=2.6)
    for axes, (n, t) in zip(panels, missed, strict=False):
        draw_crop(axes, data, int(found["index"][n]), found["true_boxes"][n, t], TRUE)
        axes.set_title(f"missed: {names[found['true_labels'][n, t]]}", fontsize=8, loc="left")
    for axes, (n, k) in zip(panels[len(missed) :], wrong, strict=True):
        draw_crop(axes, data, int(found["index"][n]), found["boxes"][n, k], WRONG)
        axes.set_title(describe_wrong(found, n, k, names), fontsize=8, loc="left")
    return figure, f"{caption} Some annotations may be wrong."


def draw_crop(axes: Axes, data: Data, i: int, box: Sequence[float], color: str) -> None:
    """A box of an image and what is around it."""
    image = data.val[i][0]
    show(axes, image)
    draw_box(axes, box, color)
    x1, y1, x2, y2 = map(float, box)
    side = min(2 * max(x2 - x1, y2 - y1, 8), max(image.shape[1:]))
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    axes.set(xlim=(x - side / 2, x + side / 2), ylim=(y + side / 2, y - side / 2))
    axes.set_xlabel(shorten(data.val.describe(i), 36), fontsize=7)


def draw_sample(axes: Axes, sample: Sample, names: list[str]) -> None:
    """A training image with its boxes."""
    image, target = sample
    show(axes, image)
    has_room = len(target["labels"]) <= MAX_TEXTS
    for box, label in zip(target["boxes"], target["labels"], strict=True):
        draw_box(axes, box.tolist(), TRUE, shorten(names[label], 12) if has_room else "")
