"""What the headers of image files tell: transparency, more than 8 bits, several pictures."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.machine import usable_cpus
from .images import (
    CANNOT_READ,
    ImageError,
    declared_range,
    has_deep_colors,
    is_wide,
    open_image,
    read_deep_colors,
)

START = 4096  # bytes; beyond them Pillow is asked
MAX_MEASURED = 2000  # images from which the range of all is taken
WITH_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
DARK = 64 * 256  # a data set in 16 bits with smaller values has fewer bits
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


def read_header(path: Path) -> Header:
    """The header of an image; PLAIN if it cannot be read, which is noticed later.

    Most files need no more than their first bytes, which is ten times as fast as Pillow.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(START)
    except OSError:
        return PLAIN
    if start[:2] == b"\xff\xd8":  # JPEG
        return PLAIN
    if start[:8] == b"\x89PNG\r\n\x1a\n" and b"IDAT" in start:
        before = start[: start.index(b"IDAT")]
        depth, kind = start[24], start[25]  # 4 and 6 have an alpha channel
        has_alpha = kind in (4, 6) or b"tRNS" in before
        return Header(has_alpha, depth == 16, has_frames=b"acTL" in before)
    if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8 ":
        return PLAIN
    return _ask_pillow(path)


def _ask_pillow(path: Path) -> Header:
    try:
        with Image.open(path) as file:
            is_deep = is_wide(file) or has_deep_colors(file) or has_deep_tiff_colors(file)
            is_declared = declared_range(file) is not None
            return Header(
                file.has_transparency_data,
                is_deep and not is_declared,
                is_deep and is_declared,
                file.format in WITH_FRAMES and getattr(file, "is_animated", False),
            )
    except CANNOT_READ:
        return PLAIN


def has_deep_tiff_colors(file: ImageFile.ImageFile) -> bool:
    """Whether it is a TIFF with 16 bits per color, of which Pillow gives the upper 8 only."""
    is_tiff = isinstance(file, TiffImagePlugin.TiffImageFile)
    return is_tiff and any(";16" in str(tile.args) for tile in file.tile) and not is_wide(file)


def find_pixel_range(
    splits: Mapping[str, Sequence[Path]], report: DataReport
) -> tuple[float, float] | None:
    """The range of pixels that becomes 0 to 255, for images with more than 8 bits.

    It is one range for all, from the training images: the smallest of 8, 9, ... bits that holds
    all of their values; 0 to 1 for fractions in it; else from the lowest to the highest value.
    Files that declare a range need none. None if there is no image with more than 8 bits.
    Says in the report what the headers tell.

    Raises:
        UserError: there are TIFF files whose colors have small values in 16 bits.
    """
    headers = {split: [read_header(path) for path in paths] for split, paths in splits.items()}
    paths = [path for split in splits for path in splits[split]]
    flat = [header for split in splits for header in headers[split]]
    if all(header is PLAIN for header in flat):
        return None
    _note_headers(paths, flat, report)
    num_wide = sum(header.is_wide for header in flat)
    for split, split_paths in splits.items():  # train first
        found = zip(split_paths, headers[split], strict=True)
        if wide := [path for path, header in found if header.is_wide]:
            return _measure(wide, num_wide, len(paths), report)
    return None


def _note_headers(paths: Sequence[Path], headers: Sequence[Header], report: DataReport) -> None:
    sentences = {
        "has_alpha": "Transparency is laid on white: {} with an alpha channel or a clear color.",
        "has_frames": "Only the first picture is read of those in a file: {}.",
        "is_declared": "More than 8 bits per value, scaled by the range that the files name: {}.",
    }
    for name, sentence in sentences.items():
        found = [path for path, header in zip(paths, headers, strict=True) if getattr(header, name)]
        if found:
            report.note(sentence.format(some(found, len(paths), "image")))


class Extremes(NamedTuple):
    """The lowest and the highest value of an image."""

    low: float
    high: float
    is_whole: bool = True
    """Whether its values are whole numbers."""
    is_cut: bool = False
    """Whether only the upper 8 of 16 bits could be read."""


def _measure(
    wide: Sequence[Path], num_wide: int, total: int, report: DataReport
) -> tuple[float, float] | None:
    """The range of all images, from those of a split with more than 8 bits."""
    measured = wide[:: math.ceil(len(wide) / MAX_MEASURED)]
    with ThreadPoolExecutor(usable_cpus()) as pool:
        extremes = [found for found in pool.map(_find_extremes, measured) if found is not None]
    if not extremes:
        return None  # all are damaged
    low, high = min(found.low for found in extremes), max(found.high for found in extremes)
    if high < DARK and any(found.is_cut for found in extremes):
        raise UserError(
            f"TIFF files with 16 bits per color, such as {wide[0]}, have values below {high:,.0f} "
            "only. Of such files only the upper 8 bits can be read, so they would be dark. Save "
            "them as PNG with 16 bits, or with 8 bits."
        )
    found = choose_range(low, high, is_whole=all(found.is_whole for found in extremes))
    report.note(
        f"{num_wide:,} of {total:,} images have more than 8 bits per value, for example {wide[0]}. "
        f"Those of {len(measured):,} training images go from {low:,.6g} to {high:,.6g}. In all "
        f"images, {found[0]:,.6g} becomes 0 and {found[1]:,.6g} becomes 255."
    )
    return found


def choose_range(low: float, high: float, *, is_whole: bool) -> tuple[float, float]:
    """The range for pixels from ``low`` to ``high``, which are whole numbers or fractions."""
    if is_whole and low >= 0:
        highest = 2 ** max(8, int(high).bit_length()) - 1
        if highest == 255 or high - low >= NARROW * highest or low == high:
            return 0, highest
    elif low >= 0 and high <= 1:
        return 0, 1
    return low, high if high > low else low + 1


def _find_extremes(path: Path) -> Extremes | None:
    """None if the file cannot be read, which is noticed later."""
    try:
        with open_image(path) as file:
            if has_deep_tiff_colors(file):
                return Extremes(0, 256 * int(np.asarray(file).max()) + 255, is_cut=True)
            if has_deep_colors(file):
                values = read_deep_colors(path)
                values = values[..., : 3 if values.shape[2] > 2 else 1]  # without alpha
            else:
                values = np.asarray(file)
    except ImageError:
        return None
    is_whole = values.dtype.kind != "f"
    values = values if is_whole else values[np.isfinite(values)]
    return Extremes(values.min().item(), values.max().item(), is_whole) if values.size else None
