"""Which columns of a table a model gets, and how each is read. Only training rows decide it."""

import numpy as np

from ..engine.errors import UserError
from .tables import Table

Statistics = dict[str, float | bool]
MIN_BIN_ROWS = 10


def select_columns(
    train: Table, target: str, drop: set[str], categorical: set[str]
) -> tuple[dict[str, Statistics], dict[str, list[str]], dict[str, str]]:
    """Numeric columns with statistics, categorical ones with categories, and those left out.

    Of the last, the text says why. A category with a single row teaches nothing but that row, so
    it is read like an unknown one.

    Raises:
        UserError: nothing is left to predict from, or nothing to predict.
    """
    numeric: dict[str, Statistics] = {}
    categories: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for column in train.frame.columns.drop([target, *drop]):
        cells = train.frame[column]
        if cells.nunique(dropna=False) < 2:
            left_out[column] = "is empty or the same in all training rows"
        elif column not in categorical and train.is_numeric(column):
            numeric[column] = statistics(train.numbers(column))
        else:
            counts = cells.value_counts()
            frequent = counts[counts > 1]
            if frequent.sum() < 0.5 * counts.sum():
                left_out[column] = "has a text of its own in most training rows"
            else:
                categories[column] = sorted(frequent.index)
    if train.frame[target].nunique() < 2:
        raise UserError(f"The target {target!r} is the same in all training rows of {train.name}.")
    if not numeric and not categories:
        raise UserError(f"{train.name} has no column from which {target!r} could be predicted.")
    return numeric, categories, left_out


def target_numbers(train: Table, target: str) -> np.ndarray:
    """The numbers to predict; a UserError if the column holds texts."""
    if not train.is_numeric(target):
        raise UserError(
            f"The column {target!r} of {train.name} holds texts, and a target must be numbers. "
            "Type --objective classification if they are classes, or --target with another column, "
            "or write the values as numbers."
        )
    return train.numbers(target, required=True)


def statistics(values: np.ndarray) -> Statistics:
    """Median, mean and standard deviation of the known values, and whether any is missing."""
    known = values[~np.isnan(values)].astype(np.float32).astype(np.float64)
    return {
        "median": float(np.median(known)),
        "mean": float(known.mean()),
        "std": float(known.std()) or 1.0,
        "missing": len(known) < len(values),
    }


def bin_edges(values: np.ndarray, num_bins: int) -> list[float]:
    """Edges of bins with equally many of the known values, in standard deviations from the mean.

    There are fewer bins where there are few rows, or where many rows have the same value.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    num_bins = max(1, min(num_bins, len(known) // MIN_BIN_ROWS))
    standard = (known - known.mean()) / (known.std() or 1.0)
    edges = np.unique(np.quantile(standard, np.linspace(0, 1, num_bins + 1)).astype(np.float32))
    return [float(edge) for edge in edges]
