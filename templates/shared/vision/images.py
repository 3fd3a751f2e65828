"""Reading image files, and the statistics of their channels."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ..engine.data import BatchDataset
from ..engine.errors import UserError
from .decoding import Range, decode, open_source, oriented_size
from .sources import Source

PICTURES = """
.apng .avif .avifs .blp .bmp .bw .cur .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gbr .gif .icb
.icns .ico .im .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm .pcd .pcx .pfm
.pgm .png .pnm .ppm .psd .pxr .qoi .ras .rgb .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm
"""
SUFFIXES = frozenset(PICTURES.split())
"""What Pillow opens alone. Its own table has suffixes of data that are no pictures too."""


def read_image(path: Source, side: int | None = None, pixel_range: Range | None = None) -> Tensor:
    """Read an image file as RGB (3, H, W) uint8; see ``decode``.

    An ImageError if it cannot be read.
    """
    with open_source(path) as file:
        return torch.from_numpy(decode(file, path, side, pixel_range)).permute(2, 0, 1)


def image_size(path: Source) -> tuple[int, int]:
    """Width and height in pixels after the EXIF orientation; reads only the file's header."""
    with open_source(path) as file:
        return oriented_size(file)


def channel_statistics(images: BatchDataset | Sequence[Any]) -> dict[str, list[float]]:
    """Mean and std of each channel, for pixels in [0, 1], from about 256 samples (image, ...).

    Samples that cannot be read are left out here; training and check-data name them all.
    """
    count, sums, squares = 0, torch.zeros(()), torch.zeros(())
    for index in range(0, len(images), max(1, len(images) // 256)):
        with suppress(UserError):
            pixels = images[index][0].flatten(1).double() / 255
            count += pixels.shape[1]
            sums, squares = sums + pixels.sum(1), squares + pixels.square().sum(1)
    if count == 0:
        images[0]  # says why it cannot be read
    mean = sums / count
    std = (squares / count - mean.square()).clamp(min=1e-6).sqrt()
    return {"mean": mean.tolist(), "std": std.tolist()}
