"""Reading CSV files. Messages name the row as the user counts: the header is row 1."""

import csv
import difflib
import io
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..engine.errors import UserError
from ..engine.files import read_text
from ..engine.splits import order_classes


@dataclass(frozen=True)
class Table:
    """Rows of a file; the index of the frame is the number of the row in the file."""

    name: str
    frame: pd.DataFrame

    def take(self, positions: list[int]) -> "Table":
        """Some of the rows."""
        return Table(self.name, self.frame.iloc[positions])

    def find(self, column: str, flag: str) -> str:
        """``column``; a UserError lists the columns of the table if it is not one of them."""
        names = list(self.frame.columns)
        if column in names:
            return column
        lower = {name.lower(): name for name in names}
        close = difflib.get_close_matches(column.lower(), lower, n=1)
        hint = f"Did you mean {lower[close[0]]!r}? " if close else ""
        listed = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
        raise UserError(
            f"{self.name} has no column {column!r}, which {flag} asks for. {hint}"
            f"The columns in its first line are: {listed}."
        )

    def find_target(self, column: str | None) -> str:
        """The column to predict; a UserError if there is no such column, or none was named."""
        if column is None:
            listed = ", ".join(self.frame.columns[:30])
            raise UserError(
                f"Which column of {self.name} is to be predicted? Type --target with one of: "
                f"{listed}."
            )
        return self.find(column, "--target")

    def is_numeric(self, column: str) -> bool:
        """Whether the column holds numbers; up to a tenth of other texts are taken for mistakes."""
        cells = self.frame[column]
        if not pd.api.types.is_string_dtype(cells):
            return True
        numbers = pd.to_numeric(cells, errors="coerce")
        return bool(numbers.notna().sum() >= 0.9 * cells.notna().sum())

    def numbers(self, column: str, *, required: bool = False) -> np.ndarray:
        """A column as float64, NaN where it is empty.

        Raises:
            UserError: a cell is not a number, infinite, or empty although ``required``.
        """
        if required:
            self._refuse_empty(column)
        cells = self.frame[column]
        values = pd.to_numeric(cells, errors="coerce").astype("float64")
        with np.errstate(over="ignore"):
            infinite = np.isinf(values.astype("float32"))
        for wrong, problem in (
            (values.isna() & cells.notna(), "is not a number"),
            (infinite, "is too large for a number in 32 bits"),
        ):
            if wrong.any():
                row = wrong.idxmax()
                raise UserError(
                    f"{self.name}, row {row}, column {column!r}: {str(cells[row])!r} {problem} "
                    f"(in {wrong.sum()} of {len(cells)} rows). Correct it, or empty the cell if "
                    "the value is unknown, or remove the row."
                )
        return np.asarray(values)

    def labels(self, column: str) -> list[str]:
        """The class of each row; a UserError if a cell is empty."""
        self._refuse_empty(column)
        return list(self.frame[column].astype(str))

    def classes(self, column: str) -> list[str]:
        """Each class once, in order; a UserError if most rows have a class of their own."""
        labels = self.labels(column)
        classes = order_classes(labels)
        if len(classes) > len(labels) / 2:
            raise UserError(
                f"{self.name} has {len(classes)} different values in the column {column!r} and "
                f"{len(labels)} rows, so they cannot be classes. Type --target with another "
                "column, or --objective regression to predict a number."
            )
        return classes

    def _refuse_empty(self, column: str) -> None:
        empty = self.frame[column].isna()
        if empty.any():
            place = f"{self.name}, row {empty.idxmax()}: the target {column!r} is empty"
            count = f"in {empty.sum()} of {len(empty)} rows"
            raise UserError(f"{place} ({count}). Fill it in or remove the row.")


def read_tables(path: Path, text_columns: Collection[str]) -> dict[str, Table]:
    """The splits that a CSV file or a folder has, at least "train".

    Columns in ``text_columns`` are not converted to numbers.

    Raises:
        UserError: a file cannot be read or is not a table.
    """
    if not path.is_dir():
        return {"train": read_csv(path, text_columns)}
    files = {name: path / f"{name}.csv" for name in ("train", "val", "test")}
    if not files["train"].is_file():
        raise UserError(f"{path} has no train.csv. Type --data with a CSV file, or add it.")
    train = read_csv(files["train"], text_columns)
    dtypes = train.frame.dtypes
    texts = [name for name in train.frame if pd.api.types.is_string_dtype(dtypes[name])]
    others = (name for name in ("val", "test") if files[name].is_file())
    return {"train": train} | {name: read_csv(files[name], texts) for name in others}


def read_csv(path: Path, text_columns: Collection[str]) -> Table:
    """A CSV file with commas, semicolons, tabs or bars between the cells.

    Columns without a name, such as the row numbers that pandas writes, are left out, and so are
    empty rows.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    first_line = text.partition("\n")[0]
    separator = max(",;\t|", key=first_line.count)
    names = _column_names(path, text, separator)
    frame = _parse(path, text, separator, names, text_columns)
    frame = frame.loc[:, [bool(name) for name in names]].dropna(how="all")
    for name in frame:
        if pd.api.types.is_string_dtype(frame[name]):
            frame[name] = frame[name].str.strip()
    if frame.empty:
        raise UserError(f"{path} has no rows below its first line.")
    return Table(path.name, frame)


def _column_names(path: Path, text: str, separator: str) -> list[str]:
    first_row = next(csv.reader(io.StringIO(text), delimiter=separator), [])
    names = [name.strip() for name in first_row]
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise UserError(f"{path} has two columns {min(twice)!r}. Rename or remove one of them.")
    if not any(names):
        raise UserError(f"{path} has no names of columns in its first line. Write them there.")
    return names


def _parse(
    path: Path, text: str, separator: str, names: list[str], text_columns: Collection[str]
) -> pd.DataFrame:
    decimal_comma = separator == ";" and re.search(r"[;\n]-?\d+,\d+[;\n]", text[:100_000])
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                decimal="," if decimal_comma else ".",
                header=0,
                names=range(len(names)),
                index_col=False,
                dtype={number: str for number, name in enumerate(names) if name in text_columns},
                na_values=["?"],
                skipinitialspace=True,
                skip_blank_lines=False,  # they count as rows
                low_memory=False,
            )
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise UserError(f"{path} {_explain(str(error), len(names))}") from None
    return frame.set_axis(names, axis=1).set_axis(range(2, len(frame) + 2), axis=0)


def _explain(message: str, num_columns: int) -> str:
    """What pandas says, in the words of someone who looks at the file."""
    quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if quote:
        return f"has a quotation mark in row {int(quote[1]) + 1} that is never closed. Close it."
    cells = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message)
    row, count = (cells[1], cells[2]) if cells else ("2", "more")
    return (
        f"has {count} cells in row {row}, but {num_columns} names of columns in row 1. "
        'Put "quotation marks" around cells that contain the separator, or add the missing name.'
    )
