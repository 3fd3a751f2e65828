"""Which table files are the splits, and what is left aside."""

import difflib
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path

import pandas as pd

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.splits import find_splits, note_common_groups
from .table_files import SUFFIXES, Table, read_table, suffix_of


def find_table_files(path: Path, report: DataReport) -> dict[str, Path]:
    """The file of each split; nothing if ``path`` is a folder without tables.

    Raises:
        UserError: there is no such file or folder, or none of several tables is named train.
    """
    if not path.exists():
        raise UserError(f"There is no {path}. Type --data with a file or folder that is there.")
    if not path.is_dir():
        return {"train": path}
    tables = [file for file in sorted(path.iterdir()) if _is_table(file)]
    found = find_splits(tables)
    found.pop("unlabeled", None)
    others = [file for file in tables if file not in found.values()]
    named = [file for file in others if suffix_of(file) != ".txt"]
    if "train" not in found and not found and len(named) == 1:
        found, others = {"train": named[0]}, [file for file in others if file != named[0]]
    if "train" not in found and (found or named):
        names = ", ".join(file.name for file in tables[:5])
        raise UserError(
            f"{path} has no train.csv (or .tsv, .parquet, ...), but {names}. Rename the file with "
            "the training rows, or type --data with one file."
        )
    if found and others:
        aside = [file.name for file in others]
        report.note(f"{path}: left aside: {some(aside, len(tables), 'table')}.")
    return found


def _is_table(file: Path) -> bool:
    return file.is_file() and file.name[0] not in ".~" and suffix_of(file) in SUFFIXES


def find_column(names: Collection[str], column: str, flag: str, place: str) -> str:
    """``column``; a UserError lists the names of the table if it is not one of them."""
    if column in names:
        return column
    listed = ", ".join([*names][:30]) + (", ..." if len(names) > 30 else "")
    if not column:
        raise UserError(f"Which column of {place} is meant? Type {flag} with one of: {listed}.")
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(column.lower(), lower, n=1)
    hint = f"Did you mean {lower[close[0]]!r}? " if close else ""
    raise UserError(
        f"{place} has no column {column!r}. {hint}Type {flag} with one of its columns: {listed}."
    )


def read_splits(
    path: Path, text_columns: Collection[str], target: str | None, report: DataReport
) -> dict[str, Table]:
    """The table of each split that a file or folder has, at least "train", with cells as written.

    A test set without ``target`` is left aside.
    """
    files = find_table_files(path, report)
    if not files:
        raise UserError(f"{path} has no table in it ({', '.join(SUFFIXES)}). Add train.csv.")
    tables = {split: read_table(file, report, text_columns) for split, file in files.items()}
    return leave_unlabeled_aside(tables, target, report)


def leave_unlabeled_aside(
    tables: Mapping[str, Table], target: str | None, report: DataReport
) -> dict[str, Table]:
    """The tables without a test set that has no target; a note says what it is."""
    test = tables.get("test")
    if test is None or target is None or target not in tables["train"].frame:
        return dict(tables)
    if target in test.frame and test.frame[target].notna().any():
        return dict(tables)
    problem = "no column" if target not in test.frame else "nothing in the column"
    report.note(
        f"{test.name} has {problem} {target!r}: it looks like data to predict, as in Kaggle's "
        "competitions. It is left aside (the command predict reads it), and the test set is split "
        f"off {tables['train'].name}."
    )
    return {split: table for split, table in tables.items() if split != "test"}


def groups_of(cells: pd.Series) -> list[Hashable]:
    """The group of each row; a row without one is a group of its own."""
    return [("row", number) if pd.isna(cell) else _plain(cell) for number, cell in enumerate(cells)]


def note_groups(tables: Mapping[str, Table], column: str, report: DataReport) -> None:
    """Say which groups are in two splits that the user has made."""
    groups = {
        split: {_plain(cell) for cell in table.frame[column].dropna().unique()}
        for split, table in tables.items()
        if column in table.frame
    }
    note_common_groups(groups, repr(column), report)


def _plain(cell: Hashable) -> Hashable:
    return cell.strip() if isinstance(cell, str) else cell


def hash_rows(frame: pd.DataFrame) -> pd.Series:
    """A number for each row, the same only for equal rows."""
    return pd.util.hash_pandas_object(frame, index=False).set_axis(frame.index)


def note_equal_samples(splits: Mapping[str, pd.DataFrame], noun: str, report: DataReport) -> None:
    """Say which samples are in two splits; the index names them."""
    hashes = {split: hash_rows(frame) for split, frame in splits.items()}
    names = [split for split in ("train", "val", "test") if split in hashes]
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            common = hashes[second].isin(hashes[first])
            if common.any():
                found = some(common.index[common].tolist(), len(common), noun)
                report.note(f"{second}: {found}, are also in {first}.")


def note_other_targets(
    inputs: Mapping[str, pd.Series],
    targets: Mapping[str, pd.Series],
    noun: str,
    report: DataReport,
) -> None:
    """Say which samples have the inputs of another one, but another target.

    Args:
        inputs: a hash of each sample, for each split; the index names the samples.
        targets: what the model has to answer.
        noun: what a sample is called: row, text.
        report: gets the note.
    """
    together = pd.DataFrame({"hash": pd.concat(inputs), "target": pd.concat(targets)})
    differ = together.groupby("hash")["target"].transform("nunique") > 1
    if differ.any():
        samples = [name for _, name in together.index[differ]]
        found = some(samples, len(together), noun)
        report.note(f"{found}, have the inputs of another {noun}, but not its target.")
