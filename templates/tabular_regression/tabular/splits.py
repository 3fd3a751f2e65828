"""Splitting the rows of a table into train, val and test."""

from ..engine.errors import UserError
from ..engine.splits import SplitSettings, split_classes, split_indices
from .tables import Table

MIN_ROWS = 10


def split_tables(
    tables: dict[str, Table], target: str, settings: SplitSettings, *, classify: bool
) -> dict[str, Table]:
    """Split off "train" what the files do not have; every class in the same proportion.

    Raises:
        UserError: there are too few rows, or too few of a class.
    """
    train, missing = tables["train"], [name for name in ("val", "test") if name not in tables]
    if len(train.frame) < MIN_ROWS:
        raise UserError(
            f"{train.name} has {len(train.frame)} rows; at least {MIN_ROWS} are needed to train, "
            "and hundreds to learn something."
        )
    if classify:
        classes = train.classes(target)
        labels = [classes.index(label) for label in train.labels(target)]
        indices = split_classes(labels, classes, settings, missing, "rows")
    else:
        indices = split_indices(len(train.frame), settings, missing=missing)
    return tables | {name: train.take(rows) for name, rows in indices.items()}
