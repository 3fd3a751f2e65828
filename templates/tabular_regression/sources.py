"""Where tables come from: those inside scikit-learn, or CSV files of your own."""

import csv
import difflib
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .classes import order_classes, split_classes
from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import packaged_file, split
from .utils import read_text

MIN_ROWS = 10
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "progression"]
CELL_NUCLEI = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
    *("concavity", "concave points", "symmetry", "fractal dimension"),
)
TUMOURS = [*(f"{kind} {name}" for kind in ("mean", "error", "worst") for name in CELL_NUCLEI)]


@dataclass(frozen=True)
class Table:
    """A file, or some rows of it. The frame's index counts rows as people do: the header is 1."""

    name: str
    frame: pd.DataFrame

    def find(self, column: str, flag: str) -> str:
        """``column``, if the table has it.

        Raises:
            UserError: it has not; the message names those that it has.
        """
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

    def numbers(self, column: str) -> np.ndarray:
        """A column as float64, NaN where it is missing.

        Raises:
            UserError: a cell is not a number, or infinite; the message names it.
        """
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

    def targets(self, column: str) -> np.ndarray:
        """As ``numbers``; no row may be without one."""
        self._refuse_gaps(column)
        return self.numbers(column)

    def _refuse_gaps(self, column: str) -> None:
        missing = self.frame[column].isna()
        if missing.any():
            place = f"{self.name}, row {missing.idxmax()}: the target {column!r} is empty"
            count = f"in {missing.sum()} of {len(missing)} rows"
            raise UserError(f"{place} ({count}). Fill it in or remove the row.")

    def classes(self, column: str) -> list[str]:
        """A column as names of classes; no row may be without one."""
        self._refuse_gaps(column)
        return list(self.frame[column].astype(str))

    def class_names(self, column: str) -> list[str]:
        """The classes of a column, each once and in order.

        Raises:
            UserError: nearly every row has a class of its own.
        """
        classes = self.classes(column)
        names = order_classes(classes)
        if len(names) > len(classes) / 2:
            raise UserError(
                f"{self.name} has {len(names)} different values in the column {column!r} and "
                f"{len(classes)} rows, so these are no classes. Type --target with another column, "
                "or --objective regression to predict a number."
            )
        return names


def read_tables(settings: Hyperparameters) -> tuple[dict[str, Table], str]:
    """Training, validation and test rows, as they stand in the files; and the target's column.

    Raises:
        UserError: a file cannot be read, is not a table, or has too few rows.
    """
    classify = settings.objective == "classification"
    texts = split_names(settings.categorical_columns)
    if settings.data is None:
        tables = {"train": _tumours() if classify else _diabetes(texts)}
    else:
        names = [settings.target] if classify and settings.target else []
        tables = _read_files(settings.data, texts + names)
    train = tables["train"]
    target = _find_target(train, settings)
    if len(train.frame) < MIN_ROWS:
        raise UserError(
            f"{train.name} has {len(train.frame)} rows; at least {MIN_ROWS} are needed to train, "
            "and hundreds to learn something."
        )
    missing = tuple(part for part in ("val", "test") if part not in tables)
    if classify:
        names = train.class_names(target)
        labels = [names.index(name) for name in train.classes(target)]
        indices = split_classes(labels, names, settings, missing, "rows")
    else:
        indices = split(len(train.frame), settings, parts=missing)
    parts = {p: Table(train.name, train.frame.iloc[rows]) for p, rows in indices.items()}
    return tables | parts, target


def _find_target(train: Table, settings: Hyperparameters) -> str:
    """The column to predict; in the tables of scikit-learn it is the last one."""
    if settings.target is None and settings.data is not None:
        listed = ", ".join(train.frame.columns[:30])
        raise UserError(
            f"Which column of {train.name} is to be predicted? Type --target with one of: {listed}."
        )
    return train.find(settings.target or train.frame.columns[-1], "--target")


def split_names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _read_files(path: Path, texts: list[str]) -> dict[str, Table]:
    """The tables that there are: at least "train"."""
    files = {"train": path}
    if path.is_dir():
        found = {part: path / f"{part}.csv" for part in ("train", "val", "test")}
        files = {part: file for part, file in found.items() if file.is_file()}
        if "train" not in files:
            raise UserError(f"{path} has no train.csv. Type --data with a CSV file, or add it.")
    tables: dict[str, Table] = {}
    for part, file in files.items():
        tables[part] = _read_csv(file, texts)
        if part == "train":  # the others are read in the same way, whatever stands in them
            frame = tables[part].frame
            texts = [name for name in frame if pd.api.types.is_string_dtype(frame[name])]
    return tables


def _diabetes(texts: list[str]) -> Table:
    """The data of Efron et al., Least Angle Regression (2004), in the units of measurement."""
    kinds = dict.fromkeys(texts, str)
    table, target = map(packaged_file, ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"))
    frame = pd.read_csv(table, sep=" ", names=DIABETES[:-1], dtype=kinds)
    frame[DIABETES[-1]] = pd.read_csv(target, header=None)
    return Table("the diabetes data", frame.set_axis(range(1, len(frame) + 1)))


def _tumours() -> Table:
    """Breast cancer of Wisconsin: Street, Wolberg and Mangasarian (1993), 30 columns of numbers."""
    path = packaged_file("breast_cancer.csv")
    frame = pd.read_csv(path, header=0, names=[*TUMOURS, "diagnosis"])
    frame["diagnosis"] = frame["diagnosis"].map({0: "malignant", 1: "benign"})
    return Table("the breast cancer data", frame.set_axis(range(1, len(frame) + 1)))


def _read_csv(path: Path, texts: list[str]) -> Table:
    """A CSV file whose columns ``texts`` are not to be taken for numbers.

    Commas, semicolons, tabs and bars may separate the cells. A column without a name, such as the
    row numbers that pandas writes, is not read.

    Raises:
        UserError: the file is missing, empty, or not a table.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    first_line = text.partition("\n")[0]
    separator = max(",;\t|", key=first_line.count)
    names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator), [])]
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise UserError(f"{path} has two columns {min(twice)!r}. Rename or remove one of them.")
    if not any(names):
        raise UserError(f"{path} has no names of columns in its first line. Write them there.")
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
                dtype={number: str for number, name in enumerate(names) if name in texts},
                na_values=["?"],
                skipinitialspace=True,
                skip_blank_lines=False,  # they count as rows
                low_memory=False,
            )
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise UserError(f"{path} {_parser_problem(str(error), len(names))}") from None
    frame = frame.set_axis(names, axis=1).set_axis(range(2, len(frame) + 2), axis=0)
    frame = frame.loc[:, [bool(name) for name in names]].dropna(how="all")
    for name in frame:
        if pd.api.types.is_string_dtype(frame[name]):
            frame[name] = frame[name].str.strip()
    if frame.empty:
        raise UserError(f"{path} has no rows below its first line.")
    return Table(path.name, frame)


def _parser_problem(message: str, num_columns: int) -> str:
    """What pandas says, in the words of someone who looks at the file."""
    cells = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message)
    quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if quote:
        return f"has a quotation mark in row {int(quote[1]) + 1} that is never closed. Close it."
    row, count = (cells[1], cells[2]) if cells else ("2", "more")
    return (
        f"has {count} cells in row {row}, but {num_columns} names of columns in row 1. "
        'Put "quotation marks" around cells that contain the separator, or add the missing name.'
    )
