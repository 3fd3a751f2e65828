"""The files in the user's folders: hidden ones left out, links followed once, others counted."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from .data_report import DataReport

# Of the system and of other programs: .ipynb_checkpoints, ._1.jpg, @eaDir, __MACOSX
FOREIGN = (".", "@", "__MACOSX", "__pycache__", "$RECYCLE.BIN", "#recycle", "lost+found")
FOREIGN_FILES = {"thumbs.db", "desktop.ini"}
HEIC = "HEIC cannot be read: convert these files to JPEG."
RAW = "Raw photos cannot be read: convert these files to TIFF or JPEG."
ARCHIVE = "Unpack the archives."
REMEDIES = (
    dict.fromkeys((".heic", ".heif", ".hif"), HEIC)
    | dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".rw2"), RAW)
    | dict.fromkeys((".7z", ".gz", ".rar", ".tar", ".tgz", ".zip"), ARCHIVE)
    | {".dcm": "DICOM cannot be read: convert these files to PNG with 16 bits."}
)


def is_foreign(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or not the user's own."""
    return name.startswith(FOREIGN) or name.lower() in FOREIGN_FILES


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""
    entries = sorted(os.scandir(folder), key=attrgetter("name"))
    return [
        folder / entry.name for entry in entries if not is_foreign(entry.name) and entry.is_dir()
    ]


def list_files(
    folder: Path, suffixes: Collection[str], report: DataReport | None = None, noun: str = "files"
) -> list[Path]:
    """The files with one of ``suffixes`` at any depth, sorted, without hidden ones.

    With a report, what is left aside is added to it; ``noun`` says what the files are.
    """
    finder = FileFinder(suffixes, noun)
    files = finder.find([folder])[folder]
    if report is not None:
        finder.add_notes(report)
    return files


def list_all_files(folder: Path) -> list[Path]:
    """Every file in a folder at any depth, sorted, without hidden ones."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_foreign(name)]
        found += [Path(parent, name) for name in names if not is_foreign(name)]
    return sorted(found)


@dataclass
class FileFinder:
    """Finds files by their suffixes, and remembers what it left aside."""

    suffixes: Collection[str]
    """In small letters."""
    noun: str
    """What the files are, for messages: images, texts."""
    others: list[str] = field(default_factory=list)
    """Files with other suffixes."""
    hidden: list[str] = field(default_factory=list)
    """Hidden folders, and hidden files with the suffixes."""
    broken: list[str] = field(default_factory=list)
    """Links that lead nowhere."""
    repeated: list[str] = field(default_factory=list)
    """Links to folders that are read anyway."""
    folders: list[Path] = field(default_factory=list)
    """All folders that were entered."""
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def find(self, folders: Sequence[Path]) -> dict[Path, list[Path]]:
        """The files of each folder at any depth, sorted.

        Links are followed after all folders themselves were read, and only to folders that were
        not, so no file comes twice, and no link leads into an endless loop.
        """
        found: dict[Path, list[Path]] = {folder: [] for folder in folders}
        tops = [Path(os.path.realpath(folder)) for folder in folders]
        links: list[tuple[Path, list[Path]]] = []
        for folder in sorted(folders, key=os.path.islink):
            links += self._walk(folder, found[folder])
        for link, files in links:  # the list grows while links to folders with links are followed
            target = Path(os.path.realpath(link))
            if any(top.is_relative_to(target) for top in tops):
                self.repeated.append(str(link))
                continue
            links += self._walk(link, files)
            files.sort()
        return found

    def _walk(self, folder: Path, files: list[Path]) -> list[tuple[Path, list[Path]]]:
        """Add the files of a folder at any depth to ``files``. Returns the linked folders."""
        state = folder.stat()
        if (state.st_dev, state.st_ino) in self._seen:
            self.repeated.append(str(folder))
            return []
        self._seen.add((state.st_dev, state.st_ino))
        self.folders.append(folder)
        links: list[tuple[Path, list[Path]]] = []
        for entry in sorted(os.scandir(folder), key=attrgetter("name")):
            is_wanted = os.path.splitext(entry.name)[1].lower() in self.suffixes
            if is_foreign(entry.name):
                if is_wanted or entry.is_dir():
                    self.hidden.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                links += self._walk(Path(entry.path), files)
            elif entry.is_dir():
                links.append((Path(entry.path), files))
            elif not entry.is_file():
                self.broken.append(entry.path)
            elif is_wanted:
                files.append(Path(entry.path))
            else:
                self.others.append(entry.path)
        return links

    def add_notes(self, report: DataReport) -> None:
        """Say in the report what was left aside."""
        if self.others:
            report.note(self.describe_others())
        for paths, problem in (
            (self.hidden, "hidden, or made by other programs"),
            (self.broken, "links that lead nowhere"),
            (self.repeated, "links to folders that are read anyway"),
        ):
            if paths:
                listed = ", ".join(paths[:3])
                report.note(f"Left out: {len(paths):,} paths that are {problem}: {listed}.")

    def describe_others(self) -> str:
        """How many files have which other suffixes, and what can be done."""
        counts = Counter(os.path.splitext(path)[1] or "no suffix" for path in self.others)
        listed = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common(8))
        remedies = {REMEDIES[suffix.lower()] for suffix in counts if suffix.lower() in REMEDIES}
        sentence = (
            f"Left aside, because they are no {self.noun} by their suffix: {len(self.others):,} "
            f"files ({listed}), for example {self.others[0]}."
        )
        return " ".join([sentence, *sorted(remedies)])
