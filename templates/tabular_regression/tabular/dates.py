"""Dates in a table, and the numbers that a model gets in their place."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

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
DAY_FIRST, MONTH_FIRST = "%d", "%m"
PARTS = ("year", "month", "day of week", "days")


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
