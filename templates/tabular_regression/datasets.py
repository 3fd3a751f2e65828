"""Step 2, the table: diabetes or CSV files of yours, their splits, and the columns as tensors."""

import csv
import difflib
import io
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import Data, packaged_file, split

MIN_ROWS = 10
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
Sample = tuple[tuple[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rows:
    """Rows as tensors.

    A sample is ((numeric columns: (F,) float32, NaN where missing; codes of the categories: (K,)
    int64, 0 where missing or unknown), target: () float32).
    """

    numeric: Tensor
    categories: Tensor
    target: Tensor
    table: str
    numbers: list[int]

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> Sample:
        return (self.numeric[index], self.categories[index]), self.target[index]

    def fetch(self, indices: list[int]) -> Sample:
        """A whole batch at once: the tensors of a sample, each with N in front."""
        rows = torch.tensor(indices, dtype=torch.int64)
        return (self.numeric[rows], self.categories[rows]), self.target[rows]

    def describe(self, index: int) -> str:
        """The file and the row in it."""
        return f"row {self.numbers[index]} of {self.table}"


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
        close = difflib.get_close_matches(column, names, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
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
                    "the value is unknown."
                )
        return np.asarray(values)

    def targets(self, column: str) -> np.ndarray:
        """As ``numbers``; no row may be without one."""
        values = self.numbers(column)
        missing = np.isnan(values)
        if missing.any():
            raise UserError(
                f"{self.name}, row {self.frame.index[missing.argmax()]}: the target {column!r} is "
                f"empty (in {missing.sum()} of {len(values)} rows). Fill it in or remove the row."
            )
        return values


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test rows as ``settings`` ask for them."""
    tables = _read_parts(settings)
    train = tables["train"]
    if settings.target is None and settings.data is not None:
        listed = ", ".join(train.frame.columns[:30])
        raise UserError(
            f"Which column of {train.name} is to be predicted? Type --target with one of: {listed}."
        )
    target = train.find(settings.target or "progression", "--target")
    ignored = {train.find(name, "--drop-columns") for name in _names(settings.drop_columns)}
    as_names = {
        train.find(name, "--categorical-columns") for name in _names(settings.categorical_columns)
    }
    tables |= _missing_parts(tables, settings)
    facts, left_out = _learn(tables["train"], target, ignored, as_names)
    for column, reason in left_out.items():
        print(f"Left out: column {column!r}, which {reason}.", file=sys.stderr)
    return Data(
        train=_to_tensors(tables["train"], facts),
        val=_to_tensors(tables["val"], facts),
        test=_to_tensors(tables["test"], facts),
        facts=facts,
        in_memory=True,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _read_parts(settings: Hyperparameters) -> dict[str, Table]:
    """The tables that there are: at least "train"."""
    texts, path = _names(settings.categorical_columns), settings.data
    if path is None:
        return {"train": _read_diabetes(texts)}
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
    if len(tables["train"].frame) < MIN_ROWS:
        raise UserError(
            f"{files['train']} has {len(tables['train'].frame)} rows; at least {MIN_ROWS} are "
            "needed to train, and hundreds to learn something."
        )
    return tables


def _read_diabetes(texts: list[str]) -> Table:
    """The data of Efron et al., Least Angle Regression (2004), in the units of measurement."""
    kinds = dict.fromkeys(texts, str)
    table, target = map(packaged_file, ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"))
    frame = pd.read_csv(table, sep=" ", names=DIABETES, dtype=kinds)
    frame["progression"] = pd.read_csv(target, names=["progression"])
    return Table("the diabetes data", frame.set_axis(range(1, len(frame) + 1)))


def _read_csv(path: Path, texts: list[str]) -> Table:
    """A CSV file whose columns ``texts`` are not to be taken for numbers.

    Commas, semicolons, tabs and bars may separate the cells. A column without a name, such as the
    row numbers that pandas writes, is not read.

    Raises:
        UserError: the file is missing, empty, or not a table.
    """
    text = _read_text(path)
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


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not text in UTF-8 (row {row}). Save the table as 'CSV UTF-8'."
        ) from None
    if not text.strip():
        raise UserError(f"{path} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


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


def _missing_parts(tables: dict[str, Table], settings: Hyperparameters) -> dict[str, Table]:
    """The training rows again, less those split off for the parts that have no file."""
    train = tables["train"]
    missing = tuple(part for part in ("val", "test") if part not in tables)
    indices = split(len(train.frame), settings, parts=missing)
    return {part: Table(train.name, train.frame.iloc[rows]) for part, rows in indices.items()}


def _learn(
    train: Table, target: str, ignored: set[str], as_names: set[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the model must know, from training rows only; and which columns are left out, and why.

    A category that is there only once teaches nothing but its own row, so it is left to code 0.
    """
    numeric: dict[str, dict[str, float | bool]] = {}
    categorical: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for column in train.frame.columns.drop([target, *ignored]):
        cells = train.frame[column]
        if cells.nunique(dropna=False) < 2:
            left_out[column] = "is empty or the same in all training rows"
        elif column not in as_names and _is_numeric(cells):
            numeric[column] = _statistics(train.numbers(column))
        else:
            counts = cells.value_counts()
            categorical[column] = sorted(counts.index[counts > 1])
            if counts[counts > 1].sum() < 0.5 * counts.sum():
                del categorical[column]
                left_out[column] = "has a text of its own in most training rows"
    targets = _statistics(train.targets(target))
    if train.frame[target].nunique() < 2:
        raise UserError(f"The target {target!r} is the same in all training rows of {train.name}.")
    if not numeric and not categorical:
        raise UserError(f"{train.name} has no column from which {target!r} could be predicted.")
    facts = {
        "target": target,
        "numeric": numeric,
        "categorical": categorical,
        "target_mean": targets["mean"],
        "target_std": targets["std"],
    }
    return facts, left_out


def _is_numeric(cells: pd.Series) -> bool:
    """Whether a column is numbers; a few texts in a tenth of it are mistakes, which are named."""
    if not pd.api.types.is_string_dtype(cells):
        return True
    numbers = pd.to_numeric(cells, errors="coerce")
    return bool(numbers.notna().sum() >= 0.9 * cells.notna().sum())


def _statistics(values: np.ndarray) -> dict[str, float | bool]:
    known = values[~np.isnan(values)].astype(np.float32).astype(np.float64)
    return {
        "median": float(np.median(known)),
        "mean": float(known.mean()),
        "std": float(known.std()) or 1.0,
        "missing": len(known) < len(values),
    }


def _to_tensors(table: Table, facts: dict[str, Any]) -> Rows:
    """The columns that ``facts`` name, with the codes of ``facts``."""
    for column in (facts["target"], *facts["numeric"], *facts["categorical"]):
        table.find(column, "the training file")
    rows = len(table.frame)
    numeric = [table.numbers(column) for column in facts["numeric"]]
    codes = [
        pd.Categorical(table.frame[column], categories=vocabulary).codes + 1
        for column, vocabulary in facts["categorical"].items()
    ]
    return Rows(
        numeric=torch.tensor(np.array(numeric).reshape(-1, rows).T, dtype=torch.float32),
        categories=torch.tensor(np.array(codes).reshape(-1, rows).T, dtype=torch.int64),
        target=torch.tensor(table.targets(facts["target"]), dtype=torch.float32),
        table=table.name,
        numbers=table.frame.index.tolist(),
    )
