"""Masks: images that say of every pixel to which class it belongs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import UserError
from .utils import read_text

SUFFIXES = {".bmp", ".gif", ".png", ".tif", ".tiff"}  # JPEG would blur the numbers
IGNORED = 255  # pixels of this number are neither learned nor judged
IGNORE = "ignore"  # the name of such pixels in classes.json
Value = int | tuple[int, ...]
"""What a pixel of a mask may hold: a number, or (red, green, blue)."""


@dataclass(frozen=True)
class Legend:
    """The classes, and by which numbers or colours a mask means them."""

    names: list[str]
    values: dict[Value, int]
    """The class of each number or colour; IGNORED for what is left out."""

    @property
    def has_colours(self) -> bool:
        """Whether masks hold colours, not numbers."""
        return any(isinstance(value, tuple) for value in self.values)


def read_mask(path: Path, legend: Legend) -> Tensor:
    """(H, W) uint8: the class of every pixel, or IGNORED.

    Raises:
        UserError: the file is no image, or has a pixel that means no class.
    """
    pixels = _pixels(path, legend.has_colours)
    values = {_code(value): number for value, number in legend.values.items()}
    codes = np.array(sorted(values))
    numbers = np.array([values[code] for code in codes.tolist()], dtype=np.uint8)
    places = np.searchsorted(codes, pixels).clip(max=len(codes) - 1)
    if not (known := codes[places] == pixels).all():
        y, x = np.argwhere(~known)[0]
        code = int(pixels[y, x])
        value = list(code.to_bytes(3)) if legend.has_colours else code
        raise UserError(
            f"{path}: the pixel at x = {x}, y = {y} is {value}, which is no class. There are "
            f"{_listed(legend)}. Correct the mask, or add the class to classes.json."
        )
    return torch.from_numpy(numbers[places])


def _listed(legend: Legend) -> str:
    """The classes with their values, at most ten."""
    pairs = [
        f"{legend.names[number]} {list(value) if isinstance(value, tuple) else value}"
        for value, number in legend.values.items()
        if number != IGNORED
    ]
    return ", ".join(pairs[:10]) + (", ..." if len(pairs) > 10 else "")


def _pixels(path: Path, as_colours: bool) -> np.ndarray:
    """(H, W): numbers as they are, or colours as one number each."""
    try:
        with Image.open(path) as file:
            pixels = np.array(file.convert("RGB") if as_colours else file).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is not an image that can be read ({error}). Repair or remove the file."
        ) from None
    if as_colours:
        return pixels @ [256**2, 256, 1]
    if pixels.ndim == 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = pixels[..., 0]  # grey, written as three equal channels
    if pixels.ndim == 3:
        raise UserError(
            f"{path} has colours, not numbers of classes. Say in classes.json what they mean: "
            '{"road": [128, 64, 128], "sky": [70, 130, 180]}'
        )
    return pixels


def _code(value: Value) -> int:
    """The number by which ``_pixels`` stands for a value."""
    return int.from_bytes(value) if isinstance(value, tuple) else value


def make_legend(root: Path, masks: Sequence[Path]) -> Legend:
    """The classes that ``classes.json`` in ``root`` lists, else the numbers in the ``masks``.

    Raises:
        UserError: the file is wrong, or there are not two classes.
    """
    path = root / "classes.json"
    if path.is_file():
        return read_legend(path)
    highest = 0
    for mask in masks:
        numbers = _pixels(mask, as_colours=False)
        numbers = numbers[numbers != IGNORED]
        for wrong in numbers[(numbers < 0) | (numbers > IGNORED)]:
            raise UserError(f"{mask} has the class {wrong}; numbers go from 0 to {IGNORED - 1}.")
        highest = max(highest, int(numbers.max(initial=0)))
    if highest == 0:
        raise UserError(
            f"The masks below {root} have one class only: 0 ({IGNORED} is left out). If {IGNORED} "
            'is a class, write {"ground": 0, "object": 255} into ' + f"{path}."
        )
    return _number([str(number) for number in range(highest + 1)])


def read_legend(path: Path) -> Legend:
    """The classes in a JSON file: a list of names, or an object of names with numbers or colours.

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
        legend = _by_value(content, path)
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
    """Classes that masks mean by their places in a list."""
    values: dict[Value, int] = {number: number for number in range(len(names))}
    return Legend(names, values | {IGNORED: IGNORED})


def _by_value(content: dict[str, Any], path: Path) -> Legend:
    """Classes that masks mean by any numbers or colours."""
    names = [name for name in content if name != IGNORE]
    values: dict[Value, int] = {}
    for name, found in content.items():
        value: Value = tuple(found) if isinstance(found, list) else found
        parts = value if isinstance(value, tuple) and len(value) == 3 else (value,)
        in_range = all(type(part) is int and 0 <= part < 256 for part in parts)
        if not in_range or value in values:
            raise UserError(
                f"{path}: {name!r} has {found}, but must have a number from 0 to 255 or a colour "
                "such as [128, 64, 128], and another one than the other classes."
            )
        values[value] = names.index(name) if name != IGNORE else IGNORED
    if len({isinstance(value, tuple) for value in values}) > 1:
        raise UserError(f"{path} has numbers and colours. Use one of the two for all classes.")
    if not any(isinstance(value, tuple) for value in values):
        values.setdefault(IGNORED, IGNORED)
    return Legend(names, values)
