"""Reading texts and their classes from the user's files: tables, or folders of .txt files."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.splits import SplitSettings
from .folders import read_class_folders
from .texts import Texts, split_texts


def read_texts(
    path: Path, columns: tuple[str, str, str | None], settings: SplitSettings, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """The splits of the user's texts, and the names of the classes.

    A UserError if a file cannot be read, or there are too few texts.

    Args:
        path: a table, a folder of tables, or a folder with a folder of .txt files per class.
        columns: of the texts, of their classes, and of their groups (or None), in tables.
        settings: what decides which text belongs to which split.
        report: gets what was left out.
    """
    from .table_splits import find_table_files, read_splits  # pandas takes half a second
    from .tables import to_texts

    if find_table_files(path, report):
        tables = read_splits(path, columns[:2], columns[1], report)
        splits, classes = to_texts(tables, *columns, report)
        return split_texts(splits, classes, settings), classes
    if columns[2] is not None:
        raise UserError(f"--group-column is for tables, and {path} has none. Leave it out.")
    return read_text_folders(path, settings, report)


def read_text_folders(
    root: Path, settings: SplitSettings, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """.txt files in folders that are named after their classes."""
    from .encodings import decode, note_encoding, read_bytes

    splits, classes = read_class_folders(root, settings, {".txt"}, "texts", report)
    found, guessed, empty = dict[str, Texts](), dict[str, str](), list[str]()
    for split, files in splits.items():
        texts = list[str]()
        for path in files.paths:
            text, encoding = decode(read_bytes(path), path)
            texts.append(text.removeprefix("\ufeff").strip())
            if encoding:
                guessed[path.name] = text
        places = list(map(str, files.paths))
        known = [number for number, text in enumerate(texts) if text]
        empty += [place for place, text in zip(places, texts, strict=True) if not text]
        found[split] = Texts(texts, files.labels, places).take(known)
    total = sum(len(files.paths) for files in splits.values())
    if empty:
        report.note(f"{some(empty, total, 'text')}, left out because they are empty.")
    if guessed:
        note_encoding(report, list(guessed), total, "Windows-1252", " ".join(guessed.values()))
    return found, classes


def group_inputs(inputs: Sequence[Any], size: int = 1000) -> list[list[Any]]:
    """What to read at once, in the given order: some texts and .txt files, or one table."""
    groups = []
    for are_texts, found in groupby(inputs, _is_text):
        items, step = list(found), size if are_texts else 1
        groups += [items[start : start + step] for start in range(0, len(items), step)]
    return groups


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, Path) and given.suffix.lower() == ".txt")


def read_inputs(inputs: Sequence[Any], column: str, failures: list[str]) -> Texts:
    """The texts to predict for, or those in a column of one table; their labels are 0.

    Why a .txt file could not be read is added to ``failures``.
    """
    if _is_text(inputs[0]):
        return _read_text_files(inputs, failures)
    from .table_files import read_input
    from .table_splits import find_column

    table = read_input(inputs[0], [column], lines=column)
    find_column(list(table.frame), column, "--text-column in training", table.name)
    cells = table.frame[column].fillna("").astype(str).str.strip()
    places = [table.place(number) for number in range(len(cells))]
    return Texts(cells.tolist(), [0] * len(cells), places)


def _read_text_files(inputs: Sequence[Path | str], failures: list[str]) -> Texts:
    """Texts, and those in .txt files."""
    from .encodings import decode, read_bytes

    texts, places = list[str](), list[str]()
    for given in inputs:
        try:
            text = given if isinstance(given, str) else decode(read_bytes(given), given)[0]
        except UserError as error:
            failures.append(str(error))
            continue
        texts.append(text.removeprefix("\ufeff").strip())
        places.append(str(given))
    return Texts(texts, [0] * len(texts), places)
