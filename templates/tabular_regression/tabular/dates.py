"""Dates in a table: which columns hold them, and the numbers that a model gets in their place."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from .class_names import GAP_WORDS
from .number_columns import NumberColumn
from .table_files import Table

DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y"),
    *("%d %B %Y", "%d. %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%Y-%m", "%m/%Y", "%b %Y"),
    *("%B %Y", "%Y%m%d"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p")
ISO = "ISO8601"
FORMATS = (*(day + time for day in DAYS for time in TIMES), ISO, *CLOCKS)
LOOKS_LIKE_A_DATE = re.compile(r"(?=.*\d).{0,12}[-/.:, ].*|\d{8}")
ENOUGH, NUM_TRIED = 0.9, 60
PARTS = ("year", "month", "day of week", "days")
COMPACT = "%Y%m%d"
ORDERS = {"day-first": "%d", "month-first": "%m"}


def date_formats(texts: Sequence[str]) -> list[str]:
    """The formats in which nearly all texts are dates; several only if the texts are ambiguous."""
    tried = list(texts[:NUM_TRIED])
    if sum(bool(LOOKS_LIKE_A_DATE.fullmatch(text)) for text in tried) < ENOUGH * len(tried):
        return []
    marks = {_marks(text) for text in tried}
    alike = [name for name in FORMATS if name == ISO or _marks(name) in marks]
    likely = [name for name in alike if read_dates(tried, name).notna().mean() >= ENOUGH]
    shares = {name: read_dates(texts, name).notna().mean() for name in likely}
    best = max(shares.values(), default=0.0)
    if best < ENOUGH:
        return []
    found = [name for name, share in shares.items() if share == best]
    return [name for name in found if name != ISO] or found


def _marks(text: str) -> tuple[int, ...]:
    """How many there are of each mark that dates may have, and whether there are letters."""
    text = text.replace("%b", "x").replace("%B", "x").replace("%p", "x")
    names = re.sub(r"%\w", "", text)
    has_letters = any(letter.isalpha() for letter in names.replace("T", ""))
    return (*map(text.count, "-/.:,"), has_letters)


def read_dates(texts: Sequence[str], format: str) -> pd.DatetimeIndex:
    """Dates; NaT where a text is none in this format. Time zones become UTC."""
    found = pd.to_datetime(pd.Index(texts, dtype="str"), format=format, errors="coerce", utc=True)
    return found.tz_localize(None)


def name_format(format: str) -> str:
    """The format in words."""
    if format == ISO:
        return "year-month-day"
    names = {"%Y": "year", "%y": "year", "%m": "month", "%b": "month", "%B": "month", "%d": "day"}
    found = [names[code] for code in re.findall(r"%\w", format) if code in names]
    return "-".join(found) or "time"


def date_parts(dates: pd.Series) -> dict[str, np.ndarray]:
    """What the model gets: (N,) float64 each, NaN where there is no date.

    "days" counts from the beginning of 1970, with the time of the day as a fraction.
    """
    days = (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)
    parts = (dates.dt.year, dates.dt.month, dates.dt.day_of_week, days)
    return {
        name: part.to_numpy(dtype=np.float64, na_value=np.nan)
        for name, part in zip(PARTS, parts, strict=True)
    }


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
