"""Where images and boxes come from: the digit scenes, or your own as COCO JSON or YOLO files."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from .annotations import Annotated, Parts, read_coco
from .cache import PixelCache, Room
from .errors import UserError
from .folders import NAMES_OF_PARTS
from .hyperparameters import Hyperparameters
from .images import read_image, size_of_image
from .pairs import find_pairs, split_missing
from .scenes import CLASSES, Scenes, make_scenes
from .yolo import read_yolo


class Source(Protocol):
    """One part of the data, before any transformation."""

    @property
    def labels(self) -> Sequence[Sequence[int] | Tensor]:
        """Of each image the classes of its objects."""
        ...

    def read(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Image (3, H, W) uint8, boxes (k, 4) in pixels, classes (k,) int64."""
        ...

    def describe(self, index: int) -> str:
        """Where the image is from, for messages and figures."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """Scenes, which are held in memory."""

    scenes: Scenes

    @property
    def labels(self) -> Sequence[Tensor]:
        """See ``Source``."""
        return self.scenes.labels

    def read(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Source``."""
        scenes = self.scenes
        return scenes.images[index], scenes.boxes[index], scenes.labels[index]

    def describe(self, index: int) -> str:
        """Its name."""
        return self.scenes.names[index]


@dataclass(frozen=True)
class Files:
    """Image files, decoded when they are needed, or once for all epochs."""

    images: list[Annotated]
    pixels: PixelCache

    @property
    def labels(self) -> Sequence[Sequence[int]]:
        """See ``Source``."""
        return [image.labels for image in self.images]

    def read(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Source``.

        Raises:
            UserError: the image cannot be read, or is not the one that was annotated.
        """
        item, image = self.images[index], self.pixels[index]
        height, width = image.shape[1:]
        boxes = torch.tensor(item.boxes, dtype=torch.float32).view(-1, 4)
        scale = torch.tensor([width, height, width, height])
        return image, boxes * scale, torch.tensor(item.labels, dtype=torch.int64)

    def describe(self, index: int) -> str:
        """Its path."""
        return str(self.images[index].path)


def read_scenes(settings: Hyperparameters) -> tuple[dict[str, SceneSource], list[str]]:
    """The parts and the classes of the digit scenes."""
    parts = make_scenes(settings)
    return {part: SceneSource(scenes) for part, scenes in parts.items()}, CLASSES


def read_folder(
    root: Path, settings: Hyperparameters, side: int | None
) -> tuple[dict[str, Files], list[str]]:
    """The parts and the classes of a folder with COCO's JSON or YOLO's text files.

    ``side``: the shorter side of larger images is made so long; None: they are left as they are.

    Raises:
        UserError: there is neither, something in them is wrong, or too little to be split.
    """
    parts, classes = read_annotations(root)
    parts = split_missing(parts, settings)
    for part, images in parts.items():
        if not any(image.boxes for image in images):
            raise UserError(f"{root}: the {len(images)} images of {part} have no boxes. Add some.")
    room, found = Room(settings.cache_gib * 2**30 if settings.cache else 0), {}
    for part, images in parts.items():
        decode, files = partial(_decode, images, side), [[image.path] for image in images]
        found[part] = Files(images, PixelCache(decode, files, kind=f"RGB {side}", room=room))
    return found, classes


def _decode(images: list[Annotated], side: int | None, index: int) -> Tensor:
    """(3, H, W) uint8.

    Raises:
        UserError: the image cannot be read, or is not the one that was annotated.
    """
    path, annotated = images[index].path, images[index].size
    if annotated is not None and annotated != (size := size_of_image(path)):
        raise UserError(
            f"{path} has {size[0]} × {size[1]} pixels, but its boxes are for "
            f"{annotated[0]} × {annotated[1]}. Use the image that was annotated."
        )
    return read_image(path, side)


def read_annotations(root: Path) -> tuple[Parts, list[str]]:
    """The images of the parts that the folder has, "train" at least, and the names of the classes.

    Raises:
        UserError: there are no annotations, or something in them is wrong.
    """
    if not root.is_dir():
        raise UserError(
            f"There is no folder {root}. Type --data with a folder of images and boxes."
        )
    files = {part: _first_json(root, names) for part, names in NAMES_OF_PARTS.items()}
    files["train"] = files["train"] or _first_json(root, ("annotations",))
    if files["train"] is not None:
        return read_coco({part: path for part, path in files.items() if path is not None})
    folders = find_pairs(root, "labels")
    if folders:
        return read_yolo(root, folders)
    raise UserError(
        f"{root} has no boxes: neither annotations.json or train.json (COCO), nor the folders "
        "images and labels (YOLO). The README says how to arrange them."
    )


def _first_json(root: Path, names: Sequence[str]) -> Path | None:
    paths = (root / f"{name}.json" for name in names)
    return next((path for path in paths if path.is_file()), None)
