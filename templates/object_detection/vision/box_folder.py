"""A folder of images with boxes, as COCO JSON or as YOLO text files, in splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from ..engine.errors import UserError
from ..engine.splits import SplitSettings, find_splits
from .annotations import AnnotatedImage, Box, Splits
from .cache import CacheRoom, PixelCache
from .coco import read_coco
from .images import image_size, read_image
from .pairs import find_pairs, split_missing
from .yolo import read_yolo


@dataclass(frozen=True)
class BoxedImages:
    """Images with boxes, before any transform."""

    pixels: PixelCache | Tensor
    """(3, H, W) uint8 each."""
    boxes: Sequence[Sequence[Box]]
    labels: Sequence[Sequence[int]]
    names: Sequence[str]


def read_box_folder(
    root: Path, settings: SplitSettings, *, side: int | None, cache_gib: float
) -> tuple[dict[str, BoxedImages], list[str]]:
    """The splits and the names of the classes of a folder.

    Args:
        root: the folder.
        settings: how to split it, where it has no splits.
        side: larger images are scaled down so that their shorter side has so many pixels.
        cache_gib: disk space for decoded images.

    Raises:
        UserError: there are no annotations, something is wrong, or there are too few images.
    """
    splits, classes = read_annotations(root)
    splits = split_missing(splits, settings)
    room, found = CacheRoom(cache_gib), {}
    for split, images in splits.items():
        if not any(image.boxes for image in images):
            raise UserError(f"{root}: the {len(images)} images of {split} have no boxes. Add some.")
        decode, files = partial(_decode, images, side), [[image.path] for image in images]
        found[split] = BoxedImages(
            pixels=PixelCache(decode, files, kind=f"RGB {side}", room=room),
            boxes=[image.boxes for image in images],
            labels=[image.labels for image in images],
            names=[str(image.path) for image in images],
        )
    return found, classes


def read_annotations(root: Path) -> tuple[Splits, list[str]]:
    """The splits that the folder has, at least "train", and the names of the classes.

    Raises:
        UserError: there are no annotations, or something in them is wrong.
    """
    if not root.is_dir():
        raise UserError(
            f"There is no folder {root}. Type --data with a folder of images and boxes."
        )
    whole = root / "annotations.json"
    files = {"train": whole} if whole.is_file() else find_splits(root.glob("*.json"))
    if "train" in files:
        return read_coco(files)
    folders = find_pairs(root, "labels")
    if folders:
        return read_yolo(root, folders)
    raise UserError(
        f"{root} has no boxes: neither annotations.json or train.json (COCO), nor the folders "
        "images and labels (YOLO). The README says how to arrange them."
    )


def _decode(images: Sequence[AnnotatedImage], side: int | None, index: int) -> Tensor:
    """(3, H, W) uint8.

    Raises:
        UserError: the image cannot be read, or is not the one that was annotated.
    """
    path, size = images[index].path, images[index].size
    if size is not None and size != (actual := image_size(path)):
        raise UserError(
            f"{path} has {actual[0]} × {actual[1]} pixels, but its boxes are for "
            f"{size[0]} × {size[1]}. Use the image that was annotated."
        )
    return read_image(path, side)
