"""Tables in text files (.csv, .tsv, .tab, .txt), with whatever separator."""

import io
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from .class_names import GAP_WORDS
from .layout import NUMBER, SPACES, Layout, decimal_mark, find_layout, looks_numeric, split_cells

CODE = re.compile(r"0\d+|[1-9]\d{16,}")
FORMS = (str, str.upper, str.title)
NUMBER_GAPS = ["", "NaN", *{form(word) for word in GAP_WORDS for form in FORMS}]
THOUSANDTHS = re.compile(r"[+-]?(\d{1,3}\.\d{3}|\d+)")


def read_delimited(
    path: Path, text: str, report: DataReport, text_columns: Collection[str]
) -> tuple[pd.DataFrame, str]:
    """The rows, and the decimal mark. The index is their number in the file; its first line is 1.

    A column in which every cell is a plain number has numbers. All others, and those in
    ``text_columns``, have texts as they are written, and NaN where a cell is empty. A UserError if
    it is not a table.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    declared = re.match(r'"?sep=(.)"?\n', text, re.IGNORECASE)
    text = text[declared.end() :] if declared else text
    layout = find_layout(path, text, declared[1] if declared else "")
    if layout.num_above:
        *above, text = text.split("\n", layout.num_above)
        shown = " ".join(" ".join(above).split())[:60]
        report.note(f"{path.name}: left out, above the names of the columns: {shown!r}.")
    first_row = layout.num_above + bool(declared) + 2
    frame = _parse(path, text, layout, text_columns, first_row)
    frame.index = pd.RangeIndex(first_row, first_row + len(frame))
    frame = _name_columns(path, frame, layout, report)
    _note_short_rows(path, text, frame, layout, report)
    _refuse_swallowed_rows(path, frame, layout)
    nameless = [not name and bool(cells.notna().any()) for name, cells in frame.items()]
    if sum(nameless) and len(frame.columns) == len(layout.names):
        report.note(f"{path.name}: left out: {sum(nameless)} column(s) without a name.")
    frame = frame.loc[:, [bool(name) for name in frame]].dropna(how="all")
    return _drop_repeated_names(frame, path.name, report), decimal_mark(layout)


def _parse(
    path: Path, text: str, layout: Layout, text_columns: Collection[str], first_row: int
) -> pd.DataFrame:
    as_text = {n for n, name in enumerate(layout.names) if name in text_columns}
    # 00715 and 20 digits are codes: as numbers they would lose some.
    as_text |= {n for n in range(layout.width) if any(map(CODE.fullmatch, layout.cells(n)))}
    numeric = {n for n in range(layout.width) if looks_numeric(layout, n)} - as_text
    options: dict[str, Any] = {
        "sep": layout.separator,
        "decimal": decimal_mark(layout),
        "header": 0,
        "names": range(layout.width),
        "index_col": False,
        "keep_default_na": False,
        "na_values": {n: NUMBER_GAPS if n in numeric else [""] for n in range(layout.width)},
        "skipinitialspace": layout.separator != SPACES,
        "skip_blank_lines": False,  # they count as rows
        "low_memory": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(as_text, str), **options)
            doubtful = [n for n in frame if _may_have_thousands(frame[n], layout.cells(n))]
            doubtful += [n for n in numeric if not pd.api.types.is_numeric_dtype(frame[n])]
            if doubtful:
                options |= {"usecols": doubtful, "dtype": str, "na_values": [""]}
                texts = pd.read_csv(io.StringIO(text), **options)
                frame = pd.DataFrame({n: texts[n] if n in doubtful else frame[n] for n in frame})
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise UserError(f"{path} {_explain(str(error), text, layout, first_row)}") from None
    return frame


def _may_have_thousands(values: pd.Series, cells: list[str]) -> bool:
    """Whether 1.004 may stand for 1004: all cells have three digits after the point, or none."""
    if values.dtype != np.float64 or not all(map(THOUSANDTHS.fullmatch, cells)):
        return False
    numbers = values.to_numpy()
    known = numbers[np.isfinite(numbers)]
    fractions = known[known % 1 != 0]
    thousandths = fractions * 1000
    return len(fractions) > 0 and bool((np.abs(thousandths - thousandths.round()) < 1e-4).all())


def _explain(message: str, text: str, layout: Layout, first_row: int) -> str:
    """What pandas says, in the words of someone who looks at the file."""
    quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if quote:
        row = int(quote[1]) + first_row - 1
        return f"has a quotation mark in row {row} that is never closed. Close it."
    num_names = len(layout.names)
    widths = [len(row) for row in split_cells(text, layout.separator)][1:]
    wide = [n + first_row for n, width in enumerate(widths) if width > num_names]
    if not wide:
        return f"is no table that can be read: {message}."
    return (
        f"has {widths[wide[0] - first_row]} cells in row {wide[0]}, but {num_names} names of "
        f"columns in row {first_row - 1} (more cells than names in "
        f"{some(wide, len(widths), 'row')}). {_hint(layout)}"
    )


def _hint(layout: Layout) -> str:
    hint = 'Put "quotation marks" around cells that contain the separator, or add the missing name.'
    if layout.separator == "," and any(map(str.isdecimal, layout.cells(len(layout.names)))):
        hint += " If numbers have decimal commas, separate the cells with semicolons."
    return hint


def _name_columns(
    path: Path, frame: pd.DataFrame, layout: Layout, report: DataReport
) -> pd.DataFrame:
    """The names of the columns. One name less than cells: the first cells are names of rows (R)."""
    names = list(layout.names)
    if len(frame.columns) == len(names) + 1:
        first, last = frame[0], frame[len(names)]
        is_label = not pd.api.types.is_float_dtype(first) and first.is_unique
        if last.isna().all():
            names.append("")
        elif is_label and not frame[1].isna().all():
            names.insert(0, "")
            report.note(
                f"{path.name}: the first cell of each row has no name of a column above it. It is "
                "taken for the name of the row, and left out."
            )
    if len(frame.columns) > len(names):
        raise UserError(
            f"{path} has {len(frame.columns)} cells in the rows, but {len(names)} names of columns "
            f"above them. {_hint(layout)}"
        )
    return frame.set_axis(names, axis=1)


def _note_short_rows(
    path: Path, text: str, frame: pd.DataFrame, layout: Layout, report: DataReport
) -> None:
    """Say how many rows end early; pandas fills them up with gaps."""
    gaps = frame.iloc[:, -1].isna()
    if layout.separator == SPACES or len(frame.columns) < 2 or not gaps.any():
        return
    if '"' not in text:
        num_rows = text.count("\n") + (not text.endswith("\n"))
        if text.count(layout.separator) == num_rows * (len(frame.columns) - 1):
            return
    widths = [len(row) for row in split_cells(text, layout.separator)][1:]
    narrow = [row for row, n in zip(frame.index, widths, strict=False) if 0 < n < len(layout.names)]
    what = f"{path.name}: fewer cells than columns, of which the last ones are read as gaps"
    report.note_some(what, narrow, len(frame), "row")


def _drop_repeated_names(frame: pd.DataFrame, name: str, report: DataReport) -> pd.DataFrame:
    """Without rows that repeat the names of the columns, as in files that were joined."""
    texts = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    if not texts or not (frame[texts[0]] == texts[0]).any():
        return frame
    is_names = (frame.astype(str) == frame.columns.to_numpy(dtype=object)).all(axis=1)
    what = f"{name}: left out, because they repeat the names of the columns"
    report.note_some(what, frame.index[is_names].tolist(), len(frame), "row")
    return frame[~is_names]


def _refuse_swallowed_rows(path: Path, frame: pd.DataFrame, layout: Layout) -> None:
    """Refuse cells in which whole rows are: a quotation mark was opened and closed elsewhere."""
    for position, name in enumerate(frame.columns):
        cells = frame.iloc[:, position].dropna()
        if pd.api.types.is_numeric_dtype(cells) or layout.separator == SPACES:
            continue
        cells = cells[cells.astype(str).str.contains("\n", regex=False)]
        rows = [
            row for row, cell in cells.items() if _has_rows(cell, position, frame, layout.separator)
        ]
        if rows:
            raise UserError(
                f"{path}: in {some(rows, len(frame), 'row')}, the cell of {name!r} has whole rows "
                "in it: a quotation mark opens there and closes rows later. Remove or double it."
            )


def _has_rows(cell: str, position: int, frame: pd.DataFrame, separator: str) -> bool:
    """Whether the lines of a cell are the end of a row, whole rows, and the begin of a row."""
    width = len(frame.columns)
    lines = [line.split(separator) for line in cell.split("\n")]
    if len(lines[0]) != width - position or len(lines[-1]) != position + 1:
        return False
    if any(len(line) != width for line in lines[1:-1]):
        return False
    others = [*lines[0][1:], *lines[-1][:-1]]
    columns = [*range(position + 1, width), *range(position)]
    known = [_is_of(text, frame.iloc[:, n]) for text, n in zip(others, columns, strict=True)]
    return bool(known) and sum(known) >= len(known) / 2


def _is_of(text: str, cells: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(cells):
        return bool(NUMBER.fullmatch(text.strip()))
    return bool(text.strip()) and bool((cells == text).any())
