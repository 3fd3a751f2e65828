"""Images as clients send them to the server: a file as the body, or JSON with a file in base64."""

import base64
import binascii
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..engine.errors import UserError
from ..engine.serving import JSON_TYPE, Refused, read_json
from .decoding import Range, decode, has_deep_colors, is_wide, oriented_size

# Larger than photos are. A small file may have many more, which would take all memory.
MAX_PIXELS, MAX_SIDE = 50_000_000, 20_000
TOO_LARGE = f"The image is too large; the limit is {MAX_PIXELS:,} pixels, {MAX_SIDE:,} in a row."
# Pillow has other formats; some of them start programs, and few clients send them.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
DECODED = 2  # larger photos are decoded to this times the size that the model sees, as in training
NAME = Path("The image")


def image_content() -> dict[str, Any]:
    """``Endpoint.content`` of images."""
    text = {"type": "string", "contentEncoding": "base64", "description": "the file in base64"}
    schema = {"type": "object", "required": ["image"], "properties": {"image": text}}
    file = {"schema": {"type": "string", "format": "binary"}}
    return {
        JSON_TYPE: {"schema": schema, "example": {"image": example_image()}},
        "image/png": file,
        "image/jpeg": file,
    }


def example_image() -> str:
    """A small picture in base64."""
    rows, columns = np.mgrid[:32, :40] * 6
    pixels = np.stack([rows, columns, 255 - rows], axis=2).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def read_picture(
    body: bytes, media_type: str, metadata: Mapping[str, Any]
) -> tuple[np.ndarray, tuple[int, int]]:
    """The pixels (H, W, 3) uint8 of a body, and height and width of its file.

    ``Refused`` if there is no image in it that can be read.
    """
    if media_type.startswith("multipart/"):
        raise Refused(415, "Send the file itself as the body: curl --data-binary @FILE.")
    data = from_base64(body) if media_type == JSON_TYPE else body
    pixel_range = metadata["pixel_range"]
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as file:
            width, height = oriented_size(file)
            check(file, pixel_range)
            pixels = decode(file, NAME, DECODED * metadata["image_size"], pixel_range)
            return pixels, (height, width)
    except (Refused, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise Refused(413, TOO_LARGE) from None
    except UserError as error:
        raise Refused(422, str(error)) from None
    except Exception as error:  # of any kind, as a file may be damaged in any place
        kind = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        raise Refused(400, f"The body is not an image that can be read ({kind}).") from None


def check(file: Image.Image, pixel_range: Range | None) -> None:
    """``Refused`` if it would take too much memory, or would lose bits that the model knows."""
    if file.size[0] * file.size[1] > MAX_PIXELS or max(file.size) > MAX_SIDE:
        raise Refused(413, TOO_LARGE)
    if pixel_range is not None and not is_wide(file) and has_deep_colors(file):
        raise Refused(422, "Colors of 16 bits are not read by the server. Use predict, or 8 bits.")


def from_base64(body: bytes) -> bytes:
    """The file in a body {"image": "..."}."""
    value = read_json(body)
    if not isinstance(value, dict) or set(value) != {"image"} or type(value["image"]) is not str:
        raise Refused(422, 'The body must be {"image": "the file in base64"}, or the file itself.')
    try:
        return base64.b64decode(value["image"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, f"image is no base64: {error}.") from None
