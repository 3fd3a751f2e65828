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
    """Classes or the distribution of the target, unknown categories, and rows in two splits."""
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
    frames = {split: table.frame[_common_columns(tables)] for split, table in tables.items()}
    note_equal_samples(frames, "row", report)


def note_contradictions(tables: Mapping[str, Table], target: str, report: DataReport) -> None:
    """Say which rows have equal inputs, but another target."""
    inputs = [column for column in _common_columns(tables) if column != target]
    hashes = {split: hash_rows(table.frame[inputs]) for split, table in tables.items()}
    targets = {split: table.frame[target] for split, table in tables.items()}
    note_other_targets(hashes, targets, "row", report)


def _common_columns(tables: Mapping[str, Table]) -> list[str]:
    return sorted(set.intersection(*(set(table.frame) for table in tables.values())))
