"""Columns of numbers in a file: which decimal mark it uses, and which cells are gaps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..engine.errors import UserError
from .class_names import NO, YES, key
from .delimited import CODE
from .number_texts import THOUSANDS, NumberTexts
from .table_files import Table

LARGEST = float(np.finfo(np.float32).max)
MARK_NAMES = {".": "point", ",": "comma"}
PAIR = re.compile(r"\d{1,2}(,[1-9]?\d)?")


@dataclass(frozen=True)
class NumberColumn:
    """The numbers in a column, and how they were read."""

    values: np.ndarray
    """(N,) float64; NaN where the cell is a gap, or no number."""
    is_wrong: np.ndarray
    """(N,) bool: cells that are neither a number nor a gap."""
    mark: str = ""
    """The decimal mark, if there is any in the column."""
    how: str = ""
    """What is special about it: decimal comma, unit €."""
    examples: str = ""
    """Some of the wrong cells."""


class TextColumn:
    """A column of texts, in which each different text is looked at once."""

    def __init__(self, cells: pd.Series) -> None:
        self.codes, texts = pd.factorize(cells)
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(texts))
        self.numbers = NumberTexts([str(text) for text in texts], counts)
        is_code = any(map(CODE.fullmatch, self.numbers.texts))
        self.marks = [] if is_code else self.numbers.marks
        self.is_ambiguous = self.numbers.is_ambiguous

    @property
    def looks_numeric(self) -> bool:
        """Whether most texts are numbers of some kind."""
        num_parts = sum(part is not None for part in self.numbers.parts)
        return num_parts >= 0.5 * max(1, len(self.numbers.texts))

    @property
    def is_pairs(self) -> bool:
        """Whether 1,2 may also be two numbers: no digits, units or signs say otherwise."""
        plain = not self.numbers.unit and not self.numbers.currency
        return plain and all(map(PAIR.fullmatch, map(str.strip, self.numbers.texts)))

    def read(self, mark: str) -> NumberColumn:
        """The numbers, with this decimal mark."""
        values = self.numbers.values(mark)
        values[np.abs(values) > LARGEST] = np.nan
        is_wrong = np.isnan(values) & ~self.numbers.is_gap
        mark = mark if self.is_ambiguous or len(self.marks) == 1 else ""
        return NumberColumn(
            np.append(values, np.nan)[self.codes],
            np.append(is_wrong, False)[self.codes],
            mark,
            self._describe(mark),
            self.numbers.examples(is_wrong),
        )

    def _describe(self, mark: str) -> str:
        numbers = self.numbers
        thousands = THOUSANDS[mark] if mark else ""
        is_grouped = any(thousands in part["digits"] for part in numbers.parts if part)
        factors = [f"{unit} = {n:,.0f}" for unit, n in numbers.factors.items() if n > 1]
        units = [numbers.currency, "" if factors else numbers.unit]
        parts = ["decimal comma"] if mark == "," else []
        parts += [f"thousands with {MARK_NAMES[thousands]}"] if mark and is_grouped else []
        parts += [f"unit {unit}" for unit in units if unit]
        gaps = f"gaps written {numbers.examples(numbers.is_gap)}" if numbers.is_gap.any() else ""
        return ", ".join([*parts, *factors, *filter(None, [gaps])])


def read_numbers(
    table: Table, columns: Iterable[str], decimal: str, before: Mapping[str, str]
) -> dict[str, NumberColumn]:
    """Those of the columns that hold numbers.

    A UserError if nothing says what a mark is.

    Args:
        table: the file.
        columns: of it.
        decimal: "." or ",", for columns in which a mark may be of decimals or of thousands;
            "auto": as in the other columns of the file.
        before: the decimal marks of the same columns in the training file.
    """
    found, texts = dict[str, NumberColumn](), dict[str, TextColumn]()
    for name in columns:
        if pd.api.types.is_numeric_dtype(table.frame[name]):
            found[name] = _plain_numbers(table.frame[name], table.decimal)
        elif pd.api.types.is_string_dtype(table.frame[name]):
            texts[name] = TextColumn(table.frame[name])
    marks = {column.mark for column in found.values() if column.mark}
    chosen = _choose_marks(texts, decimal, before, marks)
    doubtful = [name for name, mark in chosen.items() if mark == "?"]
    if doubtful:
        listed = "; ".join(f"{name}: {_show_doubt(texts[name])}" for name in doubtful)
        raise UserError(
            f"{table.name}: nothing tells whether the marks in {len(doubtful)} column(s) are of "
            f"decimals or of thousands ({listed}). Type --decimal . or --decimal , for the mark of "
            "decimals."
        )
    return found | {name: texts[name].read(mark) for name, mark in chosen.items() if mark}


def _choose_marks(
    texts: Mapping[str, TextColumn], decimal: str, before: Mapping[str, str], plain: set[str]
) -> dict[str, str]:
    """The decimal mark of each column; "" if it has no numbers, "?" if it is not clear."""
    sure = {name: column.marks[0] for name, column in texts.items() if len(column.marks) == 1}
    marks = {mark for name, mark in sure.items() if mark == "." or not texts[name].is_pairs}
    marks |= plain
    chosen = dict[str, str]()
    for name, column in texts.items():
        if name in sure:
            is_other = marks == {"."} and sure[name] == "," and column.is_pairs
            chosen[name] = "" if is_other and decimal != "," else sure[name]
        elif not column.marks or not column.is_ambiguous:
            chosen[name] = column.marks[0] if column.marks else ""
        elif decimal != "auto":
            chosen[name] = decimal
        else:
            chosen[name] = min(marks) if len(marks) == 1 else before.get(name) or "?"
    return chosen


def _show_doubt(column: TextColumn) -> str:
    has_mark = np.array([bool(re.search("[.,]", text)) for text in column.numbers.texts])
    parts = [column.numbers.examples(is_meant, 1) for is_meant in (has_mark, ~has_mark)]
    return " beside ".join(filter(None, parts))


def _plain_numbers(cells: pd.Series, decimal: str) -> NumberColumn:
    values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    is_wrong = np.abs(values) > LARGEST
    mark = decimal if (values != np.floor(values)).sum() > np.isnan(values).sum() else ""
    how = "decimal comma" if mark == "," else ""
    if not is_wrong.any():
        return NumberColumn(values, is_wrong, mark, how)
    examples = ", ".join(f"{value:g}" for value in np.unique(values[is_wrong])[:3])
    return NumberColumn(np.where(is_wrong, np.nan, values), is_wrong, mark, how, examples)


def read_like(
    table: Table, columns: Sequence[str], decimal: str, marks: Mapping[str, str]
) -> dict[str, NumberColumn]:
    """Columns that are numbers in the training file. What is none here is a wrong cell."""
    found = read_numbers(table, columns, decimal, marks)
    return {name: found.get(name) or _read_words(table.frame[name]) for name in columns}


def _read_words(cells: pd.Series) -> NumberColumn:
    """True and False, or yes and no, as 1 and 0; if there is another word, all are wrong cells."""
    words = cells.astype(object).map(lambda cell: key(str(cell)), na_action="ignore")
    if words.dropna().isin(YES | NO).all():
        numbers = dict.fromkeys(YES, 1.0) | dict.fromkeys(NO, 0.0)
        values = words.map(numbers).to_numpy(dtype=np.float64, na_value=np.nan)
        return NumberColumn(values, np.zeros(len(cells), dtype=bool), how="yes and no as 1 and 0")
    examples = ", ".join(map(repr, cells.dropna().astype(str).unique()[:3]))
    nothing = np.full(len(cells), np.nan)
    return NumberColumn(nothing, cells.notna().to_numpy(), examples=examples)
