"""The classes of masks, and the numbers or colors that stand for them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.errors import UserError
from ..engine.files import read_text

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
        known = [(value, number) for value, number in self.values.items() if number != IGNORED]
        pairs = [f"{self.names[number]} {as_json(value)}" for value, number in known]
        return ", ".join(pairs[:10]) + (", ..." if len(pairs) > 10 else "")


def as_json(value: Value) -> str:
    """A number or a color as it is written in classes.json."""
    return str(list(value) if isinstance(value, tuple) else value)


def read_legend(path: Path) -> Legend:
    """The classes in a JSON file: a list of names, or an object of names with numbers or colors.

    A UserError if the file is not like that.
    """
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        numbers: dict[Value, int] = {number: number for number in range(len(content))}
        legend = Legend(content, numbers | {IGNORED: IGNORED})
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
