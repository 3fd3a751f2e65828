"""Folders of images with a second file of the same name for each: a mask, or a list of boxes."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from ..engine.errors import UserError
from ..engine.folders import find_split_folders
from ..engine.listing import list_files
from ..engine.splits import SplitSettings, group_files, split_indices
from .images import SUFFIXES

Item = TypeVar("Item")


def find_pairs(root: Path, second: str) -> dict[str, tuple[Path, Path]]:
    """For each split, its folder of images and its folder of second files; empty if there is none.

    Both layouts are found: ``images/train`` with ``masks/train``, and ``train/images`` with
    ``train/masks`` (where ``second`` is "masks").
    """
    images = root / "images"
    if images.is_dir():
        folders = find_split_folders(images, "images")
        return {
            split: (folder, root / second / folder.relative_to(images))
            for split, folder in folders.items()
        }
    folders = find_split_folders(root, "images")
    if not (folders["train"] / "images").is_dir():
        return {}
    return {split: (folder / "images", folder / second) for split, folder in folders.items()}


def pair_files(
    images: Path, seconds: Path, suffixes: Collection[str], leave_out: Collection[str] = ()
) -> list[tuple[Path, Path | None]]:
    """Each image with its second file, or None if it has none.

    Args:
        images: folder of the images.
        seconds: folder of the second files.
        suffixes: of the second files.
        leave_out: names of files in ``seconds`` that belong to no image.

    Raises:
        UserError: a folder is missing, two files have the same name, or a file has no image.
    """
    for folder in (images, seconds):
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder} beside {images}.")
    by_name = _by_name(images, SUFFIXES)
    found = _by_name(seconds, suffixes)
    for name in sorted(set(found) - set(by_name)):
        if found[name].name not in leave_out:
            raise UserError(f"{found[name]} has no image in {images}. Add the image, or remove it.")
    return [(path, found.get(name)) for name, path in by_name.items()]


def split_missing(
    splits: dict[str, list[Item]],
    settings: SplitSettings,
    group_by: str | None = None,
    path_of: Callable[[Item], Path] | None = None,
) -> dict[str, list[Item]]:
    """Split off "train" what is missing of "val" and "test".

    Args:
        splits: the items of each split, at least of "train".
        settings: how to split.
        group_by: which images stay together; see ``group_files``.
        path_of: the image file of an item, for ``group_by``.

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
    groups = group_files([path_of(item) for item in train], group_by) if path_of else None
    indices = split_indices(len(train), settings, missing=missing, groups=groups)
    splits = splits | {name: [train[i] for i in chosen] for name, chosen in indices.items()}
    return {name: splits[name] for name in ("train", "val", "test")}


def _by_name(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """The files below ``folder`` by their relative path without suffix."""
    files: dict[str, Path] = {}
    for path in list_files(folder, suffixes):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{files[name]} and {path} have the same name. Rename one.")
        files[name] = path
    return files
