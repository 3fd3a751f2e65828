"""Tables with typed columns: numbers, dates as numbers, and categories."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.files import shorten
from .class_names import GAP_WORDS, clean, join_spellings
from .dates import PARTS, date_parts, find_dates, name_format, to_dates
from .number_columns import MARK_NAMES, NumberColumn, TextColumn, read_like, read_numbers
from .number_texts import CELL
from .table_files import Table, read_input
from .table_splits import find_column

TEXT = "text"
Formats = dict[str, str]
"""How each column is read: TEXT; the format of dates ("%Y-%m-%d"); of numbers the decimal mark, or
nothing where it does not matter."""


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the columns of a table."""

    target: str
    classify: bool
    categorical: Collection[str] = ()
    dropped: Collection[str] = ()
    group: str | None = None
    """Column of the groups, which is no feature."""
    decimal: str = "auto"
    date_order: str = "auto"

    def check(self, table: Table) -> None:
        """Refuse columns that the table does not have."""
        names = list(table.frame)
        if self.target not in names and self.target in table.frame.iloc[0].tolist():
            row = table.frame.index[0]
            raise UserError(
                f"The names of the columns of {table.name} seem to stand in {table.unit} {row}. "
                "Remove what is above them."
            )
        flags = {"--target": [self.target], "--drop-columns": self.dropped}
        flags |= {"--categorical-columns": self.categorical}
        flags |= {"--group-column": [self.group]} if self.group else {}
        for flag, columns in flags.items():
            for column in columns:
                find_column(names, column, flag, table.name)


def part_names(column: str) -> list[str]:
    """The columns of numbers that stand in the place of a column of dates."""
    return [f"{column}: {part}" for part in PARTS]


def read_training_table(
    table: Table, options: ReadOptions, report: DataReport
) -> tuple[Table, Formats]:
    """The rows that have a target, with typed columns; and how each column was read.

    A UserError if a decimal mark or the order in dates is not clear, or the target is no number.
    """
    options.check(table)
    aside = {*options.dropped, options.group}
    columns = [name for name in table.frame if name not in aside or name == options.target]
    texts = {*options.categorical, *([options.target] if options.classify else [])}
    free = [name for name in columns if name not in texts]
    table = drop_units(table, free, report)
    numbers = read_numbers(table, free, options.decimal, {})
    candidates = [name for name in free if name != options.target]
    dates = find_dates(table, candidates, numbers, options.date_order)
    formats = dict.fromkeys(columns, TEXT)
    formats |= {name: column.mark for name, column in numbers.items()} | dates
    if not options.classify and formats[options.target] == TEXT:
        raise UserError(
            f"The column {options.target!r} of {table.name} holds texts, and a target must be "
            "numbers. Type --objective classification if they are classes, or --target with "
            "another column, or write the values as numbers."
        )
    numbers = {name: column for name, column in numbers.items() if name not in dates}
    typed = _to_types(table, formats, numbers, options.target, report)
    report.columns |= dict.fromkeys(options.dropped, "left out: --drop-columns")
    report.columns |= {options.group: "left out: --group-column"} if options.group else {}
    for name in columns:
        how = numbers[name].how if name in numbers else ""
        line = _describe(typed.frame, name, formats[name], how)
        if name == options.target:
            line = "target, " + line.replace(" categories;", " classes;")
        report.columns[name] = line
        cells = table.frame[name]
        if formats[name] == TEXT and name in candidates and TextColumn(cells).looks_numeric:
            shown = ", ".join(map(repr, cells.dropna().astype(str).unique()[:4]))
            report.note(
                f"{name} looks like numbers, but is read as names ({shown}). If it has numbers, "
                "write them in one way, or type --decimal with their decimal mark."
            )
    return typed, formats


def read_other_table(
    table: Table, formats: Formats, options: ReadOptions, report: DataReport
) -> Table:
    """A table of another file, with typed columns as in the training file."""
    missing = [name for name in formats if name not in table.frame]
    if missing:
        raise UserError(
            f"{table.name} has not the columns of the training file; missing: "
            f"{some(missing, len(formats), 'column')}. Add them, or leave them out everywhere with "
            "--drop-columns."
        )
    names = [name for name, how in formats.items() if how in ("", ".", ",")]
    table = drop_units(table, names, report)
    marks = {name: formats[name] for name in names}
    numbers = read_like(table, names, options.decimal, marks)
    others = [name for name, how in numbers.items() if {how.mark, marks[name]} == {".", ","}]
    mark = MARK_NAMES[numbers[others[0]].mark] if others else ""
    what = f"{table.name}: a decimal {mark}, unlike the training file"
    report.note_some(what, others, len(numbers), "column")
    return _to_types(table, formats, numbers, options.target, report)


def read_inputs(given: Path | pd.DataFrame, formats: Formats, options: ReadOptions) -> Table:
    """A table to predict for, with typed columns as in the training file; it needs no target."""
    inputs = {name: how for name, how in formats.items() if name != options.target}
    table = read_input(given, options.categorical)
    return read_other_table(table, inputs, options, DataReport())


def drop_units(table: Table, columns: Iterable[str], report: DataReport) -> Table:
    """The table without a first row of units: words where all other cells are numbers."""
    head = table.frame.iloc[:200]
    words = dict[str, str]()
    for name in columns:
        cells = head[name]
        first = cells.iloc[0]
        if pd.isna(first) or len(cells) < 3:
            continue
        if not isinstance(first, str):
            return table
        rest = TextColumn(cells.iloc[1:])
        if rest.marks and first.strip().lower() not in GAP_WORDS:
            if any(letter.isdigit() for letter in first) or CELL.fullmatch(first.strip()):
                return table
            words[name] = first
    if not words:
        return table
    report.note(
        f"{table.name}: {table.unit} {table.frame.index[0]} is left out, because it has words "
        f"(units?) where numbers are below: {', '.join(words.values())}."
    )
    return replace(table, frame=table.frame.iloc[1:])


def _to_types(
    table: Table,
    formats: Formats,
    numbers: Mapping[str, NumberColumn],
    target: str,
    report: DataReport,
) -> Table:
    """The rows with a target; numbers are float64, dates are numbers in several columns."""
    frame, columns = table.frame, dict[str, object]()
    for name, how in formats.items():
        if name in numbers:
            columns[name] = numbers[name].values
            _judge_wrong_cells(table, name, numbers[name], name == target, report)
        elif how == TEXT:
            columns[name] = join_spellings(clean(frame[name]), name, report)
        else:
            dates = to_dates(table, name, how, report)
            columns |= dict(zip(part_names(name), date_parts(dates).values(), strict=True))
    typed = pd.DataFrame(columns, index=frame.index)
    if target not in typed:
        return Table(table.name, typed, table.unit)
    known = typed[target].notna()
    if not known.any():
        raise UserError(f"{table.name}: the target {target!r} is empty in all rows.")
    if not known.all():
        report.note(
            f"{table.name}: the target {target!r} is empty in {table.some(~known)}. Rows without a "
            "target are left out."
        )
    return Table(table.name, typed[known], table.unit)


def _judge_wrong_cells(
    table: Table, name: str, column: NumberColumn, is_target: bool, report: DataReport
) -> None:
    """Cells that are no numbers: gaps in a feature, with a note; an error in the target."""
    if not column.is_wrong.any():
        return
    rows = table.some(column.is_wrong)
    if is_target:
        raise UserError(
            f"{table.name}: the target {name!r} is no number ({column.examples}) in {rows}. "
            "Correct it, or empty the cells: rows without a target are left out."
        )
    report.note(
        f"{table.name}: {name!r} is no number ({column.examples}) in {rows}. These cells are read "
        "as gaps."
    )


def _describe(frame: pd.DataFrame, name: str, form: str, how: str) -> str:
    """How a column was read, with examples and gaps."""
    if name not in frame:
        days = frame[part_names(name)[-1]]
        shown = [f"{date:%Y-%m-%d}" for date in pd.to_datetime(days.dropna()[:3], unit="D")]
        parts = ", ".join(PARTS)
        return f"dates ({name_format(form)}{_examples(shown, days)}), as numbers: {parts}"
    cells = frame[name]
    known = cells.dropna()
    if form == TEXT:
        shown = [shorten(str(cell), 30) for cell in known.unique()[:3]]
        return f"{known.nunique():,} categories{_examples(shown, cells)}"
    shown = [f"{value:.10g}" for value in known.iloc[:3]]
    return f"number{f', {how}' if how else ''}{_examples(shown, cells)}"


def _examples(shown: list[str], cells: pd.Series) -> str:
    gaps = int(cells.isna().sum())
    return f"; e.g. {', '.join(shown)}" + (f"; {gaps:,} gaps" if gaps else "")
