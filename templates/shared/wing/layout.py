"""How a table is written in a text file: the separator, and the line with the names."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import mode

from ..engine.errors import UserError
from .class_names import GAP_WORDS

SEPARATORS = ("\t", ";", "|", ",")
SPACES = r"\s+"
HEAD_ROWS, HEAD_CHARACTERS, MAX_ABOVE = 200, 100_000, 20
NUMBER = re.compile(r"[+-]?\d[\d.,]*")
# Numbers with a decimal mark, and those in which it can be nothing else. 1,2 may be a pair.
DECIMALS = {
    ".": (re.compile(r"[+-]?\d+(\.\d+)?"), re.compile(r"[+-]?\d+\.(\d\d?|\d{4,})")),
    ",": (re.compile(r"[+-]?\d+(,\d+)?"), re.compile(r"[+-]?(\d+,(0\d|\d{4,})|\d{3,},\d\d?)")),
}


@dataclass(frozen=True)
class Layout:
    """What must be known to read the file."""

    separator: str
    names: list[str]
    num_above: int
    """Lines above the one with the names."""
    head: list[list[str]]
    """The first rows below the names."""

    @property
    def width(self) -> int:
        """Cells in a row."""
        return max(len(self.names), mode(map(len, self.head)) if self.head else 0)

    def cells(self, column: int) -> list[str]:
        """The first cells of a column that are not empty."""
        cells = (row[column].strip() for row in self.head if column < len(row))
        return [cell for cell in cells if cell]


def find_layout(path: Path, text: str, separator: str = "") -> Layout:
    """The layout in which the first rows have most often the same number of cells.

    A UserError if there are no names of columns, or two are the same.
    """
    head = text[:HEAD_CHARACTERS]
    head = head[: head.rfind("\n") + 1] or head
    candidates = [separator] if separator else [sep for sep in SEPARATORS if sep in head]
    found = [_try_separator(head, candidate) for candidate in candidates]
    if not any(found):
        found = [_try_separator(head, SPACES)]
    best = max(filter(None, found), key=lambda item: item[:2], default=None)
    layout = best[2] if best else _single_column(head)
    check_names(path, layout)
    return layout


def looks_numeric(layout: Layout, column: int) -> bool:
    """Whether the first cells of a column are numbers, or words for gaps."""
    cells = [cell for cell in layout.cells(column) if cell.lower() not in GAP_WORDS]
    return bool(cells) and all(map(NUMBER.fullmatch, cells))


def decimal_mark(layout: Layout) -> str:
    """A comma if the first rows have decimal commas and no decimal points; else a point."""
    found = set[str]()
    for column in range(layout.width):
        cells = layout.cells(column)
        for mark, (number, sure) in DECIMALS.items():
            if all(map(number.fullmatch, cells)) and any(map(sure.fullmatch, cells)):
                found.add(mark)
    return "," if found == {","} else "."


def split_cells(text: str, separator: str) -> Iterator[list[str]]:
    """The rows of a text; it ends early at a cell that is huge."""
    if separator == SPACES:
        yield from (line.split() for line in text.splitlines())
        return
    try:
        yield from csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    except csv.Error:
        return


def _try_separator(head: str, separator: str) -> tuple[bool, float, Layout] | None:
    """Whether the first line fits the others, how many of these are alike, and the layout."""
    rows = list(islice(split_cells(head, separator), HEAD_ROWS))
    widths = Counter(len(row) for row in rows[1:] if row) or Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
    if width < 2 and (not rows or len(rows[0]) < 2):
        return None
    above = _count_above(rows, width)
    names = [name.strip() for name in rows[above]]
    layout = Layout(separator, names, above, [row for row in rows[above + 1 :] if row])
    return len(rows[0]) == width, round(count / max(1, len(rows) - 1), 1), layout


def _count_above(rows: list[list[str]], width: int) -> int:
    """Lines of remarks: only their first cell is filled, or they begin with # and are shorter."""
    for number, row in enumerate(rows[:MAX_ABOVE]):
        is_short = not any(row[1:]) and (len(row) < 2 or (width > 2 and (number > 0 or row[0])))
        if not is_short and not (row[0].startswith("#") and len(row) < width):
            return number
    return 0


def _single_column(head: str) -> Layout:
    rows = list(islice(split_cells(head, ","), HEAD_ROWS))
    return Layout(",", [rows[0][0].strip()] if rows and rows[0] else [], 0, rows[1:])


def check_names(path: Path, layout: Layout) -> None:
    """Refuse a table whose names are not there, or twice; ``head`` is needed to see the former."""
    names = layout.names
    if not any(names):
        raise UserError(f"{path} has no names of columns in its first line. Write them there.")
    rows = [row for row in layout.head if len(row) == len(names)]
    if rows and all(map(_is_like_its_cells, names, zip(*rows, strict=True))):
        raise UserError(
            f"{path} has no names of columns: its first line looks like data "
            f"({', '.join(names[:5])}). Write the names above it."
        )
    twice = [repr(name) for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise UserError(f"{path} has two columns {', '.join(twice)}. Rename or remove one of them.")


def _is_like_its_cells(name: str, cells: Sequence[str]) -> bool:
    """Whether what should be the name of a column could be one of its cells."""
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell.strip())]
    if len(numbers) > len(cells) / 2:
        return bool(NUMBER.fullmatch(name))
    return name in map(str.strip, cells)
