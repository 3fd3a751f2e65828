"""Texts and their classes in tables."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.files import shorten
from ..engine.splits import order_classes
from .class_names import clean, find_names, join_spellings
from .table_files import Table
from .table_splits import find_column, groups_of, note_groups
from .texts import Texts


def to_texts(
    tables: Mapping[str, Table], text: str, label: str, group: str | None, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """The texts of each split; the labels in the training table are the classes.

    Args:
        tables: the table of each split.
        text: the column of the texts.
        label: the column of their classes.
        group: the column of their groups, if there is one.
        report: gets what was left out.
    """
    _check_columns(tables, text, label, group)
    _report_columns(tables["train"].frame, text, label, report)
    if group is not None:
        note_groups(tables, group, report)
        report.columns[group] = "left out: --group-column"
    known = {split: _known(table, text, label, report) for split, table in tables.items()}
    train = known["train"]
    names = join_spellings(train.frame[label], label, report)
    classes = order_classes(map(str, names.unique()))
    if len(classes) < 2:
        raise UserError(
            f"All texts of {train.name} have the label {', '.join(classes)!r}. At least two "
            "classes are needed."
        )
    splits = {split: _number(table, text, label, classes) for split, table in known.items()}
    if group is not None:
        splits["train"] = replace(splits["train"], groups=groups_of(train.frame[group]))
    return splits, classes


def _check_columns(tables: Mapping[str, Table], text: str, label: str, group: str | None) -> None:
    for split, table in tables.items():
        flags = {"--text-column": text, "--label-column": label}
        flags |= {"--group-column": group} if group is not None and split == "train" else {}
        for flag, column in flags.items():
            find_column(list(table.frame), column, flag, table.name)


def _report_columns(frame: pd.DataFrame, text: str, label: str, report: DataReport) -> None:
    report.columns |= {str(name): "left out: neither text nor label" for name in frame}
    for column, role in ((text, "the texts"), (label, "the classes")):
        shown = [shorten(str(cell), 30) for cell in frame[column].dropna().unique()[:2]]
        report.columns[column] = f"{role}; e.g. {', '.join(shown)}"


def _known(table: Table, text: str, label: str, report: DataReport) -> Table:
    """The rows with a text and a label, without spaces around them; says how many have not."""
    cells = {
        text: table.frame[text].str.strip().replace("", None),
        label: clean(table.frame[label]),
    }
    frame = table.frame.assign(**cells)
    for column, role in ((text, "text"), (label, "label")):
        missing = frame[column].isna()
        if missing.any():
            found = table.some(missing)
            report.note(
                f"{table.name}: the {role} {column!r} is empty in {found}. These rows are left out."
            )
    frame = frame[frame[text].notna() & frame[label].notna()]
    if frame.empty:
        raise UserError(f"{table.name} has no row with both {text!r} and {label!r}. Add some.")
    return Table(table.name, frame, table.unit)


def _number(table: Table, text: str, label: str, classes: list[str]) -> Texts:
    labels = table.frame[label]
    numbers = find_names(labels, classes)
    unknown = numbers < 0
    if unknown.any():
        names = [repr(name) for name in labels[unknown].unique()]
        raise UserError(
            f"{table.name}: no training text has the label in {table.some(unknown)}; unknown are "
            f"{some(names, labels.nunique(), 'label')}. Add training texts, or correct the labels."
        )
    places = [f"{table.unit} {number} of {table.name}" for number in table.frame.index]
    return Texts(table.frame[text].tolist(), numbers.tolist(), places)
