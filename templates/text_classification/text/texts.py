"""Reading texts and their classes from the user's files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.data_report import DataReport
from ..engine.errors import UserError, join_errors
from ..engine.files import read_text
from ..engine.folders import read_class_folders
from ..engine.splits import SplitSettings, find_splits, order_classes, split_classes

SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Texts:
    """Texts, the number of each one's class, and where each is from."""

    texts: list[str]
    labels: list[int]
    places: list[str]

    def take(self, indices: Sequence[int]) -> "Texts":
        """Some of them."""
        return Texts(
            [self.texts[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.places[i] for i in indices],
        )


def read_texts(
    path: Path, text_column: str, label_column: str, settings: SplitSettings, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """The splits of the user's texts, and the names of the classes.

    Raises:
        UserError: a file cannot be read, a text or its class is missing, or there are too few.
    """
    files = find_tables(path)
    if not files:
        return read_text_folders(path, settings, report)
    splits, classes = read_tables(files, (text_column, label_column))
    return split_texts(splits, classes, settings), classes


def split_texts(
    splits: dict[str, Texts], classes: list[str], settings: SplitSettings
) -> dict[str, Texts]:
    """Split off "train" what is missing, every class in the same proportion."""
    train, missing = splits["train"], [name for name in ("val", "test") if name not in splits]
    indices = split_classes(train.labels, classes, settings, missing, "texts")
    return splits | {name: train.take(chosen) for name, chosen in indices.items()}


def find_tables(path: Path) -> dict[str, Path]:
    """The file of each split; nothing if ``path`` is a folder without CSV and JSON lines files."""
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            kinds = "a .csv or .jsonl file, or a folder"
            raise UserError(f"{path} is not {kinds}. Type --data with one of these.")
        return {"train": path}
    files = find_splits(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    others = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if others and "train" not in files:
        raise UserError(f"{path} has {others[0]}, but no train.csv or train.jsonl. Add it.")
    return files


def read_tables(
    files: dict[str, Path], columns: Sequence[str]
) -> tuple[dict[str, Texts], list[str]]:
    """Texts in CSV files or JSON lines; the labels in the training file are the classes."""
    from .tables import read_table  # pandas takes half a second

    tables = {split: read_table(file, columns) for split, file in files.items()}
    classes = order_classes(tables["train"]["label"])
    if len(classes) < 2:
        raise UserError(
            f"All texts of {files['train']} have the label {', '.join(classes)!r}. At least two "
            "classes are needed."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    splits = {}
    for split, table in tables.items():
        unknown = ~table["label"].isin(classes)
        if unknown.any():
            place = unknown.idxmax()
            raise UserError(
                f"{place}: no text of {files['train'].name} has the label "
                f"{table['label'][place]!r}. Add some, or correct the label."
            )
        labels = table["label"].map(numbers).tolist()
        splits[split] = Texts(table["text"].tolist(), labels, table.index.tolist())
    return splits, classes


def read_text_folders(
    root: Path, settings: SplitSettings, report: DataReport
) -> tuple[dict[str, Texts], list[str]]:
    """.txt files in folders that are named after their classes."""
    splits, classes = read_class_folders(root, settings, {".txt"}, "texts", report)
    errors: list[UserError] = []
    texts = {split: read_text_files(files.paths, errors) for split, files in splits.items()}
    if errors:
        raise join_errors(errors, sum(map(len, texts.values())), "texts")
    return {
        split: Texts(texts[split], files.labels, list(map(str, files.paths)))
        for split, files in splits.items()
    }, classes


def read_text_files(paths: Sequence[Path], errors: list[UserError]) -> list[str]:
    """The texts in the files; what is wrong with a file is added to ``errors``."""
    texts = []
    for path in paths:
        try:
            texts.append(read_text_file(path))
        except UserError as error:
            errors.append(error)
            texts.append("")
    return texts


def read_text_file(path: Path) -> str:
    """A whole file as one text; a UserError if it is empty."""
    text = read_text(path).strip()
    if not text:
        raise UserError(f"{path} is empty. Write something into it or remove it.")
    return text
