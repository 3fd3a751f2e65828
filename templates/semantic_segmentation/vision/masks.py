"""Masks: image files whose pixels are numbers or colors of classes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from ..engine.errors import UserError
from .decoding import ImageError, is_wide, open_image, turn_upright
from .legend import Legend, Value, as_json


def read_mask(path: Path, legend: Legend) -> Tensor:
    """(H, W) uint8: the class of each pixel, or IGNORED.

    A UserError if the file is not an image, or a pixel has a value that is not in the legend.
    """
    with open_image(path) as file:
        if legend.has_colors:  # each color as one number
            pixels = _to_colors(turn_upright(file)) @ np.array([256**2, 256, 1])
        else:
            pixels = to_numbers(file, path)
    classes = {_to_code(value): number for value, number in legend.values.items()}
    codes = np.array(sorted(classes))
    positions = np.searchsorted(codes, pixels).clip(max=len(codes) - 1)
    wrong = codes[positions] != pixels
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        code = int(pixels[y, x])
        value = tuple(code.to_bytes(3)) if legend.has_colors else code
        raise UserError(
            f"{path}: the pixel at x = {x}, y = {y} is {as_json(value)}, which is no class. "
            f"The classes are {legend}. Correct the mask, or add the class to classes.json."
        )
    return torch.from_numpy(np.array([classes[c] for c in codes.tolist()], np.uint8)[positions])


def _to_code(value: Value) -> int:
    """A value as one number."""
    return int.from_bytes(value) if isinstance(value, tuple) else value


def to_numbers(file: ImageFile.ImageFile, path: Path) -> np.ndarray:
    """(H, W), of any type of whole numbers: the number of each pixel of an open file.

    Of a palette, the numbers are the positions in it, or its grays if it is gray. An ImageError if
    the file has colors or fractions.
    """
    image = turn_upright(file)
    if image.mode == "P":
        return _palette_numbers(image)
    if is_wide(image):
        numbers = np.asarray(image)
        if numbers.dtype.kind == "f" and (numbers != numbers.round()).any():
            raise ImageError(f"{path} has fractions, not numbers of classes. Round them.")
        return numbers.astype(np.int64)
    if image.mode in ("1", "L"):
        return np.asarray(image).astype(np.uint8)
    colors = _to_colors(image)
    if (colors == colors[..., :1]).all():
        numbers = colors[..., 0]  # gray, stored as three equal channels
        return numbers
    raise ImageError(f"{path} has colors, not numbers of classes. {_explain_colors(colors)}")


def _to_colors(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; transparent is black. If all is one color, opaque is white."""
    if not image.has_transparency_data or image.mode == "P":
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image.convert("RGBA"))
    colors, is_opaque = pixels[..., :3], pixels[..., 3:] >= 128
    if (colors == colors[:1, :1]).all() and not is_opaque.all():
        return np.repeat(255 * is_opaque.astype(np.uint8), 3, axis=2)
    opaque: np.ndarray = np.where(is_opaque, colors, 0).astype(np.uint8)
    return opaque


def _palette_numbers(image: Image.Image) -> np.ndarray:
    positions = np.asarray(image)
    used = np.unique(positions)
    palette = palette_of(image)[used]
    grays = palette[:, 0]
    if (palette != grays[:, None]).any() or len(np.unique(grays)) < len(used):
        return positions
    table = np.zeros(256, np.uint8)
    table[used] = grays
    numbers: np.ndarray = table[positions]
    return numbers


def palette_of(image: Image.Image) -> np.ndarray:
    """(256, 3) uint8: the colors of a palette; those that it does not have are black."""
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return np.pad(colors, [(0, 256 - len(colors)), (0, 0)])


def _explain_colors(colors: np.ndarray) -> str:
    """The colors of a mask, and how classes.json gives them names."""
    found, counts = np.unique(colors.reshape(-1, 3), axis=0, return_counts=True)
    common = found[np.argsort(-counts)][:3].tolist()
    listed = ", ".join(map(str, common))
    return (
        f"There are {len(found):,} colors, most often {listed}. Say in classes.json what they "
        'mean: {"road": [128, 64, 128], "sky": [70, 130, 180]}'
    )
