"""Splitting the rows of a table into train, val and test; the classes of a table."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.splits import SplitSettings, order_classes, split_classes, split_indices
from .class_names import find_names
from .table_files import Table
from .table_splits import groups_of, note_groups
from .tables import ReadOptions

MIN_ROWS = 10


def split_table(
    table: Table,
    files: Mapping[str, Table],
    options: ReadOptions,
    settings: SplitSettings,
    report: DataReport,
) -> dict[str, Table]:
    """Split off the training table what there is no file for; every class in the same proportion.

    Raises:
        UserError: there are too few rows, or too few of a class.
    """
    missing = [name for name in ("val", "test") if name not in files]
    if len(table.frame) < MIN_ROWS:
        raise UserError(
            f"{table.name} has {len(table.frame)} rows; at least {MIN_ROWS} are needed to train, "
            "and hundreds to learn something."
        )
    groups: Sequence[Hashable] | None = None
    if options.group is not None:
        note_groups(files, options.group, report)
        groups = groups_of(files["train"].frame.loc[table.frame.index, options.group])
    if options.classify:
        classes = find_classes(table, options.target)
        labels = class_numbers(table, options.target, classes).tolist()
        indices = split_classes(labels, classes, settings, missing, "rows", groups)
    else:
        indices = split_indices(len(table.frame), settings, missing=missing, groups=groups)
    return {name: table.take(rows) for name, rows in indices.items()}


def find_classes(table: Table, target: str) -> list[str]:
    """Each class once, in order; a UserError if most rows have a class of their own."""
    labels = table.frame[target]
    classes = order_classes(map(str, labels.unique()))
    if len(classes) > len(labels) / 2:
        raise UserError(
            f"{table.name} has {len(classes)} different values in the column {target!r} and "
            f"{len(labels)} rows, so they cannot be classes. Type --target with another column, or "
            "--objective regression to predict a number."
        )
    return classes


def count_classes(train: Table, target: str) -> dict[str, int]:
    """The classes of the training rows in order, and how many rows each has."""
    classes = find_classes(train, target)
    counts = np.bincount(class_numbers(train, target, classes), minlength=len(classes))
    return dict(zip(classes, counts.tolist(), strict=True))


def class_numbers(table: Table, target: str, classes: Sequence[str]) -> np.ndarray:
    """The number of each row's class, (N,) int64; a UserError if there are other classes."""
    labels = table.frame[target]
    numbers = find_names(labels, classes)
    unknown = numbers < 0
    if unknown.any():
        names = [repr(name) for name in labels[unknown].unique()]
        raise UserError(
            f"{table.name}: no training row has the class in {table.some(unknown)}; unknown are "
            f"{some(names, labels.nunique(), 'class', 'classes')} of {target!r}. Add training "
            "rows, or remove these."
        )
    return numbers
