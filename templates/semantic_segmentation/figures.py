"""Step 6, the task's part: predicted masks, confusion and quality of classes, worst images."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch.nn.functional import interpolate

from .confusion import MAX_CLASSES, count_pairs, draw_confusion, ratio
from .loaders import Data
from .masks import IGNORED
from .panels import draw_samples, grid, show
from .utils import shorten

MAX_IMAGES, MAX_LEGEND = 8, 24
OPACITY = 0.6  # of a mask over its image


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` holds ``index`` (N,) into data.val; ``predicted`` and ``target`` (N, h, w),
    small masks; ``intersection`` and ``union`` (N, classes) in pixels; or nothing before the first
    validation.
    """
    names = [shorten(str(name), 24) for name in data.facts["classes"]]
    if predictions:
        num, iou = len(predictions["index"]), image_iou(predictions)
        chosen = np.unique(np.linspace(0, num - 1, MAX_IMAGES).astype(int))
        caption = (
            "Validation images, their true masks, and the predicted ones with the image's mean IoU."
        )
        yield "overlays", draw_images(chosen, iou, predictions, data, names), caption
        yield "classes", *draw_classes(predictions, names)
        target, predicted = predictions["target"], predictions["predicted"]
        counted = target != IGNORED
        counts = count_pairs(target[counted], predicted[counted], len(names))
        yield "confusion_matrix", *draw_confusion(counts, names, "pixels")
        worst = np.argsort(iou, kind="stable")[:MAX_IMAGES]
        caption = "The validation images with the lowest mean IoU. Some masks may be wrong."
        yield "worst_images", draw_images(worst, iou, predictions, data, names), caption
    figure = draw_samples(data, 8, 1.4, partial(draw_sample, names=names))
    yield "augmented_samples", figure, "Training images as the model sees them, with their masks."


def image_iou(predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,): the IoU of each image, the mean over the classes that it has or is said to have."""
    iou = ratio(predictions["intersection"], predictions["union"])
    present = (predictions["union"] > 0).sum(axis=1)
    mean: np.ndarray = np.nansum(iou, axis=1) / present.clip(min=1)
    return np.where(present > 0, mean, 1.0)  # nothing to be found, and nothing wrong


def draw_images(
    chosen: Sequence[int] | np.ndarray,
    iou: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    data: Data,
    names: list[str],
) -> Figure:
    """Three panels for each of the chosen images: as it is, true mask, predicted mask."""
    figure, panels = grid(3 * len(chosen), columns=6, height=1.9)
    shown: set[int] = set()
    for place, n in enumerate(chosen):
        i = int(predictions["index"][n])
        image, mask = data.val[i]
        predicted = torch.from_numpy(predictions["predicted"][n])
        for axes, classes in zip(panels[3 * place :], (None, mask, predicted), strict=False):
            show(axes, overlay(image, classes, names) if classes is not None else image)
        shown.update(mask.unique().tolist(), predicted.unique().tolist())
        panels[3 * place].set_title(shorten(data.val.describe(i), 24), fontsize=7, loc="left")
        panels[3 * place + 1].set_title("true", fontsize=7, loc="left")
        panels[3 * place + 2].set_title(f"predicted: {iou[n]:.2f}", fontsize=7, loc="left")
    add_legend(figure, sorted(shown - {IGNORED}), names)
    return figure


def add_legend(figure: Figure, numbers: list[int], names: list[str]) -> None:
    """The colours of the classes with these numbers."""
    palette = make_palette(len(names))
    patches = [Patch(color=palette[c], label=names[c]) for c in numbers[:MAX_LEGEND]]
    columns = min(12, 130 // (8 + max(map(len, names))))
    figure.legend(handles=patches, loc="outside upper center", ncols=columns, fontsize=7)


def make_palette(num: int) -> np.ndarray:
    """(num, 3): colours in [0, 1], easy to tell apart as long as there are not more than 20."""
    if num <= 20:
        strong_then_light = [*range(0, 20, 2), *range(1, 20, 2)]
        return np.array(colormaps["tab20"](strong_then_light[:num]))[:, :3]
    steps = np.arange(num) * 0.618  # hues that stay far from those just before
    return hsv_to_rgb(np.stack([steps % 1, 1 - 0.5 * (steps % 0.7), np.full(num, 0.9)], axis=1))


def overlay(image: torch.Tensor, mask: torch.Tensor, names: list[str]) -> torch.Tensor:
    """The image (3, H, W) with the colours of a mask (h, w) over it, where it is not ignored."""
    size = image.shape[1:]
    mask = interpolate(mask[None, None], size=size, mode="nearest-exact")[0, 0].long()
    palette = torch.from_numpy(make_palette(len(names))).float()
    counted = mask != IGNORED
    colours = palette[torch.where(counted, mask, 0)].permute(2, 0, 1)
    return torch.lerp(image / 255, colours, OPACITY * counted)


def draw_classes(predictions: Mapping[str, np.ndarray], names: list[str]) -> tuple[Figure, str]:
    """The IoU of each class over all images, lowest on top, and the caption."""
    union = predictions["union"].sum(axis=0)
    iou = ratio(predictions["intersection"].sum(axis=0), union)
    present = [int(c) for c in np.argsort(iou, kind="stable") if union[c] > 0]
    shown = present[:MAX_CLASSES]
    images = (predictions["union"] > 0).sum(axis=0)
    figure, rows = Figure(figsize=(8, 1.2 + 0.24 * len(shown))), range(len(shown))
    axes = figure.add_subplot()
    bars = axes.barh(rows, iou[shown], color="#56B4E9", height=0.7)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize="small")
    axes.set_yticks(rows, [f"{names[c]}  (n = {images[c]:,})" for c in shown])
    axes.set(xlim=(0, 1.07), ylim=(len(shown) - 0.5, -0.5), xlabel="IoU")
    caption = (
        "Each class of the validation set, lowest first; n is the number of images that have it or "
        "are said to have it."
    )
    if len(shown) < len(present):
        caption += f" Only {len(shown)} of {len(present)} classes are shown."
    return figure, caption


def draw_sample(axes: Axes, sample: tuple[torch.Tensor, torch.Tensor], names: list[str]) -> None:
    """A training image with its mask."""
    show(axes, overlay(*sample, names))
