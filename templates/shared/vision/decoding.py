"""Decoding image files to pixels, the same way wherever a model gets them. Needs no torch."""

import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ..engine.errors import UserError
from .sources import ImageInMemory, Source

CANNOT_READ = (
    *(OSError, ValueError, SyntaxError, EOFError, struct.error, NotImplementedError),
    Image.DecompressionBombError,
)
# Raw modes of which Pillow gives the upper 8 bits -> those that give the lower ones.
LITTLE = "B" if sys.byteorder == "little" else "L"
LOWER_BITS = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", LITTLE))
} | {"LA;16B": "RGBA"}
MAX_SAMPLE_VALUE = 281  # tag of TIFF
Range = Sequence[float]
"""Lowest and highest value of the pixels, which become 0 and 255."""


class ImageError(UserError):
    """An image file that cannot be used. It takes the sentence alone: workers send no more."""


def decode(
    file: Image.Image, source: Source, side: int | None = None, pixel_range: Range | None = None
) -> np.ndarray:
    """An open image as RGB (H, W, 3) uint8, turned as its EXIF orientation says, on white.

    If the shorter side is longer than ``side`` pixels, the image is resized to that; the JPEG
    decoder then does most of the work, which is faster. Files with more than 8 bits per value need
    a ``pixel_range`` (see ``find_pixel_range``). An ImageError if they cannot be read.
    """
    file.draft("RGB", _shrink(file.size, side))  # does nothing in memory
    image = to_rgb(file, source, pixel_range)
    size = _shrink(image.size, side)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.array(image)


def oriented_size(file: Image.Image) -> tuple[int, int]:
    """Width and height in pixels of an open image after its EXIF orientation."""
    width, height = file.size
    # Pillow itself turns TIFF.
    is_rotated = file.format != "TIFF" and file.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if is_rotated else (width, height)


def to_rgb(file: Image.Image, path: Source, pixel_range: Range | None) -> Image.Image:
    """An open image as RGB with 8 bits, turned, and on white where it is transparent."""
    pixel_range = declared_range(file) or pixel_range
    image: Image.Image = file
    if is_wide(file):
        image = _narrow_gray(file, path, pixel_range)
    elif pixel_range is not None and isinstance(path, ImageInMemory):
        raise ImageError(f"{path} may have lost bits that the model knows. Give the path instead.")
    elif pixel_range is not None and has_deep_colors(file):
        image = _narrow_colors(file, Path(path), pixel_range)
    image = turn_upright(image)
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return image.convert("RGB")


def turn_upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; itself if it is upright."""
    image.load()  # which turns TIFF
    is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return ImageOps.exif_transpose(image) if is_turned else image


def is_wide(image: Image.Image) -> bool:
    """Whether the pixels are gray with more than 8 bits, or with fractions."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def has_deep_colors(file: Image.Image) -> bool:
    """Whether it has 16 bits per color, of which Pillow gives the upper 8 only."""
    return _raw_mode(file) in LOWER_BITS


def read_deep_colors(path: Path) -> np.ndarray:
    """(H, W, C) uint16; C is 2 for gray with alpha, else 3 or 4."""
    with open_image(path) as file:
        if _raw_mode(file) == "LA;16B":  # four bytes, as RGBA
            parts = _decode_as(file, "RGBA")
            upper, lower = parts[..., ::2], parts[..., 1::2]
        else:
            upper = np.asarray(file)
            with open_image(path) as again:
                lower = _decode_as(again, LOWER_BITS[_raw_mode(again)])
    values: np.ndarray = upper.astype(np.uint16) << 8 | lower
    return values


def _raw_mode(file: Image.Image) -> str:
    """How the pixels are in the file, in Pillow's words."""
    args = file.tile[0].args if isinstance(file, ImageFile.ImageFile) and file.tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _decode_as(file: ImageFile.ImageFile, raw_mode: str) -> np.ndarray:
    """The pixels, as if the file had another raw mode."""

    def change(args: Any) -> Any:
        return (raw_mode, *args[1:]) if isinstance(args, tuple) else raw_mode

    file.tile = [tile._replace(args=change(tile.args)) for tile in file.tile]
    return np.asarray(file)


def declared_range(file: Image.Image) -> Range | None:
    """The range of a wide image that its file or format declares; None if it does not."""
    if file.format in ("JPEG2000", "PPM") and file.mode != "F":
        return 0, 65535  # Pillow scales to that
    if not isinstance(file, TiffImagePlugin.TiffImageFile):
        return None
    (bits, *_) = file.tag_v2.get(ExifTags.Base.BitsPerSample, (8,))
    (highest, *_) = file.tag_v2.get(MAX_SAMPLE_VALUE, (0,))
    if 8 < bits < 16:
        return 0, 2**bits - 1
    # Other numbers than 1023, 4095, ... are the highest value of this one image.
    return (0, highest) if highest > 255 and not highest & (highest + 1) else None


def _narrow_gray(file: Image.Image, path: Source, pixel_range: Range | None) -> Image.Image:
    if pixel_range is None:
        raise ImageError(
            f"{path} has more than 8 bits per pixel, unlike the images that the model was trained "
            "on. Convert it to the same kind of file."
        )
    values = np.asarray(file)
    narrowed = Image.fromarray(_narrow(values, pixel_range))
    if "transparency" in file.info:
        narrowed.putalpha(Image.fromarray(values != file.info["transparency"]))
    return _with_orientation(narrowed, file)


def _narrow_colors(file: Image.Image, path: Path, pixel_range: Range) -> Image.Image:
    values = read_deep_colors(path)
    pixels = _narrow(values, pixel_range)
    if values.shape[2] in (2, 4) and values[..., -1].max() > pixel_range[1]:
        pixels[..., -1] = _narrow(values[..., -1], (0, 65535))  # alpha has the whole range
    return _with_orientation(Image.fromarray(pixels), file)


def _narrow(values: np.ndarray, pixel_range: Range) -> np.ndarray:
    """Numbers of the range as uint8; what is not a number becomes black."""
    low, high = pixel_range
    scaled = np.nan_to_num((values.astype(np.float64) - low) * (255 / (high - low)), nan=0.0)
    narrowed: np.ndarray = scaled.round().clip(0, 255).astype(np.uint8)
    return narrowed


def _with_orientation(image: Image.Image, file: Image.Image) -> Image.Image:
    """The image with the EXIF orientation of the file that it is from."""
    if file.format != "TIFF":  # which Pillow itself turns
        orientation = file.getexif().get(ExifTags.Base.Orientation, 1)
        image.getexif()[ExifTags.Base.Orientation] = orientation
    return image


@contextmanager
def open_source(source: Source) -> Iterator[Image.Image]:
    """An open image file, or an image in memory; an ImageError if it cannot be read."""
    if not isinstance(source, ImageInMemory):
        with open_image(Path(source)) as file:
            yield file
        return
    try:
        source.image.load()
        yield source.image
    except CANNOT_READ as error:
        raise ImageError(f"{source} cannot be read ({error}).") from None


@contextmanager
def open_image(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An open image file; an ImageError if it cannot be read, at once or later."""
    try:
        # Not by its path: Pillow would map gray TIFF to memory, and then turn it wrongly.
        with path.open("rb") as stream, Image.open(stream) as file:
            yield file
    except CANNOT_READ as error:
        raise ImageError(f"{path} {explain_damage(path, error)}") from None


def explain_damage(path: Path, error: BaseException) -> str:
    """Why Pillow cannot read a file, and what to do."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError:
        return f"cannot be read ({error})."
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheif", b"ftypmsf1"):
        return "is not supported: it is HEIC, whatever its suffix. Convert it to JPEG."
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        reason = _explain_tiff(path) if isinstance(error, UnidentifiedImageError) else ""
        if reason:
            return f"is not supported: it is a TIFF {reason}. Save it as RGB or gray."
    if not start:
        error = ValueError("it is empty")
    elif start.lstrip()[:1] == b"<":
        error = ValueError("it is text such as HTML or SVG")
    elif isinstance(error, UnidentifiedImageError):
        error = ValueError("its format is unknown")
    return f"is not an image that can be read ({error}). Repair or remove the file."


def _explain_tiff(path: Path) -> str:
    """What kind of TIFF a file is, if its header is sound; otherwise nothing."""
    try:
        with path.open("rb") as file:
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
        bits = directory.get(ExifTags.Base.BitsPerSample, (1,))
        return (
            f"with {directory.get(ExifTags.Base.SamplesPerPixel, 1)} channels of {max(bits)} bits"
        )
    except CANNOT_READ:
        return ""


def _shrink(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    """Width and height with a shorter side of at most ``side`` pixels."""
    if side is None or min(size) <= side:
        return size
    return round(size[0] * side / min(size)), round(size[1] * side / min(size))
