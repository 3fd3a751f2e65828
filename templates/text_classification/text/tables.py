"""Reading CSV files and JSON lines. Messages name the row as the user counts: the header is 1."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from ..engine.errors import UserError
from ..engine.files import read_text

FLAGS = ("--text-column", "--label-column")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns "text" and "label" without surrounding spaces; the index says where each row is from.

    Args:
        path: a CSV file, or JSON lines.
        columns: the names of the two columns in the file.

    Raises:
        UserError: the file cannot be read, has no such columns, or a cell is empty.
    """
    is_csv = path.suffix.lower() == ".csv"
    frame = _read_csv(path, columns) if is_csv else _read_json_lines(path, columns)
    if frame.empty:
        raise UserError(f"{path} has no texts in it. Add some.")
    unit = "row" if is_csv else "line"
    frame.index = [f"{unit} {number} of {path.name}" for number in frame.index]
    for name, column in zip(frame, columns, strict=True):
        frame[name] = frame[name].str.strip()
        empty = frame[name] == ""
        if empty.any():
            place, count = empty.idxmax(), f"in {empty.sum()} of {len(empty)} {unit}s"
            raise UserError(f"{place}: {column!r} is empty ({count}). Fill it in or remove it.")
    return frame


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file with commas, semicolons, tabs or bars between the cells."""
    text = read_text(path)
    if not text.strip():
        return pd.DataFrame()
    first_line = text.partition("\n")[0]
    separator = max(",;\t|", key=first_line.count)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # they count as rows
        )
    except pd.errors.ParserError as error:
        raise UserError(f"{path} {_explain(str(error))}") from None
    frame.index += 1
    names = frame.loc[1].str.strip().tolist()
    rows = frame[1:]
    rows = rows[(rows != "").any(axis=1)]
    wanted = [_position(names, *pair, path.name) for pair in zip(columns, FLAGS, strict=True)]
    return rows[wanted].set_axis(["text", "label"], axis=1)


def _position(names: list[str], column: str, flag: str, place: str) -> int:
    if column not in names:
        _refuse(place, names, column, flag)
    if names.count(column) > 1:
        raise UserError(f"{place} has two columns {column!r}. Rename or remove one of them.")
    return names.index(column)


def _refuse(place: str, names: list[str], column: str, flag: str) -> NoReturn:
    listed = ", ".join(names[:30]) or "none"
    raise UserError(f"{place} has no {column!r}. Type {flag} with one of: {listed}.")


def _explain(message: str) -> str:
    """What pandas says, in the words of someone who looks at the file."""
    cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if cells:
        return (
            f"has {cells[3]} cells in row {cells[2]}, but {cells[1]} names of columns in row 1. "
            'Put "quotation marks" around texts that contain the separator.'
        )
    quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if quote:
        return f"has a quotation mark in row {int(quote[1]) + 1} that is never closed. Close it."
    return f"is not CSV: {message}."


def _read_json_lines(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A file with one JSON object per line; blank lines are left out."""
    rows = {
        number: _read_object(path, number, line, columns)
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["text", "label"], dtype=str)


def _read_object(path: Path, number: int, line: str, columns: Sequence[str]) -> list[str]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{path} is not JSON in line {number}: {error}.") from None
    if not isinstance(value, dict):
        example = '{"text": "...", "label": "..."}'
        raise UserError(f"Line {number} of {path} is no JSON object, such as {example}.")
    place = f"line {number} of {path.name}"
    for column, flag in zip(columns, FLAGS, strict=True):
        if column not in value:
            _refuse(place, list(value), column, flag)
    return [_to_text(value[column], f"{place}: {column!r}") for column in columns]


def _to_text(value: Any, place: str) -> str:
    """A number or bool as JSON writes it; null is an empty text."""
    if isinstance(value, list | dict):
        raise UserError(f"{place} is a list or an object. Write it as a text.")
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
