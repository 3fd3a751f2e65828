"""What the headers of image files tell: transparency, more than 8 bits, several pictures."""

import math
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..engine.data_report import DataReport
from .decoding import (
    CANNOT_READ,
    ImageError,
    declared_range,
    has_deep_colors,
    is_wide,
    open_image,
    read_deep_colors,
)
from .threads import try_all

START = 4096  # bytes; beyond them Pillow is asked
MAX_MEASURED = 2000  # images from which the range of all is taken
WITH_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
NARROW = 1 / 8  # of a range of 10, 12, 16 bits: values that fill less are stretched


class Header(NamedTuple):
    """What is noteworthy about an image file."""

    has_alpha: bool = False
    is_wide: bool = False
    """More than 8 bits, or fractions, and no range that the file declares."""
    is_declared: bool = False
    """More than 8 bits, and their range."""
    has_frames: bool = False
    """Animated, or with several pages."""


PLAIN = Header()
NOTES = {
    "has_alpha": "Transparency is laid on white",
    "has_frames": "Only the first picture is read of those in a file",
    "is_declared": "More than 8 bits per value, scaled by the range that the files name",
}


def read_header(path: Path) -> Header:
    """The header of an image; PLAIN if it cannot be read, which is noticed later.

    Most files need no more than their first bytes, which is ten times as fast as Pillow.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return PLAIN
    start = os.read(file, START)
    os.close(file)
    if start[:2] == b"\xff\xd8":  # JPEG
        return PLAIN
    if start[:8] == b"\x89PNG\r\n\x1a\n" and b"IDAT" in start:
        before = start[: start.index(b"IDAT")]
        depth, kind = start[24], start[25]  # 4 and 6 have an alpha channel
        has_alpha = kind in (4, 6) or b"tRNS" in before
        header = Header(has_alpha, depth == 16, has_frames=b"acTL" in before)
        return header if any(header) else PLAIN  # not thousands of the same
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8 ":
        return PLAIN
    return _ask_pillow(path)


def _ask_pillow(path: Path) -> Header:
    try:
        with Image.open(path) as file:
            is_deep = is_wide(file) or has_deep_colors(file)
            is_declared = declared_range(file) is not None
            return Header(
                file.has_transparency_data,
                is_deep and not is_declared,
                is_deep and is_declared,
                file.format in WITH_FRAMES and getattr(file, "is_animated", False),
            )
    except CANNOT_READ:
        return PLAIN


def find_pixel_range(
    splits: Mapping[str, Sequence[Path]], report: DataReport
) -> list[float] | None:
    """The range [low, high] of pixels that becomes 0 to 255, for images with more than 8 bits.

    It is one range for all, from the training images: the smallest of 8, 9, ... bits that holds
    all of their values; 0 to 1 for fractions in it; else from the lowest to the highest value.
    Files that declare a range need none. None if there is no image with more than 8 bits.
    Says in the report what the headers tell.
    """
    headers = {split: [*map(read_header, paths)] for split, paths in splits.items()}
    paths, flat = (list(chain.from_iterable(lists.values())) for lists in (splits, headers))
    if all(header is PLAIN for header in flat):
        return None
    for name, sentence in NOTES.items():
        found = [path for path, header in zip(paths, flat, strict=True) if getattr(header, name)]
        report.note_some(sentence, found, len(flat), "image")
    wide = {
        split: [path for path, header in zip(found, headers[split], strict=True) if header.is_wide]
        for split, found in splits.items()
    }
    return _measure(wide, len(flat), report) if any(wide.values()) else None


def _measure(
    wide: Mapping[str, Sequence[Path]], total: int, report: DataReport
) -> list[float] | None:
    """The range of all images, from those of train with more than 8 bits, if it has any."""
    extremes = dict[str, np.ndarray]()  # (N, 3) of each split: lowest, highest, whether whole
    for split, paths in wide.items():
        measured = paths[:: math.ceil(len(paths) / MAX_MEASURED) or 1]
        found, _ = try_all(_extremes_of, measured, "measuring pixels")  # errors are noticed later
        if found:
            extremes[split] = np.array(found)
    if not extremes:
        return None
    first = next(iter(extremes))  # train, unless only others have such images
    low, high = extremes[first][:, 0].min().item(), extremes[first][:, 1].max().item()
    chosen = choose_range(low, high, is_whole=bool(extremes[first][:, 2].all()))
    report.note(
        f"{sum(map(len, wide.values())):,} of {total:,} images have more than 8 bits per value, "
        f"for example {wide[first][0]}. In {first}, the values go from {low:,.6g} to {high:,.6g}. "
        f"In all images, {chosen[0]:,.6g} becomes 0 and {chosen[1]:,.6g} becomes 255."
    )
    for split, values in extremes.items():
        beyond = np.count_nonzero((values[:, 0] < chosen[0]) | (values[:, 1] > chosen[1]))
        if beyond:
            report.note(
                f"{beyond:,} of {len(values):,} images of {split} have values beyond that range, "
                "which become 0 or 255."
            )
    return chosen


def choose_range(low: float, high: float, *, is_whole: bool) -> list[float]:
    """The range for pixels from ``low`` to ``high``, which are whole numbers or fractions."""
    if is_whole and low >= 0:
        highest = 2 ** max(8, int(high).bit_length()) - 1
        if highest == 255 or high - low >= NARROW * highest or low == high:
            return [0, highest]
    elif low >= 0 and high <= 1:
        return [0, 1]
    return [low, high if high > low else low + 1]


def _extremes_of(path: Path) -> tuple[float, float, bool]:
    """The lowest and the highest value of an image, and whether all are whole numbers."""
    with open_image(path) as file:
        if has_deep_colors(file):
            values = read_deep_colors(path)
            values = values[..., : 3 if values.shape[2] > 2 else 1]  # without alpha
        else:
            values = np.asarray(file)
    is_whole = values.dtype.kind != "f"
    values = values if is_whole else values[np.isfinite(values)]
    if not values.size:
        raise ImageError(f"{path} has no pixel that is a number.")
    return values.min().item(), values.max().item(), is_whole
