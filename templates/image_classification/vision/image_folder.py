"""Images in folders that are named after their classes."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..engine.data_report import DataReport
from ..engine.errors import UserError, join_errors
from .cache import CacheRoom, FolderSettings, PixelCache
from .decoding import Range
from .folders import LabeledFiles, read_class_folders
from .headers import find_pixel_range
from .images import SUFFIXES, image_size, read_image
from .inspection import inspect_images
from .sources import Source, to_sources

SIZES = (8, 16, 28, 32, 48, 64, 96, 128)  # few, so that other data of a kind gets the same
NUM_FILES = 200  # whose headers are read


@dataclass(frozen=True)
class LabeledImages:
    """One split of the data, as it was read."""

    pixels: Tensor | PixelCache  # pixels[i] is an image (C, H, W) uint8; sizes can differ
    labels: list[int]
    names: Sequence[str | Path]  # where each image comes from, for messages and figures
    pixel_range: list[float] | None = None  # that became 0 to 255, if there are more than 8 bits


def find_images(
    root: Path, settings: FolderSettings, report: DataReport
) -> tuple[dict[str, LabeledFiles], list[str]]:
    """The splits and the class names of a folder with one folder of images per class."""
    return read_class_folders(root, settings, SUFFIXES, "images", report, settings.group_by)


def typical_size(paths: Sequence[Path], report: DataReport) -> int:
    """The one of ``SIZES`` that is nearest to the median shorter side of the images."""
    sides = []
    for path in paths[:: max(1, len(paths) // NUM_FILES)]:
        with suppress(UserError):  # it will be said when all images are read
            sides.append(min(image_size(path)))
    if not sides:
        return SIZES[-1]
    ratios = np.log(np.array(SIZES) / np.median(sides))
    size = SIZES[np.abs(ratios).argmin()]
    report.note(
        f"The model gets images of {size} x {size} pixels. Half of yours have a shorter side of "
        f"{np.median(sides):.0f} or more. Type --image-size for another size."
    )
    return size


def read_images(
    files: dict[str, LabeledFiles], cache_gib: float, report: DataReport, *, side: int
) -> dict[str, LabeledImages]:
    """The images of each split, which are read when they are asked for.

    Larger ones are scaled down so that their shorter side has ``side`` pixels. The report gets how
    pixels were changed.
    """
    pixel_range = find_pixel_range({name: paths for name, (paths, _) in files.items()}, report)
    room, splits = CacheRoom(cache_gib), {}
    for name, (paths, labels) in files.items():
        load, groups = partial(_load, paths, side, pixel_range), [[path] for path in paths]
        pixels = PixelCache(load, groups, kind=f"RGB {side} {pixel_range}", room=room)
        splits[name] = LabeledImages(pixels, labels, paths, pixel_range)
    return splits


def open_images(
    inputs: Sequence[Any], side: int, pixel_range: Range | None = None
) -> LabeledImages:
    """Images without classes, which are read when they are asked for."""
    files = to_sources(inputs)
    load = partial(_load, files, side, pixel_range)
    return LabeledImages(PixelCache(load, [], "", CacheRoom(0)), [0] * len(files), files)


def inspect_all(splits: dict[str, LabeledImages], classes: list[str], report: DataReport) -> None:
    """See ``inspect_images``.

    A UserError if files are damaged; the message has them all. The report is filled before.
    """
    paths = {split: [Path(name) for name in images.names] for split, images in splits.items()}
    labels = {split: [classes[i] for i in images.labels] for split, images in splits.items()}
    errors = inspect_images(paths, report, labels, splits["train"].pixel_range)
    if errors:
        raise join_errors(errors, sum(map(len, paths.values())), "images")


def _load(paths: Sequence[Source], side: int, pixel_range: Range | None, index: int) -> Tensor:
    return read_image(paths[index], side, pixel_range)
