"""Images in folders that are named after their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..engine.data_report import DataReport
from ..engine.errors import join_errors
from ..engine.folders import read_class_folders
from .cache import CacheRoom, FolderSettings, PixelCache
from .headers import find_pixel_range
from .images import SUFFIXES, Range, read_image
from .inspection import inspect_images
from .sources import Source, to_sources


@dataclass(frozen=True)
class LabeledImages:
    """One split of the data, as it was read."""

    pixels: Tensor | PixelCache  # pixels[i] is an image (C, H, W) uint8; sizes can differ
    labels: list[int]
    names: Sequence[str | Path]  # where each image comes from, for messages and figures
    pixel_range: list[float] | None = None  # that became 0 to 255, if there are more than 8 bits


def read_image_folder(
    root: Path, settings: FolderSettings, report: DataReport, *, side: int
) -> tuple[dict[str, LabeledImages], list[str]]:
    """The splits and the class names of a folder with one folder of images per class.

    Args:
        root: the folder.
        settings: how to split it where it has no folders for that, and the space for the cache.
        report: gets what was left aside, and how pixels were changed.
        side: larger images are scaled down so that their shorter side has so many pixels.

    Raises:
        UserError: there is no such folder, something in it is wrong, or it has too few images.
    """
    files, classes = read_class_folders(
        root, settings, SUFFIXES, "images", report, settings.group_by
    )
    found = find_pixel_range({name: paths for name, (paths, _) in files.items()}, report)
    pixel_range = None if found is None else list(found)
    room, splits = CacheRoom(settings.cache_gib), {}
    for name, (paths, labels) in files.items():
        load, groups = partial(_load, paths, side, pixel_range), [[path] for path in paths]
        pixels = PixelCache(load, groups, kind=f"RGB {side} {pixel_range}", room=room)
        splits[name] = LabeledImages(pixels, labels, paths, pixel_range)
    return splits, classes


def open_images(
    inputs: Sequence[Any], side: int, pixel_range: Range | None = None
) -> LabeledImages:
    """Images without classes, which are read when they are asked for."""
    files = to_sources(inputs)
    load = partial(_load, files, side, pixel_range)
    return LabeledImages(PixelCache(load, [], "", CacheRoom(0)), [0] * len(files), files)


def inspect_image_folder(
    splits: dict[str, LabeledImages], classes: list[str], report: DataReport
) -> None:
    """See ``inspect_images``.

    Raises:
        UserError: files are damaged; the message has them all. The report is filled before.
    """
    paths = {split: [Path(name) for name in images.names] for split, images in splits.items()}
    labels = {split: [classes[i] for i in images.labels] for split, images in splits.items()}
    errors = inspect_images(paths, report, labels, splits["train"].pixel_range)
    if errors:
        raise join_errors(errors, sum(map(len, paths.values())), "images")


def _load(paths: Sequence[Source], side: int, pixel_range: Range | None, index: int) -> Tensor:
    return read_image(paths[index], side, pixel_range)
