"""Step 6, visualize: predicted masks, confused classes, the quality of each class, worst images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch.nn.functional import interpolate

from .engine.data import Data
from .engine.files import shorten
from .engine.inputs import PredictOptions
from .loaders import DataInfo
from .report.class_bars import draw_class_bars
from .report.confusion import count_pairs, draw_confusion, ratio
from .report.panels import draw_samples, grid, show
from .vision.images import image_size, read_image
from .vision.legend import IGNORED
from .vision.overlays import class_colors, overlay
from .vision.run_lengths import from_runs, to_runs

MAX_IMAGES = 8
MAX_LEGEND = 24  # classes


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` has ``index`` (N,) into data.val, and of each image ``predicted`` and ``target``
    (N, h, w), small masks, and ``intersection`` and ``union`` (N, classes) in pixels. Before the
    first validation it is empty.
    """
    names = [shorten(name, 24) for name in data.info.classes]
    if predictions:
        iou = image_iou(predictions)
        chosen = np.unique(np.linspace(0, len(iou) - 1, MAX_IMAGES).astype(int))
        caption = "Images, true masks, and predicted masks with the image's mean IoU."
        yield "overlays", draw_images(chosen, iou, predictions, data, names), caption
        union, target = predictions["union"], predictions["target"]
        scores = ratio(predictions["intersection"].sum(axis=0), union.sum(axis=0))
        noun = "images with the class in the true or the predicted mask"
        yield "classes", *draw_class_bars(scores, (union > 0).sum(axis=0), names, "IoU", noun)
        has_class = target != IGNORED
        predicted = predictions["predicted"][has_class]
        counts = count_pairs(target[has_class], predicted, len(names))
        yield "confusion_matrix", *draw_confusion(counts, names, "pixels")
        worst = np.argsort(iou, kind="stable")[:MAX_IMAGES]
        caption = "The images with the lowest mean IoU. Some true masks may be wrong."
        yield "worst_images", draw_images(worst, iou, predictions, data, names), caption
    figure = draw_samples(data, 8, 1.4, partial(draw_sample, names=names))
    yield "augmented_samples", figure, "Training images as the model sees them, with their masks."


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes, one for each image.

    Each class that was found has its share of the pixels, and its mask in the size of the file.
    """
    for place, padded, target in zip(
        places, outputs["_predicted"], outputs["_target"], strict=True
    ):
        inside = target != IGNORED  # not padded
        predicted = torch.from_numpy(padded[: inside.any(1).sum(), : inside.any(0).sum()])
        width, height = image_size(place)
        resized = interpolate(predicted[None, None], size=(height, width), mode="nearest-exact")
        mask = resized[0, 0].numpy()
        found = np.unique(mask).tolist()
        shares = {info.classes[c]: float((mask == c).mean()) for c in found}
        masks = [
            {"class": info.classes[c], "size": [height, width], "counts": to_runs(mask == c)}
            for c in found
        ]
        yield {"file": place, "shares": shares, "masks": masks}


def make_picture(row: Mapping[str, Any], info: DataInfo) -> torch.Tensor:
    """The image of a row (3, H, W) uint8, with its masks in color over it."""
    image = read_image(row["file"], pixel_range=info.pixel_range)
    numbers = np.zeros(image.shape[1:], dtype=np.uint8)
    for found in row["masks"]:
        numbers[from_runs(found["counts"], found["size"])] = info.classes.index(found["class"])
    colored = overlay(image, torch.from_numpy(numbers), len(info.classes))
    return (colored * 255).round().byte()


def image_iou(predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,): the mean IoU of each image over the classes in the true or the predicted mask."""
    iou = ratio(predictions["intersection"], predictions["union"])
    num_classes = (predictions["union"] > 0).sum(axis=1)
    mean: np.ndarray = np.nansum(iou, axis=1) / num_classes.clip(min=1)
    return np.where(num_classes > 0, mean, 1.0)  # all pixels are ignored: no mistakes


def draw_images(
    chosen: np.ndarray,
    iou: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    data: Data,
    names: list[str],
) -> Figure:
    """Three panels for each of the chosen images: the image, the true mask, the predicted mask."""
    figure, panels = grid(3 * len(chosen), columns=6, height=1.9)
    shown: set[int] = set()
    for n, first in zip(chosen, range(0, len(panels), 3), strict=True):
        i = int(predictions["index"][n])
        image, target = data.val[i]
        predicted = torch.from_numpy(predictions["predicted"][n])
        show(panels[first], image)
        show(panels[first + 1], overlay(image, target, len(names)))
        show(panels[first + 2], overlay(image, predicted, len(names)))
        titles = (shorten(data.val.describe(i), 24), "true", f"predicted: {iou[n]:.2f}")
        for axes, title in zip(panels[first:], titles, strict=False):
            axes.set_title(title, fontsize=7, loc="left")
        shown.update(target.unique().tolist(), predicted.unique().tolist())
    add_legend(figure, sorted(shown - {IGNORED}), names)
    return figure


def add_legend(figure: Figure, classes: list[int], names: list[str]) -> None:
    """The colors of these classes."""
    colors = class_colors(len(names))
    patches = [Patch(color=colors[c], label=names[c]) for c in classes[:MAX_LEGEND]]
    columns = min(12, 130 // (8 + max(map(len, names))))
    figure.legend(handles=patches, loc="outside upper center", ncols=columns, fontsize=7)


def draw_sample(axes: Axes, sample: tuple[torch.Tensor, torch.Tensor], names: list[str]) -> None:
    """A training image with its mask."""
    image, mask = sample
    show(axes, overlay(image, mask, len(names)))
