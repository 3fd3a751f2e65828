"""Which image file a name in an annotation file means, and to which split it belongs."""

import re
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.files import read_text
from ..engine.splits import find_splits, split_of
from .images import SUFFIXES

IMAGE_FOLDERS = {"images", "image", "imgs", "img", "jpegimages", "data", "photos", "obj_train_data"}
LABEL_FOLDERS = {"labels", "label", "annotations", "annotation"}
Folder = tuple[str, ...]
"""The names on the way from the root to a folder."""
Texts = dict[str, list[Path]]
"""The files that may have annotations, by their suffix in small letters."""


class ImageFiles:
    """The image files below a folder."""

    def __init__(self, root: Path, paths: list[Path]) -> None:
        self.root, self.paths = root, paths
        start = len(root.joinpath("x").as_posix()) - 1
        self.by_name = {path.as_posix()[start:]: path for path in paths}
        folders = {path.parent for path in paths}
        self.folders: dict[Path, Folder] = {f: f.relative_to(root).parts for f in sorted(folders)}

    @cached_property
    def by_spelling(self) -> dict[str, Path | None]:
        """The images by their paths below the root, however these are spelt."""
        return _by_spelling((path, name) for name, path in self.by_name.items())

    @cached_property
    def by_last_name(self) -> dict[str, Path | None]:
        """The images by their names, where these are there once."""
        return _by_spelling((path, path.name) for path in self.paths)

    def find(self, name: str, bases: list[str], split: str | None) -> Path | None:
        """The file that an annotation file names, below one of the ``bases``.

        Folders that the name begins with may be those of another machine. It may have backslashes,
        other capital letters, no suffix, or quoted letters as in an address.
        """
        for spelling in dict.fromkeys((name, unquote(name))):
            parts = [part for part in re.split(r"[/\\]+", spelling) if part not in ("", ".", "..")]
            for start in range(len(parts)):
                for base in bases:
                    key = base + "/".join(parts[start:])
                    if path := self.by_name.get(key) or self.by_spelling.get(fold(key)):
                        return path
            path = self.by_last_name.get(fold(parts[0])) if len(parts) == 1 else None
            if path and split in (None, split_folder(self.folders[path.parent])[0]):
                return path
        return None

    def bases(self, file: Path, split: str | None) -> list[str]:
        """The folders that names in an annotation file may begin in, the deepest first."""
        own = file.parent.relative_to(self.root).parts

        def fits(part: str) -> bool:
            is_own = part in own or file.stem.endswith(part) or part.lower() in IMAGE_FOLDERS
            return is_own if split_of(part) is None else split_of(part) == split

        folders = set(self.folders.values())
        found = {folder[:depth] for folder in folders for depth in range(len(folder) + 1)}
        found = {folder for folder in found if all(map(fits, folder))}
        found |= folders if len(folders) == 1 else set()
        ordered = sorted(found, key=lambda folder: (-len(folder), folder))
        return ["".join(f"{part}/" for part in folder) for folder in ordered]

    def splits(self, report: DataReport) -> dict[Path, str]:
        """The split of each image by the names of its folders; without any, all are "train".

        A UserError if a split has folders with two names.
        """
        by_folder = {path: split_folder(folder) for path, folder in self.folders.items()}
        names = {name.lower(): self.root / name for _, name in by_folder.values() if name}
        rest = None if "train" in find_splits(names.values()) else "train"
        splits = {path: by_folder[path.parent][0] or rest for path in self.paths}
        aside = [path.name for path, split in splits.items() if split in (None, "unlabeled")]
        report.note_some("Left aside, in no split", aside, len(self.paths), "image")
        return {path: s for path, s in splits.items() if s is not None and s != "unlabeled"}

    def read_list(self, file: Path, split: str, report: DataReport) -> list[Path]:
        """The images that a text file names, one a line."""
        bases, names = self.bases(file, split), read_text(file).split("\n")
        found = {name: self.find(name, bases, split) for name in map(str.strip, names) if name}
        missing = [name for name, path in found.items() if path is None]
        check_missing(missing, len(found), file, bases, report)
        return [path for path in found.values() if path]


def check_missing(
    missing: list[str], total: int, file: Path, bases: list[str], report: DataReport
) -> None:
    """Say which images are not there; raise a UserError if these are most of them."""
    if len(missing) > total / 2:
        listed = some(missing, total, "image")
        places = ", ".join(dict.fromkeys(base or "." for base in bases))
        raise UserError(
            f"{file} names images that are not there: {listed}. They were looked for in these "
            f"folders below --data: {places}. Put them there."
        )
    report.note_some(f"Named in {file.name}, but not there and left out", missing, total, "image")


def fold(name: str) -> str:
    """The name without the differences that file systems and people overlook."""
    return name.lower() if name.isascii() else normalize("NFC", name).casefold()


def pair_by_name(
    images: Iterable[Path], seconds: Iterable[Path]
) -> tuple[dict[Path, Path], list[Path]]:
    """The second file of each image that has one, and the second files without an image.

    Both have the same name, in the same folder, or in folders that differ only in words such as
    images and labels. A UserError if several files have the same name.
    """
    by_key, doubles, pairs = dict[Folder, Path](), list[str](), dict[Path, Path]()
    for path in seconds:
        if by_key.setdefault(_key(path), path) != path:
            doubles.append(f"{by_key[_key(path)]} and {path}")
    taken = dict[Folder, Path]()
    for path in images:
        key = _key(path)
        if key in by_key:
            pairs[path] = by_key[key]
            if taken.setdefault(key, path) != path:
                doubles.append(f"{taken[key]} and {path}")
    if doubles:
        raise UserError(f"{doubles[0]} have the same name ({len(doubles)} such pairs). Rename one.")
    return pairs, [path for key, path in by_key.items() if key not in taken]


def _key(path: Path) -> Folder:
    """What the names of an image and of its second file have in common."""
    stem = path.stem
    if Path(stem).suffix.lower() in SUFFIXES:  # 1.jpg.txt
        stem = Path(stem).stem
    return *_common_folders(path.parent), fold(stem)


@cache
def _common_folders(folder: Path) -> Folder:
    parts = map(fold, folder.parts)
    return tuple(part for part in parts if part not in IMAGE_FOLDERS | LABEL_FOLDERS)


def split_folder(folder: Folder) -> tuple[str | None, str | None]:
    """The split that a folder is named after, and the name."""
    return next(((split_of(part), part) for part in folder if split_of(part)), (None, None))


def _by_spelling(names: Iterable[tuple[Path, str]]) -> dict[str, Path | None]:
    """The files by their folded names with and without suffix; None where several have the same."""
    found: dict[str, Path | None] = {}
    for path, name in names:
        for key in (fold(name), fold(name.removesuffix(path.suffix))):
            found[key] = None if key in found else path
    return found
