"""Images in folders that are named after their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from ..engine.folders import read_class_folders
from ..engine.splits import SplitSettings
from .cache import CacheRoom, PixelCache
from .images import SUFFIXES, read_image


@dataclass(frozen=True)
class LabeledImages:
    """One split of the data, as it was read."""

    pixels: Tensor | PixelCache  # pixels[i] is an image (C, H, W) uint8; sizes can differ
    labels: list[int]
    names: Sequence[str | Path]  # where each image comes from, for messages and figures


def read_image_folder(
    root: Path, settings: SplitSettings, *, side: int, cache_gib: float
) -> tuple[dict[str, LabeledImages], list[str]]:
    """The splits and the class names of a folder with one folder of images per class.

    Larger images are resized to a shorter side of ``side`` pixels.
    """
    files, classes = read_class_folders(root, settings, SUFFIXES, "images")
    room, splits = CacheRoom(cache_gib), {}
    for name, (paths, labels) in files.items():
        load, groups = partial(_load, paths, side), [[path] for path in paths]
        pixels = PixelCache(load, groups, kind=f"RGB {side}", room=room)
        splits[name] = LabeledImages(pixels, labels, paths)
    return splits, classes


def _load(paths: Sequence[Path], side: int, index: int) -> Tensor:
    return read_image(paths[index], side)
