"""Splitting images that have a mask or boxes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from ..engine.splits import SplitSettings, group_splits, split_indices

Item = TypeVar("Item")


def split_missing(
    splits: dict[str, list[Item]],
    settings: SplitSettings,
    group_by: str | None,
    path_of: Callable[[Item], Path],
    report: DataReport,
) -> dict[str, list[Item]]:
    """Split off "train" what is missing of "val" and "test".

    Args:
        splits: the items of each split, at least of "train".
        settings: how to split.
        group_by: which images stay together; see ``group_files``.
        path_of: the image file of an item, for ``group_by``.
        report: gets the groups that are in two splits.

    Raises:
        UserError: there are too few images.
    """
    train, missing = splits["train"], tuple(name for name in ("val", "test") if name not in splits)
    if len(train) <= len(missing):
        raise UserError(
            f"There are too few training images ({len(train)}) to split off "
            f"{' and '.join(missing)}. Add some."
        )
    for name, items in splits.items():
        if not items:
            raise UserError(f"There are no images in the split {name}. Add some, or remove it.")
    paths = {name: [path_of(item) for item in items] for name, items in splits.items()}
    groups = group_splits(paths, group_by, report)
    indices = split_indices(len(train), settings, missing=missing, groups=groups)
    splits = splits | {name: [train[i] for i in chosen] for name, chosen in indices.items()}
    return {name: splits[name] for name in ("train", "val", "test")}
