"""A folder of images and masks, in splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..engine.errors import UserError
from ..engine.splits import SplitSettings
from .cache import CacheRoom, PixelCache
from .images import image_size, read_image
from .masks import MASK_SUFFIXES, Legend, make_legend, read_mask
from .pairs import find_pairs, pair_files, split_missing

Pair = tuple[Path, Path]
"""An image and its mask."""


@dataclass(frozen=True)
class MaskedImages:
    """Images with masks, before any transform."""

    pixels: PixelCache | Tensor
    """(4, H, W) uint8 each: red, green, blue, and the class or IGNORED."""
    names: Sequence[str]


def read_mask_folder(
    root: Path, settings: SplitSettings, *, side: int, cache_gib: float
) -> tuple[dict[str, MaskedImages], list[str]]:
    """The splits and the names of the classes of a folder with the folders images and masks.

    Args:
        root: the folder.
        settings: how to split it, where it has no folders for that.
        side: larger images are scaled down so that their shorter side has so many pixels.
        cache_gib: disk space for decoded images.

    Raises:
        UserError: there is no such folder, something in it is wrong, or it has too few images.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of images/, masks/.")
    folders = find_pairs(root, "masks")
    if not folders:
        raise UserError(f"{root} has no folder images. Put the images there, the masks in masks.")
    splits = {name: _pair(images, masks) for name, (images, masks) in folders.items()}
    legend = make_legend(root, [mask for pairs in splits.values() for _, mask in pairs])
    room = CacheRoom(cache_gib)
    found = {}
    for name, pairs in split_missing(splits, settings).items():
        decode, kind = partial(_decode, pairs, legend, side), f"mask {side} {legend!r}"
        pixels = PixelCache(decode, pairs, kind=kind, room=room)
        found[name] = MaskedImages(pixels, [str(image) for image, _ in pairs])
    return found, legend.names


def _pair(images: Path, masks: Path) -> list[Pair]:
    """Every image with its mask."""
    pairs = []
    for image, mask in pair_files(images, masks, MASK_SUFFIXES):
        if mask is None:
            wanted = (masks / image.relative_to(images)).with_suffix(".png")
            raise UserError(f"{image} has no mask {wanted}. Add the mask, or remove the image.")
        pairs.append((image, mask))
    return pairs


def _decode(pairs: Sequence[Pair], legend: Legend, side: int, index: int) -> Tensor:
    """(4, H, W) uint8: an image and its mask.

    Raises:
        UserError: one of the files cannot be read, or they have different sizes.
    """
    image_path, mask_path = pairs[index]
    mask = read_mask(mask_path, legend)
    width, height = image_size(image_path)
    if mask.shape != (height, width):
        raise UserError(
            f"{mask_path} has {mask.shape[1]} × {mask.shape[0]} pixels, but its image {image_path} "
            f"has {width} × {height}. Make them equal."
        )
    image = read_image(image_path, side)
    if image.shape[1:] != mask.shape:
        mask = interpolate(mask[None, None], size=image.shape[1:], mode="nearest-exact")[0, 0]
    return torch.cat([image, mask[None]])
