"""What a program hands over as images: files, and images that are in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

from ..engine.errors import UserError


class ImageInMemory(str):
    """The name of an image, with the image. It stands where others have a path."""

    image: Image.Image


Source = Path | str
"""A file, or an ``ImageInMemory``."""


def to_sources(inputs: Sequence[Any]) -> list[Source]:
    """Files as they are, and images of Pillow with a name.

    Raises:
        UserError: something is neither.
    """
    wrong = [type(item).__name__ for item in inputs if not isinstance(item, Path | Image.Image)]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(inputs)} inputs are no images but {wrong[0]}. Give paths or "
            "images of Pillow; Image.fromarray makes one from an array."
        )
    return [_to_source(item, number) for number, item in enumerate(inputs, start=1)]


def name_sources(sources: Sequence[Source]) -> list[str]:
    """The paths as texts. Names of images in memory stay what they are, as the rest needs them."""
    return [str(source) if isinstance(source, Path) else source for source in sources]


def _to_source(item: Any, number: int) -> Source:
    if isinstance(item, Path):
        return item
    if isinstance(item, ImageFile.ImageFile) and item.tile and item.tell() == 0 and item.filename:
        return Path(str(item.filename))  # not decoded yet: predict's way of doing so is faster
    source = ImageInMemory(f"image {number}")
    source.image = item
    return source
