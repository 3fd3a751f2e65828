"""The text of a file in whatever encoding it is: UTF-8, UTF-16, or the one of old Windows."""

import codecs
import gzip
import re
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.inputs import STDIN

DELIMITED = (".csv", ".tsv", ".tab", ".txt")
LINES = (".jsonl", ".ndjson")
SUFFIXES = (*DELIMITED, ".json", *LINES, ".parquet", ".xlsx")
"""Of files with tables."""
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WINDOWS = "cp1252"  # it has Latin-1 in it
CONTROL = re.compile("[\0-\b\x0e-\x1a\x1c-\x1f]")
WESTERN = 0.6  # share of letters beyond ASCII, above which a word is of another script


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it is a .gz; a UserError if it cannot be read."""
    if path is STDIN:
        return sys.stdin.buffer.read()
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise UserError(f"{path} is damaged: it is not a whole .gz file. Get it again.") from None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None


def decode(content: bytes, path: Path) -> tuple[str, str]:
    """The text, and its encoding if that had to be guessed (else nothing).

    A UserError if the file is not text, or in no encoding that can be recognized.
    """
    text, guessed = _decode(content, path)
    if CONTROL.search(text[:4000]):
        raise UserError(f"{path} is not a text file. Export it as .csv in UTF-8.")
    return text, guessed


def _decode(content: bytes, path: Path) -> tuple[str, str]:
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return _decode_as(encoding, content, path), ""
    if b"\0" in content[:4000]:
        zeros = [content[start:4000:2].count(b"\0") for start in (0, 1)]
        encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        return _decode_as(encoding, content, path), "UTF-16"
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return _decode_windows(content, path, error.start), "Windows-1252 (Latin-1)"


def note_encoding(
    report: DataReport, files: Sequence[str], total: int, encoding: str, text: str
) -> None:
    """Say in which encoding files were read, with words by which the user can judge that."""
    words = [*dict.fromkeys(re.findall(r"\w*[^\W_a-zA-Z0-9]\w*", text[:1_000_000]))][:3]
    seen = f" Look whether {', '.join(words)} is right." if words else ""
    which = files[0] if total == 1 else some(files, total, "file")
    report.note(f"{which}: not UTF-8, so read as {encoding}.{seen}")


def _decode_as(encoding: str, content: bytes, path: Path) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = encoding.upper().removesuffix("-SIG")
        raise UserError(
            f"{path} seems to be {name}, but is damaged (line {line}). Save it as UTF-8."
        ) from None


def _decode_windows(content: bytes, path: Path, first: int) -> str:
    """Text of Western Europe. It is none if UTF-8 is in it, or words of letters beyond ASCII."""
    line = content.count(b"\n", 0, first) + 1
    refusal = UserError(
        f"{path} is not text in UTF-8 (line {line}), nor in another encoding that is recognized. "
        "Save it as UTF-8."
    )
    as_utf8 = content.decode("utf-8", errors="replace")
    num_wrong = as_utf8.count("\ufffd")
    if sum(letter > "\x7f" for letter in as_utf8) - num_wrong > num_wrong:
        raise refusal
    try:
        text = content.decode(WINDOWS)
    except UnicodeDecodeError:
        raise refusal from None
    words = re.findall(r"\w*[^\W_a-zA-Z0-9]\w*", text[:1_000_000])
    letters = "".join(words)
    if len(letters) > 20 and sum(letter > "\x7f" for letter in letters) > WESTERN * len(letters):
        raise refusal
    return text
