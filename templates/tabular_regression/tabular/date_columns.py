"""Which columns of a file hold dates, and their reading."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from .class_names import GAP_WORDS
from .dates import date_formats, read_dates
from .number_columns import NumberColumn
from .table_files import Table

COMPACT = "%Y%m%d"
ORDERS = {"day-first": "%d", "month-first": "%m"}


def find_dates(
    table: Table, columns: Iterable[str], numbers: Mapping[str, NumberColumn], order: str
) -> dict[str, str]:
    """The format of each column of dates.

    A UserError if a column has only such dates, and ``order`` is "auto".

    Args:
        table: the file.
        columns: of it.
        numbers: those that hold numbers; 20240131 is a date all the same.
        order: "day-first" or "month-first", for dates such as 03/04/2024; or "auto".
    """
    found, doubtful = dict[str, str](), list[str]()
    for name in columns:
        cells = table.frame[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            found[name] = "%Y-%m-%d"
        elif name in numbers:
            found |= {name: COMPACT} if _is_compact(numbers[name]) else {}
        elif formats := date_formats(_texts(cells)):
            begin = ORDERS.get(order, "")
            chosen = [form for form in formats if begin and form.startswith(begin)] or formats
            orders = {form[:2] for form in chosen if form[:2] in ORDERS.values()}
            doubtful += [name] if len(orders) > 1 else []
            found[name] = chosen[0]
    if doubtful:
        shown = "; ".join(f"{name}: {_texts(table.frame[name])[0]}" for name in doubtful)
        raise UserError(
            f"{table.name}: nothing tells whether the day or the month comes first in {shown}. "
            "Type --date-order day-first or --date-order month-first."
        )
    return found


def to_dates(table: Table, name: str, form: str, report: DataReport) -> pd.Series:
    """The dates of a column, NaT in gaps and, with a note, where a cell is no date."""
    cells = table.frame[name]
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    if pd.api.types.is_numeric_dtype(cells):
        cells = cells.map(lambda number: f"{number:.0f}", na_action="ignore")
    codes, texts = pd.factorize(cells)
    names = [str(text).strip() for text in texts]
    dates = read_dates(names, form)
    if names and dates.isna().all():  # another file may write them in another way
        others = date_formats(names)
        dates = read_dates(names, others[0]) if len(others) == 1 else dates
    gaps = np.array([text.lower() in GAP_WORDS or not text for text in names], dtype=bool)
    wrong = np.append(dates.isna() & ~gaps, False)[codes]
    if wrong.any():
        shown = ", ".join(map(repr, cells[wrong].unique()[:3]))
        report.note(
            f"{table.name}: {name!r} is no date ({shown}) in {table.some(wrong)}. These cells are "
            "read as gaps."
        )
    return pd.Series(dates.append(pd.DatetimeIndex([pd.NaT]))[codes], index=cells.index)


def _texts(cells: pd.Series) -> list[str]:
    texts = (str(text).strip() for text in cells.dropna().unique())
    return [text for text in texts if text and text.lower() not in GAP_WORDS]


def _is_compact(column: NumberColumn) -> bool:
    """Whether all numbers are days such as 20240131."""
    known = column.values[~np.isnan(column.values)]
    if not len(known) or known.min() < 19000101 or known.max() > 21001231:
        return False
    days = [f"{number:.0f}" for number in np.unique(known)]
    return len(days) > 1 and bool(read_dates(days, COMPACT).notna().all())
