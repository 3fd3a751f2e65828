"""A folder of images and masks, in splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..engine.data_report import DataReport
from ..engine.errors import join_errors
from .cache import CacheRoom, FolderSettings, PixelCache
from .decoding import ImageError, Range, open_image
from .headers import find_pixel_range
from .images import image_size, read_image
from .inspection import inspect_images
from .legend import IGNORED, Legend
from .mask_files import Pair, find_pairs
from .masks import read_mask
from .pairs import split_missing
from .scenes import make_scenes
from .sources import name_sources, to_sources
from .survey import MaskNumbers, make_legend
from .threads import try_all


@dataclass(frozen=True)
class MaskedImages:
    """Images with masks, before any transform."""

    pixels: PixelCache | Tensor
    """(4, H, W) uint8 each: red, green, blue, and the class or IGNORED."""
    names: Sequence[str]
    pairs: Sequence[Pair] = ()
    """The files, if the images are files."""
    pixel_range: list[float] | None = None
    """What became 0 and 255, if there are images with more than 8 bits."""
    legend: Legend = field(default_factory=lambda: Legend([], {}))


def read_mask_folder(
    root: Path, settings: FolderSettings, report: DataReport, *, side: int
) -> tuple[dict[str, MaskedImages], list[str]]:
    """The splits and the names of the classes of a folder of images and masks.

    A UserError if there is no such folder, something in it is wrong, or it has too few images.

    Args:
        root: the folder.
        settings: how to split it where it has no folders for that, and the space for the cache.
        report: gets what was left aside, and how images and masks were changed.
        side: larger images are scaled down so that their shorter side has so many pixels.
    """
    splits = find_pairs(root, report)
    pairs = list(chain.from_iterable(splits.values()))
    legend, numbers = make_legend(root, [pair.mask for pair in pairs], report)
    checked = list(zip(pairs, numbers, strict=bool(numbers)))
    _, errors = try_all(_check_size, checked, "comparing sizes")
    if errors:
        raise join_errors(errors, len(pairs), "masks")
    splits = split_missing(splits, settings, lambda pair: pair.image, report)
    _count_classes(splits, legend, numbers, report)
    images = {split: [pair.image for pair in found] for split, found in splits.items()}
    pixel_range = find_pixel_range(images, report)
    room, found = CacheRoom(settings.cache_gib), {}
    for split, split_pairs in splits.items():
        decode = partial(_decode, split_pairs, legend, side, pixel_range)
        kind = f"mask {side} {legend!r} {pixel_range}"
        pixels = PixelCache(decode, split_pairs, kind=kind, room=room)
        names = [str(pair.image) for pair in split_pairs]
        found[split] = MaskedImages(pixels, names, split_pairs, pixel_range, legend)
    return found, legend.names


def _check_size(pair_and_numbers: tuple[Pair, MaskNumbers]) -> None:
    pair, mask = pair_and_numbers
    with open_image(pair.image) as file:
        is_equal = file.size == mask.size
    if not is_equal:  # perhaps it is turned; to know that takes longer
        _require_same_size(pair, image_size(pair.image), mask.size)


def _require_same_size(pair: Pair, image: tuple[int, int], mask: tuple[int, int]) -> None:
    if image != mask:
        raise ImageError(
            f"{pair.mask} has {mask[0]} × {mask[1]} pixels, but its image {pair.image} has "
            f"{image[0]} × {image[1]}. Make them equal."
        )


def _count_classes(
    splits: Mapping[str, Sequence[Pair]],
    legend: Legend,
    numbers: Sequence[MaskNumbers],
    report: DataReport,
) -> None:
    """Report how many masks have each class, as far as the masks were looked at."""
    by_path = {mask.path: {legend.values[n] for n in mask.counts} for mask in numbers}
    for split, pairs in splits.items() if numbers else ():
        labels = chain.from_iterable(by_path[pair.mask] - {IGNORED} for pair in pairs)
        report.count_classes(split, labels, legend.names)


def masked_scenes(settings: FolderSettings) -> dict[str, MaskedImages]:
    """Scenes made of the handwritten digits in scikit-learn."""
    return {
        name: MaskedImages(torch.cat([scenes.images, scenes.masks.unsqueeze(1)], 1), scenes.names)
        for name, scenes in make_scenes(settings).items()
    }


def open_images(inputs: Sequence[Any], side: int, pixel_range: Range | None = None) -> MaskedImages:
    """Images with empty masks, which are read when they are asked for."""
    files = to_sources(inputs)

    def decode(index: int) -> Tensor:
        image = read_image(files[index], side, pixel_range)
        return torch.cat([image, torch.zeros_like(image[:1])])

    return MaskedImages(PixelCache(decode, [], "", CacheRoom(0)), name_sources(files))


def inspect_mask_folder(splits: Mapping[str, MaskedImages], report: DataReport) -> None:
    """See ``inspect_images``; reads all masks too.

    A UserError if files are damaged or do not fit; the message has them all.
    """
    paths = {split: [pair.image for pair in images.pairs] for split, images in splits.items()}
    errors = inspect_images(paths, report, pixel_range=splits["train"].pixel_range)
    for split, images in splits.items():
        find = partial(_classes_of, images.legend)
        found, wrong = try_all(find, images.pairs, "looking at masks")
        report.count_classes(split, chain.from_iterable(found), images.legend.names)
        errors += wrong
    if errors:
        raise join_errors(errors, sum(map(len, paths.values())), "images with their masks")


def _classes_of(legend: Legend, pair: Pair) -> list[int]:
    """The numbers of the classes in a mask; a UserError if something is wrong with the mask."""
    mask = read_mask(pair.mask, legend)
    _require_same_size(pair, image_size(pair.image), (mask.shape[1], mask.shape[0]))
    found: list[int] = mask.unique().tolist()
    return [number for number in found if number < len(legend.names)]


def _decode(
    pairs: Sequence[Pair], legend: Legend, side: int, pixel_range: Range | None, index: int
) -> Tensor:
    """(4, H, W) uint8: an image and its mask.

    A UserError if one of the files cannot be read, or they have different sizes.
    """
    pair = pairs[index]
    mask = read_mask(pair.mask, legend)
    _require_same_size(pair, image_size(pair.image), (mask.shape[1], mask.shape[0]))
    image = read_image(pair.image, side, pixel_range)
    if image.shape[1:] != mask.shape:
        mask = interpolate(mask[None, None], size=image.shape[1:], mode="nearest-exact")[0, 0]
    return torch.cat([image, mask[None]])
