"""What the report says of the splits of a table: distributions, unknown categories, duplicates."""

from collections.abc import Mapping, Sequence

from ..engine.data_report import DataReport
from .class_names import find_names
from .columns import to_codes
from .table_files import Table
from .table_splits import hash_rows, note_equal_samples, note_other_targets


def describe_tables(
    tables: Mapping[str, Table],
    target: str,
    categorical: Mapping[str, list[str]],
    classes: Sequence[str],
    report: DataReport,
) -> None:
    """Classes or the distribution of the target, and categories that training rows do not have."""
    for split in ("train", "val", "test"):
        frame = tables[split].frame
        if classes:
            labels = find_names(frame[target], classes).tolist()
            report.count_classes(split, labels, classes)
        else:
            report.values.setdefault(target, {})[split] = tables[split].numbers(target)
        for column, codes in zip(categorical, to_codes(tables[split], categorical), strict=True):
            is_unknown = (codes == 0) & frame[column].notna().to_numpy()
            if is_unknown.any() and split != "train":
                names = ", ".join(frame[column][is_unknown].unique()[:3])
                report.columns[column] += (
                    f"; {is_unknown.sum():,} of {len(frame):,} rows of {split} have a category "
                    f"that is in at most one training row: {names}"
                )


def note_duplicates(tables: Mapping[str, Table], target: str, report: DataReport) -> None:
    """Say which rows are in two splits, and which have equal inputs but another target."""
    columns = sorted(set.intersection(*(set(table.frame) for table in tables.values())))
    note_equal_samples({s: table.frame[columns] for s, table in tables.items()}, "row", report)
    inputs = [column for column in columns if column != target]
    hashes = {split: hash_rows(table.frame[inputs]) for split, table in tables.items()}
    targets = {split: table.frame[target] for split, table in tables.items()}
    note_other_targets(hashes, targets, "row", report)
