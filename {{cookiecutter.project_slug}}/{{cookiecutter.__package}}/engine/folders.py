"""Folders of the user's files: splits, and files in folders named after their classes."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .splits import SplitSettings, find_splits, order_classes, split_classes


class LabeledFiles(NamedTuple):
    """Files, and the class number of each."""

    paths: list[Path]
    labels: list[int]


def find_split_folders(root: Path, content: str) -> dict[str, Path]:
    """The folders of the splits below ``root``, which is "train" itself if it has none."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of {content}.")
    folders = find_splits(path for path in root.iterdir() if path.is_dir())
    return folders if "train" in folders else {"train": root}


def list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of ``suffixes`` at any depth, sorted, without hidden ones."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in files if path.is_file() and path.name[0] != ".")


def read_class_folders(
    root: Path, settings: SplitSettings, suffixes: Collection[str], noun: str
) -> tuple[dict[str, LabeledFiles], list[str]]:
    """The splits and the class names of a folder that has one folder of files per class.

    The class folders may also stand below train/, val/ and test/. What is missing of val and test
    is split off train. ``noun`` says what the files are, for messages: images, texts.
    """
    folders = find_split_folders(root, f"folders of {noun}")
    found = {split: _list_classes(folder, suffixes, noun) for split, folder in folders.items()}
    classes, splits = order_classes(found["train"]), {}
    numbers = {name: number for number, name in enumerate(classes)}
    for split, groups in found.items():
        for name in sorted(groups.keys() - numbers):
            raise UserError(
                f"{folders[split]} has the class {name!r}, which {folders['train']} has not. "
                f"Give every class a folder of training {noun}."
            )
        labels = [numbers[name] for name, paths in groups.items() for _ in paths]
        splits[split] = LabeledFiles([path for paths in groups.values() for path in paths], labels)
    paths, labels = splits["train"]
    missing = [name for name in ("val", "test") if name not in splits]
    for split, chosen in split_classes(labels, classes, settings, missing, noun).items():
        splits[split] = LabeledFiles([paths[i] for i in chosen], [labels[i] for i in chosen])
    return splits, classes


def _list_classes(folder: Path, suffixes: Collection[str], noun: str) -> dict[str, list[Path]]:
    """The files of each class folder."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        raise UserError(
            f"{folder} has {len(classes)} class folder(s); at least two are needed. "
            f"Put the {noun} of each class into a folder with the name of the class."
        )
    found = {path.name: list_files(path, suffixes) for path in classes}
    for name in (name for name, files in found.items() if not files):
        listed = ", ".join(sorted(suffixes))
        raise UserError(f"{folder / name} has no {noun} ({listed}). Remove it.")
    return found
