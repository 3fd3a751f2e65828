"""Masks: image files whose pixels are numbers or colors of classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..engine.errors import UserError
from ..engine.files import read_text

MASK_SUFFIXES = {".bmp", ".gif", ".png", ".tif", ".tiff"}  # not JPEG, which changes the numbers
IGNORED = 255  # pixels with this number count neither in the loss nor in the metrics
Value = int | tuple[int, ...]
"""What a pixel of a mask may have: a number, or (red, green, blue)."""


@dataclass(frozen=True)
class Legend:
    """The classes, and the numbers or colors that stand for them in the masks."""

    names: list[str]
    values: dict[Value, int]
    """The class of each number or color; IGNORED for pixels that do not count."""

    @property
    def has_colors(self) -> bool:
        """Whether the masks have colors instead of numbers."""
        return any(isinstance(value, tuple) for value in self.values)

    def __str__(self) -> str:
        pairs = [
            f"{self.names[number]} {_as_json(value)}"
            for value, number in self.values.items()
            if number != IGNORED
        ]
        return ", ".join(pairs[:10]) + (", ..." if len(pairs) > 10 else "")


def read_mask(path: Path, legend: Legend) -> Tensor:
    """(H, W) uint8: the class of each pixel, or IGNORED.

    Raises:
        UserError: the file is not an image, or a pixel has a value that is not in the legend.
    """
    pixels = _read_pixels(path, colors=legend.has_colors)
    classes = {_to_code(value): number for value, number in legend.values.items()}
    codes = np.array(sorted(classes))
    positions = np.searchsorted(codes, pixels).clip(max=len(codes) - 1)
    wrong = codes[positions] != pixels
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        code = int(pixels[y, x])
        value = tuple(code.to_bytes(3)) if legend.has_colors else code
        raise UserError(
            f"{path}: the pixel at x = {x}, y = {y} is {_as_json(value)}, which is no class. "
            f"The classes are {legend}. Correct the mask, or add the class to classes.json."
        )
    return torch.from_numpy(np.array([classes[c] for c in codes.tolist()], np.uint8)[positions])


def _read_pixels(path: Path, *, colors: bool) -> np.ndarray:
    """(H, W) int64: the numbers, or each color as one number."""
    try:
        with Image.open(path) as file:
            pixels = np.array(file.convert("RGB") if colors else file).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is not an image that can be read ({error}). Repair or remove the file."
        ) from None
    if colors:
        return pixels @ [256**2, 256, 1]
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = pixels[..., 0]  # gray, stored as three equal channels
    if pixels.ndim == 3:
        raise UserError(
            f"{path} has colors, not numbers of classes. Say in classes.json what they mean: "
            '{"road": [128, 64, 128], "sky": [70, 130, 180]}'
        )
    return pixels


def _to_code(value: Value) -> int:
    """The number that ``_read_pixels`` returns for a value."""
    return int.from_bytes(value) if isinstance(value, tuple) else value


def _as_json(value: Value) -> str:
    return str(list(value) if isinstance(value, tuple) else value)


def make_legend(root: Path, masks: Sequence[Path]) -> Legend:
    """The classes in ``classes.json`` in the folder ``root``, else the numbers in the ``masks``.

    Raises:
        UserError: the file is wrong, or there is only one class.
    """
    path = root / "classes.json"
    if path.is_file():
        return read_legend(path)
    highest = 0
    for mask in masks:
        numbers = _read_pixels(mask, colors=False)
        numbers = numbers[numbers != IGNORED]
        for wrong in numbers[(numbers < 0) | (numbers > IGNORED)]:
            raise UserError(f"{mask} has the class {wrong}; numbers go from 0 to {IGNORED - 1}.")
        highest = max(highest, int(numbers.max(initial=0)))
    if highest == 0:
        raise UserError(
            f"The masks in {root} have one class only: 0 ({IGNORED} is ignored). If {IGNORED} "
            'is a class, write {"ground": 0, "object": 255} into ' + f"{path}."
        )
    return _number([str(number) for number in range(highest + 1)])


def read_legend(path: Path) -> Legend:
    """The classes in a JSON file: a list of names, or an object of names with numbers or colors.

    Raises:
        UserError: the file is not like that.
    """
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        legend = _number(content)
    elif isinstance(content, dict):
        legend = _from_values(content, path)
    else:
        raise UserError(path.name + ' must be like ["road", "sky"] or {"road": 0, "sky": 1}.')
    names = legend.names
    if not 2 <= len(set(names)) == len(names) <= IGNORED:
        raise UserError(
            f"{path} has the classes {', '.join(names[:10])}. There must be from 2 to {IGNORED}, "
            "each with a name of its own."
        )
    return legend


def _number(names: list[str]) -> Legend:
    """The classes 0, 1, 2, ... with these names."""
    values: dict[Value, int] = {number: number for number in range(len(names))}
    return Legend(names, values | {IGNORED: IGNORED})


def _from_values(content: dict[str, Any], path: Path) -> Legend:
    """Classes that the file gives any numbers or colors; those of "ignore" do not count."""
    names = [name for name in content if name != "ignore"]
    values: dict[Value, int] = {}
    for name, found in content.items():
        value: Value = tuple(found) if isinstance(found, list) else found
        numbers = value if isinstance(value, tuple) and len(value) == 3 else (value,)
        in_range = all(type(number) is int and 0 <= number < 256 for number in numbers)
        if not in_range or value in values:
            raise UserError(
                f"{path}: {name!r} has {found}, but must have a number from 0 to 255 or a color "
                "such as [128, 64, 128], and not that of another class."
            )
        values[value] = names.index(name) if name != "ignore" else IGNORED
    if len({isinstance(value, tuple) for value in values}) > 1:
        raise UserError(f"{path} has numbers and colors. Use one of the two for all classes.")
    if not any(isinstance(value, tuple) for value in values):
        values.setdefault(IGNORED, IGNORED)
    return Legend(names, values)
