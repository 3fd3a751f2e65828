"""Reading and writing files: whole or not at all, in UTF-8, with errors that name the file."""

import importlib.util
import json
import os
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from unicodedata import east_asian_width

from .errors import UserError

PROJECT = Path(__file__).resolve().parent.parent.parent
if not (PROJECT / "pyproject.toml").is_file():  # installed as a wheel
    PROJECT = Path.cwd()
# Of the system and of other programs: .ipynb_checkpoints, ._1.jpg, @eaDir, __MACOSX
FOREIGN = (".", "@", "__MACOSX", "__pycache__", "$RECYCLE.BIN", "#recycle", "lost+found")
FOREIGN_FILES = {"thumbs.db", "desktop.ini"}


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` only when it is complete and on the disk."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        if os.name != "nt":  # elsewhere the new name must be written to the disk too
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. What is not text in names of files is escaped."""
    with atomic_write(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people and programs."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        UserError: it cannot be read, or is neither; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as PowerShell writes
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not text in UTF-8 (line {line}). Save it as UTF-8.") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file.

    Raises:
        UserError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from None


def is_foreign(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or not the user's own."""
    return name.startswith(FOREIGN) or name.lower() in FOREIGN_FILES


def list_all_files(folder: Path) -> list[Path]:
    """Every file in a folder at any depth, sorted, without hidden ones."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_foreign(name)]
        found += [Path(parent, name) for name in names if not is_foreign(name)]
    return sorted(found)


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, Any]:
    """The arrays in an .npz file; with ``names``, only those of them that it has."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {n: arrays[n] for n in arrays.files if names is None or n in names}
    except Exception as error:  # of many kinds, as the file may be damaged in any place
        raise UserError(f"{path} is damaged ({error}).") from None


def packaged_file(name: str) -> Path:
    """A data file inside scikit-learn, found without the two seconds of importing it."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None, "scikit-learn is a dependency"
    return Path(spec.origin).parent / "datasets" / "data" / name


def shorten(text: str, width: int) -> str:
    """The text on one line, with its middle left out where it is too long for a figure.

    What is not text, in names of files that are not UTF-8, is escaped.
    """
    text = " ".join(text.encode(errors="backslashreplace").decode().split())
    cells = sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
    width = width * len(text) // max(cells, 1)  # a Hangul letter is as wide as two Latin ones
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-half:]}"
