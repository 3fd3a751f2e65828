"""Folders of the user's files: splits, and files in folders named after their classes."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from .data_report import DataReport, some
from .errors import UserError
from .listing import FileFinder, is_foreign, list_folders
from .splits import (
    SplitSettings,
    find_splits,
    group_splits,
    order_classes,
    split_classes,
    split_of,
)

ClassFolders = dict[str, list[Path]]
"""For each split, the folders of its classes."""


class LabeledFiles(NamedTuple):
    """Files, and the class number of each."""

    paths: list[Path]
    labels: list[int]


def read_class_folders(
    root: Path,
    settings: SplitSettings,
    suffixes: Collection[str],
    noun: str,
    report: DataReport,
    group_by: str | None = None,
) -> tuple[dict[str, LabeledFiles], list[str]]:
    """The splits and the class names of a folder that has one folder of files per class.

    The class folders may also stand below train/, val/ and test/, or folders with names like that.
    What is missing of val and test is split off train.

    Args:
        root: the folder.
        settings: how to split it.
        suffixes: of the files.
        noun: what the files are, for messages: images, texts.
        report: gets what was left aside.
        group_by: see ``group_files``.

    Raises:
        UserError: folders are missing, or it is unclear which of them are splits or classes.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of {noun}.")
    folders = _find_class_folders(root, noun, report)
    finder = FileFinder(suffixes, noun)
    files = finder.find([folder for classes in folders.values() for folder in classes])
    _refuse_splits_in_classes(finder, files)
    for parent in sorted({root, *(folder.parent for folder in files)}):
        _note_loose_files(parent, suffixes, noun, report)
    finder.add_notes(report)
    folders = _without_empty(folders, files, finder, report)
    names = _name_classes(folders, root, noun, report)
    numbers = {name: number for number, name in enumerate(names)}
    splits = {
        split: LabeledFiles(
            [path for folder in classes for path in files[folder]],
            [numbers[folder.name] for folder in classes for _ in files[folder]],
        )
        for split, classes in folders.items()
    }
    groups = group_splits({name: files.paths for name, files in splits.items()}, group_by, report)
    splits = _split_train(splits, names, settings, noun, group_by, groups)
    return {split: splits[split] for split in ("train", "val", "test")}, names


def _split_train(
    splits: dict[str, LabeledFiles],
    names: list[str],
    settings: SplitSettings,
    noun: str,
    group_by: str | None,
    groups: list[str] | None,
) -> dict[str, LabeledFiles]:
    """Split off "train" what is missing."""
    paths, labels = splits["train"]
    missing = [name for name in ("val", "test") if name not in splits]
    for split, chosen in split_classes(labels, names, settings, missing, noun, groups).items():
        splits[split] = LabeledFiles([paths[i] for i in chosen], [labels[i] for i in chosen])
    lost = [names[number] for number in sorted(set(labels) - set(splits["train"].labels))]
    if lost:
        listed = some(lost, len(names), "class", "classes")
        raise UserError(
            f"With --group-by {group_by}, train has nothing of {listed}. Each class needs several "
            "groups. Type another --group-by, or another --split-seed."
        )
    return splits


def _find_class_folders(root: Path, noun: str, report: DataReport) -> ClassFolders:
    """The class folders of each split, at least of "train"; says what else there is."""
    folders = _unpack(list_folders(root), report)
    named = find_splits(folders)
    others = [folder for folder in folders if folder not in named.values()]
    inner = {split: _unpack(list_folders(folder), report) for split, folder in named.items()}
    if "train" in named:
        if not inner["train"]:
            raise UserError(_explain_train(named["train"], others, noun))
        if others:
            listed = some(others, len(folders), "folder")
            report.note(f"Left aside, because they are not in a folder of a split: {listed}.")
    else:
        _require_classes(root, named, others)
        names = {folder.name for folder in others}
        for split in named:  # used if it has the same classes as those beside it
            inner[split] = inner[split] if names & {path.name for path in inner[split]} else []
        inner["train"] = others
    unused = [folder for split, folder in named.items() if split == "unlabeled" or not inner[split]]
    for folder in unused:
        what = split_of(folder.name)
        report.note(
            f"Left aside: {folder}, which by its name is {what} data, has no folders of the "
            "classes. If it is a class, rename it."
        )
    inner.pop("unlabeled", None)
    return _without_splits({split: found for split, found in inner.items() if found}, root, report)


def _unpack(folders: list[Path], report: DataReport) -> list[Path]:
    """The folders inside the only one, if that is named like a split or has one named so.

    Archives are often packed so: train/train/cat, archive/train/cat.
    """
    if len(folders) == 1:
        inner = list_folders(folders[0])
        if len(inner) > 1 and any(split_of(f.name) for f in (folders[0], *inner)):
            report.note(f"The data is read from {folders[0]}, the only folder there.")
            return inner
    return folders


def _explain_train(train: Path, others: list[Path], noun: str) -> str:
    """What to do about a folder of the training split without class folders."""
    problem = f"{train} is the training split by its name, but has no folders of the classes."
    if not others:
        return f"{problem} Put the {noun} of each class into a folder with the name of the class."
    names = ", ".join(folder.name for folder in others[:3])
    return (
        f"{problem} Beside it are the folders {names}. If train is a class too, rename it, for "
        f"example {train.name}_class; else put the class folders into it."
    )


def _require_classes(root: Path, named: Mapping[str, Path], folders: list[Path]) -> None:
    """Raises a UserError if there is no training split, or if the folders look like splits."""
    if named and not folders:
        listed = ", ".join(folder.name for folder in named.values())
        raise UserError(f"{root} has {listed}, but no folder train. Add it.")
    by_rest: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for folder in folders:
        words = re.findall(r"[^\W_]+", folder.name)
        for word in words:
            split = split_of(word)
            if split:
                rest = "_".join(other for other in words if other != word).lower()
                by_rest[rest].append((split, folder.name))
    for found in by_rest.values():
        if len({split for split, _ in found}) > 1:
            listed = " and ".join(name for _, name in found[:4])
            raise UserError(
                f"{root}: {listed} look like splits, not like classes. Name the folders of splits "
                "train, val and test, and put the folders of the classes into them."
            )


def _without_splits(folders: ClassFolders, root: Path, report: DataReport) -> ClassFolders:
    """Leave aside folders among the classes that are named like splits.

    Unless all splits have them: there is a class called train, the vehicle.
    """
    named = [folder for found in folders.values() for folder in found if split_of(folder.name)]
    in_all = {
        folder.name
        for folder in named
        if len(folders) > 1
        and all(folder.name in {other.name for other in found} for found in folders.values())
        and split_of(folder.name) != "unlabeled"
    }
    aside = [folder for folder in named if folder.name not in in_all]
    if aside:
        listed = some(aside, sum(map(len, folders.values())), "class folder")
        report.note(
            f"Left aside, because they have names of splits: {listed}. If they are classes, rename "
            "them."
        )
    if in_all:
        report.note(f"Every split has the folder {', '.join(sorted(in_all))}: it is a class.")
    return {
        split: [folder for folder in found if folder not in aside]
        for split, found in folders.items()
    }


def _refuse_splits_in_classes(finder: FileFinder, classes: Collection[Path]) -> None:
    """Raises a UserError for cat/train, cat/test."""
    wrong = [
        folder for folder in finder.folders if folder.parent in classes and split_of(folder.name)
    ]
    if wrong:
        listed = some(wrong, len(finder.folders), "folder")
        remedy = f"Put the splits above the classes: {wrong[0].name}/{wrong[0].parent.name}."
        if len(classes) == 1:
            remedy = f"If these are the splits, type --data {wrong[0].parent}."
        raise UserError(
            f"Folders of classes contain folders that are named like splits: {listed}. {remedy}"
        )


def _note_loose_files(
    folder: Path, suffixes: Collection[str], noun: str, report: DataReport
) -> None:
    """Say which files stand beside the folders of the classes."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not is_foreign(entry.name))
    loose = [name for name in names if os.path.splitext(name)[1].lower() in suffixes]
    if loose:
        listed = ", ".join(loose[:3])
        report.note(
            f"Left aside, because they are in no folder of a class: {len(loose):,} {noun} in "
            f"{folder}, for example {listed}."
        )


def _without_empty(
    folders: ClassFolders, files: Mapping[Path, list[Path]], finder: FileFinder, report: DataReport
) -> ClassFolders:
    """Leave out class folders without files.

    Raises:
        UserError: a class folder of train has files, but none that can be read.
    """
    empty = [folder for folder in files if not files[folder]]
    others = [Path(path) for path in finder.others]
    lost = [
        folder
        for folder in folders["train"]
        if not files[folder] and any(path.is_relative_to(folder) for path in others)
    ]
    if lost:
        listed = some(lost, len(folders["train"]), "class folder")
        raise UserError(
            f"There are no {finder.noun} that can be read in {listed}. {finder.describe_others()} "
            "Convert the files, or remove the folders."
        )
    if empty:
        report.note(f"Left out, because they are empty: {some(empty, len(files), 'class folder')}.")
    kept = {split: [f for f in found if f not in empty] for split, found in folders.items()}
    return {split: found for split, found in kept.items() if found or split == "train"}


def _name_classes(folders: ClassFolders, root: Path, noun: str, report: DataReport) -> list[str]:
    """The names of the classes, which are those of the folders in train.

    Raises:
        UserError: there is only one, or another split has others.
    """
    names = order_classes(folder.name for folder in folders["train"])
    if len(names) < 2:
        parent = folders["train"][0].parent if folders["train"] else root
        raise UserError(
            f"{parent} has {len(names)} class folder(s) with {noun}; at least two are needed. Put "
            f"the {noun} of each class into a folder with the name of the class."
            + _hint(folders["train"])
        )
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_simplify(name)].append(name)
    for group in alike.values():
        if len(group) > 1:
            listed = ", ".join(f"{name!r}" for name in group)
            report.note(f"The names of the classes {listed} differ in capitals or spaces only.")
    for found in folders.values():
        unknown = [folder.name for folder in found if folder.name not in names]
        if unknown:
            similar = [alike[key][0] for key in map(_simplify, unknown) if key in alike]
            hint = f" Perhaps {similar[0]!r} is meant by {unknown[0]!r}." if similar else ""
            raise UserError(
                f"{found[0].parent} has classes that train has not: "
                f"{some(unknown, len(found), 'class', 'classes')}.{hint} Give every class a folder "
                f"of training {noun}."
            )
    return names


def _hint(folders: list[Path]) -> str:
    """The folder that may be meant, if the only one found has folders itself."""
    if len(folders) == 1 and len(list_folders(folders[0])) > 1:
        return f" Or do you mean --data {folders[0]}?"
    return ""


def _simplify(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())
