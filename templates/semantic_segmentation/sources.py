"""Where images and masks come from: the digit scenes, or folders of your own."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .cache import PixelCache, Room
from .errors import UserError
from .hyperparameters import Hyperparameters
from .images import read_image, size_of_image
from .masks import SUFFIXES, Legend, make_legend, read_mask
from .pairs import find_pairs, pair_files, split_missing
from .scenes import CLASSES, Scenes, make_scenes


class Source(Protocol):
    """One part of the data, before any transformation."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) uint8, and mask (H, W) uint8: classes, 255 where there is none."""
        ...

    def describe(self, index: int) -> str:
        """Where the image is from, for messages and figures."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """Scenes, which are held in memory."""

    scenes: Scenes

    def __len__(self) -> int:
        return len(self.scenes.images)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """See ``Source``."""
        return self.scenes.images[index], self.scenes.masks[index]

    def describe(self, index: int) -> str:
        """Its name."""
        return self.scenes.names[index]


@dataclass(frozen=True)
class Files:
    """Image files with their masks, decoded when they are needed, or once for all epochs."""

    pairs: list[tuple[Path, Path]]
    pixels: PixelCache
    """Of image and mask together (4, H, W)."""

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """See ``Source``.

        Raises:
            UserError: one of the files cannot be read, or they do not fit.
        """
        pixels = self.pixels[index]
        return pixels[:3], pixels[3]

    def describe(self, index: int) -> str:
        """The path of the image."""
        return str(self.pairs[index][0])


def read_scenes(settings: Hyperparameters) -> tuple[dict[str, SceneSource], list[str]]:
    """The parts and the classes of the digit scenes."""
    parts = make_scenes(settings)
    return {part: SceneSource(scenes) for part, scenes in parts.items()}, ["ground", *CLASSES]


def read_folder(
    root: Path, settings: Hyperparameters, side: int
) -> tuple[dict[str, Files], list[str]]:
    """The parts and the classes of a folder with the folders images and masks.

    ``side``: the shorter side of larger images is made so long.

    Raises:
        UserError: there is no such folder, something in it is wrong, or too little to be split.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of images/, masks/.")
    folders = find_pairs(root, "masks")
    if not folders:
        raise UserError(f"{root} has no folder images. Put the images there, the masks in masks.")
    parts = {part: _pair(images, masks) for part, (images, masks) in folders.items()}
    legend = make_legend(root, [mask for pairs in parts.values() for _, mask in pairs])
    parts = split_missing(parts, settings)
    room, found = Room(settings.cache_gib * 2**30 if settings.cache else 0), {}
    for part, pairs in parts.items():
        decode, kind = partial(_decode, pairs, legend, side), f"with mask {side} {legend}"
        found[part] = Files(pairs, PixelCache(decode, pairs, kind=kind, room=room))
    return found, legend.names


def _decode(pairs: list[tuple[Path, Path]], legend: Legend, side: int, index: int) -> Tensor:
    """(4, H, W) uint8: an image and its mask.

    Raises:
        UserError: one of the files cannot be read, or they do not fit.
    """
    image_path, mask_path = pairs[index]
    mask = read_mask(mask_path, legend)
    size, other = size_of_image(image_path), (mask.shape[1], mask.shape[0])
    if size != other:
        raise UserError(
            f"{mask_path} has {other[0]} × {other[1]} pixels, but its image {image_path} has "
            f"{size[0]} × {size[1]}. Make them equal."
        )
    image = read_image(image_path, side)
    if image.shape[1:] != mask.shape:
        mask = interpolate(mask[None, None], size=image.shape[1:], mode="nearest-exact")[0, 0]
    return torch.cat([image, mask[None]])


def _pair(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Every image with its mask."""
    pairs = []
    for image, mask in pair_files(images, masks, SUFFIXES):
        if mask is None:
            wanted = (masks / image.relative_to(images)).with_suffix(".png")
            raise UserError(f"{image} has no mask {wanted}. Add the mask, or remove the image.")
        pairs.append((image, mask))
    return pairs
