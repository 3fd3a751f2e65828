"""Step 6, visualize: predicted masks, confused classes, the quality of each class, worst images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
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
from .vision.run_lengths import from_runs, to_runs

MAX_IMAGES = 8
MAX_LEGEND = 24  # classes
OPACITY = 0.6  # of a mask over its image


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
        caption = "Validation images, true masks, and predicted masks with the image's mean IoU."
        yield "overlays", draw_images(chosen, iou, predictions, data, names), caption
        yield "classes", *draw_classes(predictions, names)
        yield "confusion_matrix", *draw_confused_pixels(predictions, names)
        worst = np.argsort(iou, kind="stable")[:MAX_IMAGES]
        caption = "The validation images with the lowest mean IoU. Some true masks may be wrong."
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


def class_colors(num: int) -> np.ndarray:
    """(num, 3) in [0, 1]: a color for each class. Up to 20 are easy to tell apart."""
    if num <= 20:
        dark_then_light = [*range(0, 20, 2), *range(1, 20, 2)]
        return np.array(colormaps["tab20"](dark_then_light[:num]))[:, :3]
    steps = np.arange(num) * 0.618  # golden ratio: each hue is far from those just before
    return hsv_to_rgb(np.stack([steps % 1, 1 - 0.5 * (steps % 0.7), np.full(num, 0.9)], axis=1))


def overlay(image: torch.Tensor, mask: torch.Tensor, num_classes: int) -> torch.Tensor:
    """The image (3, H, W) with a mask (h, w) in color over it; ignored pixels stay as they are."""
    size = image.shape[1:]
    mask = interpolate(mask[None, None], size=size, mode="nearest-exact")[0, 0].long()
    has_class = mask != IGNORED
    palette = torch.from_numpy(class_colors(num_classes)).float()
    colors = palette[torch.where(has_class, mask, 0)].permute(2, 0, 1)
    return torch.lerp(image / 255, colors, OPACITY * has_class)


def draw_classes(predictions: Mapping[str, np.ndarray], names: list[str]) -> tuple[Figure, str]:
    """The IoU of each class over all images, lowest first, and the caption."""
    intersection, union = predictions["intersection"], predictions["union"]
    num_images = (union > 0).sum(axis=0)
    iou = ratio(intersection.sum(axis=0), union.sum(axis=0))
    figure, left_out = draw_class_bars(iou, num_images, names, "IoU")
    caption = (
        "Each class of the validation set, lowest first; n is the number of images with the class "
        "in the true or the predicted mask."
    )
    return figure, caption + left_out


def draw_confused_pixels(
    predictions: Mapping[str, np.ndarray], names: list[str]
) -> tuple[Figure, str]:
    """The confusion matrix of the pixels, and the caption."""
    target, predicted = predictions["target"], predictions["predicted"]
    has_class = target != IGNORED
    counts = count_pairs(target[has_class], predicted[has_class], len(names))
    return draw_confusion(counts, names, "pixels")


def draw_sample(axes: Axes, sample: tuple[torch.Tensor, torch.Tensor], names: list[str]) -> None:
    """A training image with its mask."""
    image, mask = sample
    show(axes, overlay(image, mask, len(names)))
