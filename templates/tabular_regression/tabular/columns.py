"""Which columns of a table a model gets. Only training rows decide it."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from .class_names import find_names
from .table_files import Table
from .tables import TEXT, Formats, part_names

Statistics = dict[str, float | bool]
# Above this many standard deviations from zero, numbers are centered before they become float32,
# which has seven digits.
FAR_FROM_ZERO = 1000.0
ID_NAME = re.compile(
    r"(?i:(?:.*[ _.-])?(?:id|uuid|guid|index|idx|nr|rownum|row[ _.]?names?|unnamed: ?\d+)|#)"
    r"|.*[a-z]I[dD]"
)
GAP_CODES = (-1.0, 99.0, 999.0, 9999.0, 99999.0)
MIN_BIN_ROWS = 10
NUM_BINS_OF_FEW_ROWS, ROWS_OF_MORE_BINS = 16, 45
MAX_CODES, MIN_CODE_ROWS = 512, 12


def select_columns(
    train: Table, target: str, formats: Mapping[str, str], report: DataReport
) -> tuple[dict[str, Statistics], dict[str, list[str]], dict[str, str], Formats]:
    """Numeric columns with statistics, categorical ones with categories, those left out with the
    reason, and the formats of the columns that are needed.

    A category with a single row teaches nothing but that row, so it is read like an unknown one. A
    UserError if nothing is left to predict from, or nothing to predict.
    """
    numeric: dict[str, Statistics] = {}
    categories: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for column in train.frame.columns.drop(target):
        cells = train.frame[column]
        if is_constant(cells):
            left_out[column] = "empty or the same in all training rows"
        elif ID_NAME.fullmatch(column) and is_id(cells):
            left_out[column] = "id, another value in every row"
        elif formats.get(column) != TEXT:
            numeric[column] = statistics(cells.to_numpy())
            _note_gap_code(cells, column, report)
        else:
            counts = cells.value_counts()
            frequent = counts[counts > 1]
            if frequent.sum() < 0.5 * counts.sum():
                only = "a" if len(frequent) else "id, a"
                left_out[column] = f"{only} text of its own in most training rows"
            else:
                categories[column] = sorted(frequent.index)
    if is_constant(train.frame[target]):
        raise UserError(f"The target {target!r} is the same in all training rows of {train.name}.")
    if not numeric and not categories:
        raise UserError(f"{train.name} has no column from which {target!r} could be predicted.")
    _report_left_out(formats, left_out, report)
    used = {target, *numeric, *categories}
    needed = {name: how for name, how in formats.items() if used & {name, *part_names(name)}}
    return numeric, categories, left_out, needed


def is_constant(cells: pd.Series) -> bool:
    """Whether all cells are the same, or gaps."""
    is_gap = cells.isna()
    return bool(is_gap.all() or ((cells == cells.iloc[0]).all() and not is_gap.any()))


def is_id(cells: pd.Series) -> bool:
    """Whether every row has another whole number or text."""
    if pd.api.types.is_numeric_dtype(cells) and (cells % 1 != 0).any():
        return False
    return bool(cells.is_unique)


def statistics(values: np.ndarray) -> Statistics:
    """What to subtract from the values before they become float32, and what they are then."""
    known = values[~np.isnan(values)]
    is_far = abs(known.mean()) > FAR_FROM_ZERO * known.std()
    offset = float(known.mean()) if is_far else 0.0
    known = (known - offset).astype(np.float32).astype(np.float64)
    return {
        "median": float(np.median(known)),
        "mean": float(known.mean()),
        "std": float(known.std()) or 1.0,
        "missing": len(known) < len(values),
        "offset": offset,
    }


def to_numbers(table: Table, numeric: Mapping[str, Statistics]) -> list[np.ndarray]:
    """Each column of numbers without its offset: (N,) float64."""
    return [table.numbers(column) - known["offset"] for column, known in numeric.items()]


def to_codes(table: Table, categorical: Mapping[str, list[str]]) -> list[np.ndarray]:
    """For each column the number of the category in each row: (N,), 0 for gaps and unknown ones."""
    return [find_names(table.frame[column], names) + 1 for column, names in categorical.items()]


def _note_gap_code(cells: pd.Series, column: str, report: DataReport) -> None:
    """Say if the lowest or highest number looks like -999, which some write into gaps."""
    low, high = cells.min(), cells.max()
    for code in {low, high} & {*GAP_CODES, *(-code for code in GAP_CODES)} - {1.0}:
        others = cells[cells != code]
        count = len(cells) - len(others) - int(cells.isna().sum())
        is_far = abs(code) > 10 * others.abs().max() or (code < 0 <= others.min() and code < -1)
        if count > 1 and is_far:
            report.note(
                f"{column}: {code:g} in {count:,} of {len(cells):,} training rows looks like a "
                "code for a gap. If it is one, empty these cells."
            )


def _report_left_out(
    formats: Mapping[str, str], left_out: Mapping[str, str], report: DataReport
) -> None:
    for column in formats:
        parts = part_names(column)
        gone = [part for part in parts if part in left_out]
        if column in left_out:
            report.columns[column] = f"left out: {left_out[column]}"
        elif len(gone) == len(parts):
            report.columns[column] = "left out: the same date in all training rows"
        elif gone:
            kept = [part.rpartition(": ")[2] for part in parts if part not in left_out]
            head = report.columns[column].partition(", as numbers")[0]
            report.columns[column] = f"{head}, as numbers: {', '.join(kept)}"


def bin_edges(values: np.ndarray, num_bins: int) -> list[float]:
    """Edges of bins with equally many of the known values, in standard deviations from the mean.

    There are fewer bins where there are few rows, or where many rows have the same value. Whole
    numbers that repeat have a bin each: they may be codes, of states or schools, whose order says
    nothing.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    most = max(NUM_BINS_OF_FEW_ROWS, len(known) // ROWS_OF_MORE_BINS)
    num_bins = max(1, min(num_bins, most, len(known) // MIN_BIN_ROWS))
    codes = np.unique(known)
    if (
        num_bins < len(codes) <= min(MAX_CODES, len(known) // MIN_CODE_ROWS)
        and (codes % 1 == 0).all()
    ):
        return [float(code) for code in (codes - known.mean()) / known.std()]
    standard = (known - known.mean()) / (known.std() or 1.0)
    edges = np.unique(np.quantile(standard, np.linspace(0, 1, num_bins + 1)).astype(np.float32))
    return [float(edge) for edge in edges]
