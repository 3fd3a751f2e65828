"""Reading a table from a file of any kind: text, JSON, Parquet or Excel."""

import importlib.util
import io
import json
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.inputs import STDIN
from .delimited import read_delimited
from .encodings import DELIMITED, LINES, SUFFIXES, decode, note_encoding, read_bytes
from .layout import Layout, check_names

PACKAGES = {".parquet": ("Parquet", "pyarrow", "parquet"), ".xlsx": ("Excel", "openpyxl", "excel")}


@dataclass(frozen=True)
class Table:
    """Rows of a file.

    The index of the frame has the numbers of the rows in the file. A column has numbers, dates, or
    texts as they are written; NaN where a cell is empty.
    """

    name: str
    frame: pd.DataFrame
    unit: str = "row"
    """What a row is called in this kind of file."""
    decimal: str = "."
    """The mark in columns that are numbers already."""

    def take(self, positions: list[int]) -> "Table":
        """Some of the rows."""
        return Table(self.name, self.frame.iloc[positions], self.unit)

    def place(self, position: int) -> str:
        """The number of a row, and the file."""
        return f"{self.unit} {self.frame.index[position]} of {self.name}"

    def numbers(self, column: str) -> np.ndarray:
        """A column of numbers, (N,) float64."""
        return np.asarray(self.frame[column], dtype=np.float64)

    def some(self, is_meant: Any) -> str:
        """Those rows with their count and the first few numbers; ``is_meant`` is (N,) bool."""
        rows = self.frame.index[np.asarray(is_meant)].tolist()
        return some(rows, len(self.frame), self.unit)


def suffix_of(path: Path) -> str:
    """The suffix that tells the kind of a file: .csv of a.csv and of a.csv.gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_table(path: Path, report: DataReport, text_columns: Collection[str] = ()) -> Table:
    """The table in a file. Columns in ``text_columns`` are texts, even if all cells are numbers.

    A UserError if it cannot be read, is damaged, or is not a table.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is not a table that can be read. Type --data with a file of one of these "
            f"kinds: {', '.join(SUFFIXES)} (also .gz)."
        )
    return parse_table(path, suffix, read_bytes(path), report, text_columns)


def read_input(
    given: Path | pd.DataFrame, text_columns: Collection[str] = (), lines: str | None = None
) -> Table:
    """A table to predict for: a file, standard input, or a frame in memory.

    Args:
        given: what it is in.
        text_columns: see ``read_table``.
        lines: the column that each line of standard input is a cell of, if these are no table.

    Raises:
        UserError: it cannot be read, or is not a table.
    """
    if isinstance(given, pd.DataFrame):
        if given.empty or not given.columns.is_unique:
            raise UserError("The DataFrame has no rows, or several columns of the same name.")
        frame = given.set_axis(pd.RangeIndex(len(given)), axis=0)
        frame = frame.set_axis([str(name).strip() for name in frame], axis=1)
        return to_table("the DataFrame", frame, "row", ".", text_columns)
    if not isinstance(given, Path):
        raise UserError(f"{type(given).__name__} is no table. Give a path or a DataFrame.")
    if given is not STDIN:
        return read_table(given, DataReport(), text_columns)
    content = read_bytes(STDIN)
    head, *_ = texts = decode(content, STDIN)[0].removesuffix("\n").split("\n")
    names = re.findall(r"[^\t;|,\"\r\ufeff]+", head)
    if lines is None or lines in names or head.startswith("{") or not content.strip():
        suffix = {"{": ".jsonl", "[": ".json"}.get(head.lstrip()[:1], ".csv")
        return parse_table(STDIN, suffix, content, DataReport(), text_columns)
    return Table(STDIN.name, pd.DataFrame({lines: texts}, range(1, len(texts) + 1)), "line")


def parse_table(
    path: Path, suffix: str, content: bytes, report: DataReport, text_columns: Collection[str]
) -> Table:
    """See ``read_table``; ``path`` is only for messages."""
    unit, decimal = "row", "."
    if suffix in PACKAGES:
        frame = _read_binary(path, content, suffix, report)
    else:
        text, encoding = decode(content, path)
        if encoding:
            note_encoding(report, [path.name], 1, encoding, text)
        if suffix in DELIMITED:
            frame, decimal = read_delimited(path, text, report, text_columns)
        else:
            unit = "line" if suffix in LINES else "record"
            frame = _read_lines(path, text) if suffix in LINES else _read_json(path, text)
    if frame.empty:
        raise UserError(f"{path} has no rows in it.")
    return to_table(path.name, frame, unit, decimal, text_columns)


def to_table(
    name: str, frame: pd.DataFrame, unit: str, decimal: str, text_columns: Collection[str]
) -> Table:
    """The frame as a table, each of its columns of a plain type."""
    columns = {each: _to_plain(frame[each], each in text_columns, unit) for each in frame}
    return Table(name, pd.DataFrame(columns), unit, decimal)


def _read_binary(path: Path, content: bytes, suffix: str, report: DataReport) -> pd.DataFrame:
    """Parquet or Excel, through a package that the project has as an extra."""
    kind, package, extra = PACKAGES[suffix]
    damaged = f"{path} is damaged, or no {kind} file. Save it again, or as .csv."
    if not (
        content[:4] == b"PAR1" if kind == "Parquet" else zipfile.is_zipfile(io.BytesIO(content))
    ):
        raise UserError(damaged)
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"To read {path}, the package {package} is needed. Type `uv sync --extra {extra}`, or "
            f'`python -m pip install -e ".[{extra}]"`; or save the table as .csv.'
        )
    try:
        return _read_parquet(content) if kind == "Parquet" else _read_excel(path, content, report)
    except UserError:
        raise
    except Exception as error:  # of many kinds, as the file may be damaged in any place
        raise UserError(damaged) from error


def _read_parquet(content: bytes) -> pd.DataFrame:
    frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame.set_axis([str(name).strip() for name in frame], axis=1)


def _read_excel(path: Path, content: bytes, report: DataReport) -> pd.DataFrame:
    """The first sheet. Its names stand in the first row that has several cells."""
    with pd.ExcelFile(io.BytesIO(content), engine="openpyxl") as book:
        sheets = [str(name) for name in book.sheet_names]
        cells = book.parse(
            book.sheet_names[0], header=None, dtype=object, keep_default_na=False, na_values=[""]
        )
    if len(sheets) > 1:
        report.note(f"{path.name}: only the first sheet is read; left aside: {sheets[1:]}.")
    cells.index = pd.RangeIndex(1, len(cells) + 1)
    filled = cells.notna().sum(axis=1)
    header = int((filled > filled.max() / 2).idxmax()) if len(cells) else 0
    if header > 1:
        report.note(f"{path.name}: what stands above row {header} is left out.")
    rows = cells.loc[header + 1 :].dropna(how="all")
    names = ["" if pd.isna(name) else str(name).strip() for name in cells.loc[header]]
    check_names(path, Layout("", names, 0, rows.head(200).astype(str).to_numpy().tolist()))
    return rows.set_axis(names, axis=1).loc[:, [bool(name) for name in names]]


def _read_json(path: Path, text: str) -> pd.DataFrame:
    """A list of objects, or an object of columns."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.") from None
    if isinstance(content, dict):
        lists = [v for v in content.values() if isinstance(v, list) and v and _is_rows(v[:1])]
        content = lists[0] if len(lists) == 1 else content
    if _is_rows(content):
        return pd.DataFrame(content, index=range(1, len(content) + 1))
    if isinstance(content, dict) and {"columns", "data"} <= content.keys():
        content = dict(zip(content["columns"], zip(*content["data"], strict=True), strict=True))
    if isinstance(content, dict) and all(
        isinstance(v, list | dict | tuple) for v in content.values()
    ):
        frame = pd.DataFrame({name: pd.Series(column) for name, column in content.items()})
        return frame.set_axis(range(1, len(frame) + 1), axis=0)
    example = '[{"a": 1, "b": "x"}, ...]'
    raise UserError(f"{path} is no table. Write it as a list of rows: {example}.")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _read_lines(path: Path, text: str) -> pd.DataFrame:
    """JSON lines: an object in each line; the index is the number of the line."""
    rows: dict[int, dict[str, Any]] = {}
    wrong: list[int] = []
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows[number] = dict(json.loads(line).items())
            except (ValueError, AttributeError):
                wrong.append(number)
    if wrong:
        example = '{"text": "...", "label": "..."}'
        raise UserError(
            f"{path} is not JSON lines: no object such as {example} is in "
            f"{some(wrong, len(lines), 'line')}."
        )
    return pd.DataFrame(list(rows.values()), index=list(rows))


def _to_plain(cells: pd.Series, as_text: bool, unit: str) -> pd.Series:
    """Cells as float64 or int64, datetime64, or texts."""
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    if kind == "categorical":
        return _to_plain(cells.astype(object), as_text, unit)
    if kind == "timedelta64":
        cells, kind = cells.dt.total_seconds(), "floating"
    if kind in ("datetime", "datetime64", "date") and not as_text:
        return pd.to_datetime(cells, utc=True).dt.tz_localize(None)
    if kind in ("integer", "floating", "mixed-integer-float", "decimal") and not as_text:
        is_plain = cells.dtype in (np.int64, np.float64)
        return cells if is_plain else cells.astype("float64")
    if kind in ("string", "empty"):
        return cells.astype("str").replace("", np.nan)
    nested = cells.map(lambda cell: isinstance(cell, list | dict))
    if as_text and nested.any():
        found = some(cells.index[nested].tolist(), len(cells), unit)
        raise UserError(f"{cells.name!r} is a list or an object in {found}. Write it as a text.")
    return cells.map(_cell_text, na_action="ignore").astype("str")


def _cell_text(value: Any) -> str:
    """A cell as a text: 3 for 3.0."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
