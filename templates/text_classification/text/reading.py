"""Reading texts and their classes from the user's files: tables, or folders of .txt files."""

from pathlib import Path

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.folders import read_class_folders
from ..engine.splits import SplitSettings
from .texts import Texts, split_texts


def read_texts(
    path: Path, columns: tuple[str, str, str | None], settings: SplitSettings, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """The splits of the user's texts, and the names of the classes.

    Args:
        path: a table, a folder of tables, or a folder with a folder of .txt files per class.
        columns: of the texts, of their classes, and of their groups (or None), in tables.
        settings: what decides which text belongs to which split.
        report: gets what was left out.

    Raises:
        UserError: a file cannot be read, or there are too few texts.
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
