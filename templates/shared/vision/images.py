"""Reading image files, and the statistics of their channels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from ..engine.data import BatchDataset
from ..engine.errors import UserError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def read_image(path: Path, side: int | None = None) -> Tensor:
    """Read an RGB image (3, H, W) uint8, turned as its EXIF orientation says.

    If the shorter side is longer than ``side`` pixels, the image is resized to that; the JPEG
    decoder then does most of the work, which is faster.
    """
    with open_image(path) as file:
        file.draft("RGB", _shrink(file.size, side))
        image = ImageOps.exif_transpose(file).convert("RGB")
        size = _shrink(image.size, side)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels after the EXIF orientation; reads only the file's header."""
    with open_image(path) as file:
        width, height = file.size
        is_rotated = file.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if is_rotated else (width, height)


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An open image file; a UserError if it cannot be read, at once or later."""
    try:
        with Image.open(path) as file:
            yield file
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is not an image that can be read ({error}). Repair or remove the file."
        ) from None


def _shrink(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    """Width and height with a shorter side of at most ``side`` pixels."""
    if side is None or min(size) <= side:
        return size
    return round(size[0] * side / min(size)), round(size[1] * side / min(size))


def channel_statistics(images: BatchDataset | Sequence[Any]) -> dict[str, list[float]]:
    """Mean and std of each channel, for pixels in [0, 1], from about 256 samples (image, ...)."""
    count, sums, squares = 0, torch.zeros(()), torch.zeros(())
    for index in range(0, len(images), max(1, len(images) // 256)):
        pixels = images[index][0].flatten(1).double() / 255
        count += pixels.shape[1]
        sums, squares = sums + pixels.sum(1), squares + pixels.square().sum(1)
    mean = sums / count
    std = (squares / count - mean.square()).clamp(min=1e-6).sqrt()
    return {"mean": mean.tolist(), "std": std.tolist()}
