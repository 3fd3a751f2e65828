"""Where texts come from: names in many languages inside Babel, or files of your own."""

import csv
import functools
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale

from .class_folders import read_class_folders
from .classes import order_classes, split_classes
from .errors import UserError
from .folders import NAMES_OF_PARTS
from .hyperparameters import Hyperparameters
from .utils import read_text

SUFFIXES = (".csv", ".jsonl")

# Languages of Europe that are written in Latin letters and into which the CLDR project has
# translated most names. Of two that share most of their names (Norwegian Bokmål and Nynorsk,
# Croatian and Bosnian), one is here.
LANGUAGES = "br ca cs cy da de en es et eu fi fr ga gd gl hr hu is it lb lt lv mt nb nl pl pt ro sk"
LANGUAGES += " sl sq sv tr"


@dataclass(frozen=True)
class Texts:
    """One part of the data: texts, the numbers of their classes, and where each is from."""

    texts: list[str]
    labels: list[int]
    places: list[str]

    def take(self, indices: Iterable[int]) -> "Texts":
        """Some of them."""
        chosen = list(indices)
        columns = (self.texts, self.labels, self.places)
        return Texts(*([column[i] for i in chosen] for column in columns))  # type: ignore[arg-type]


Parts = tuple[dict[str, Texts], list[str]]
"""The texts of "train", "val" and "test", and the names of the classes."""


def read_texts(settings: Hyperparameters) -> Parts:
    """The data that ``settings`` name.

    Raises:
        UserError: a file cannot be read, a text or its class is missing, or there are too few.
    """
    if settings.data is None:
        texts, classes = read_names()
        return split_off({"train": texts}, classes, settings), classes
    files = find_tables(settings.data)
    return read_tables(files, settings) if files else read_folders(settings.data, settings)


@functools.cache
def read_names() -> tuple[Texts, list[str]]:
    """Names of countries and languages, each as only one of 33 languages has it.

    They are part of Unicode's CLDR (https://cldr.unicode.org), of which Babel has a copy.
    """
    english = Locale("en").languages
    codes = sorted(LANGUAGES.split(), key=english.__getitem__)
    tables = [(Locale(code).territories, Locale(code).languages) for code in codes]
    names = [sorted({name for table in both for name in table.values()}) for both in tables]
    counts = Counter(name for group in names for name in group)
    texts, labels, places = list[str](), list[int](), list[str]()
    for label, group in enumerate(names):
        own = [name for name in group if counts[name] == 1]
        texts += own
        labels += [label] * len(own)
        places += [f"{english[codes[label]]} name {number + 1}" for number in range(len(own))]
    return Texts(texts, labels, places), [english[code] for code in codes]


def find_tables(path: Path) -> dict[str, Path]:
    """The files of the parts: ``path`` itself, or those in it; none for folders of .txt files."""
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            kinds = "a .csv or .jsonl file, or a folder"
            raise UserError(f"{path} is not {kinds}. Type --data with one of these.")
        return {"train": path}
    files: dict[str, Path] = {}
    for part, names in NAMES_OF_PARTS.items():
        found = [path / (name + suffix) for name in names for suffix in SUFFIXES]
        found = [file for file in found if file.is_file()]
        if len(found) > 1:
            raise UserError(f"{path} has both {found[0].name} and {found[1].name}. Keep one.")
        if found:
            files[part] = found[0]
    others = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if others and "train" not in files:
        raise UserError(f"{path} has {others[0]}, but no train.csv or train.jsonl. Add it.")
    return files


def read_tables(files: dict[str, Path], settings: Hyperparameters) -> Parts:
    """The texts and labels in CSV files or JSON lines; labels of training make the classes."""
    rows = {part: list(read_rows(file, settings)) for part, file in files.items()}
    classes = order_classes(label for _, label, _ in rows["train"])
    if len(classes) < 2:
        raise UserError(
            f"All texts of {files['train']} have the label {', '.join(classes)!r}. At least two "
            "classes are needed."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    parts = {}
    for part, found in rows.items():
        for _, label, place in found:
            if label not in numbers:
                raise UserError(
                    f"{place}: no text of {files['train'].name} has the label {label!r}. Add some, "
                    "or correct the label."
                )
        texts, names, places = map(list, zip(*found, strict=True))
        parts[part] = Texts(texts, [numbers[name] for name in names], places)
    return split_off(parts, classes, settings), classes


def read_rows(path: Path, settings: Hyperparameters) -> Iterator[tuple[str, str, str]]:
    """The text of each row, its label, and the place of the row; at least one row."""
    empty = True
    content = read_text(path)
    for place, cells in read_jsonl(path, content) if is_jsonl(path) else read_csv(path, content):
        text = cell(cells, settings.text_column, "--text-column", place)
        yield text, cell(cells, settings.label_column, "--label-column", place), place
        empty = False
    if empty:
        raise UserError(f"{path} has no texts in it. Add some.")


def is_jsonl(path: Path) -> bool:
    """Whether each line is a JSON object of its own."""
    return path.suffix.lower() == ".jsonl"


def cell(cells: dict[str, Any], column: str, flag: str, place: str) -> str:
    """A cell as text without spaces around it; a number is read as the text that stands there.

    Raises:
        UserError: there is no such column, or nothing in it.
    """
    if column not in cells:
        listed = ", ".join(list(cells)[:30]) or "none"
        raise UserError(f"{place} has no {column!r}. Type {flag} with one of: {listed}.")
    value = cells[column]
    if isinstance(value, list | dict):
        raise UserError(f"{place}: {column!r} is a list or an object. Write it as a text.")
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    if not text.strip():
        raise UserError(f"{place}: {column!r} is empty. Fill it in or remove the row.")
    return text.strip()


def read_csv(path: Path, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, cells) of each row. Commas, semicolons, tabs or bars separate the cells."""
    csv.field_size_limit(2**31 - 1)  # by default 131,072 characters; a long is no longer on Windows
    first_line = content.partition("\n")[0]
    separator = max(",;\t|", key=first_line.count)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    names, number = list[str](), 0
    try:
        for number, row in enumerate(rows, start=1):
            if number == 1:
                names = [name.strip() for name in row]
            elif len(row) == len(names):
                yield f"row {number} of {path.name}", dict(zip(names, row, strict=True))
            elif row:
                raise UserError(
                    f"{path} has {len(row)} cells in row {number}, but {len(names)} names of "
                    'columns in row 1. Put "quotation marks" around texts with the separator.'
                )
    except csv.Error as error:
        raise UserError(f"{path} is not CSV after row {number}: {error}. Correct it.") from None


def read_jsonl(path: Path, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, cells) of each line that is not blank."""
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path} is not JSON in line {number}: {error}.") from None
        if not isinstance(value, dict):
            example = '{"text": "...", "label": "..."}'
            raise UserError(f"Line {number} of {path} is no JSON object, such as {example}.")
        yield f"line {number} of {path.name}", value


def read_folders(root: Path, settings: Hyperparameters) -> Parts:
    """Text files in folders that are named after their classes."""
    parts, classes = read_class_folders(root, settings, {".txt"}, "texts")
    return {
        part: Texts(
            [read_file(path) for path in files.paths], files.labels, list(map(str, files.paths))
        )
        for part, files in parts.items()
    }, classes


def read_file(path: Path) -> str:
    """A whole file as one text."""
    text = read_text(path).strip()
    if not text:
        raise UserError(f"{path} is empty. Write something into it or remove it.")
    return text


def split_off(
    parts: dict[str, Texts], classes: list[str], settings: Hyperparameters
) -> dict[str, Texts]:
    """Cut the parts that are missing off "train", in the same proportion for every class."""
    missing = tuple(part for part in ("val", "test") if part not in parts)
    train = parts["train"]
    indices = split_classes(train.labels, classes, settings, missing, "texts")
    return parts | {part: train.take(chosen) for part, chosen in indices.items()}
