"""What takes longer to find in images: duplicates, damage, sizes. For the command check-data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from .decoding import Range, open_image, oriented_size, to_rgb
from .threads import try_all

THUMBNAIL = 8  # pixels of each side
MIN_CORRELATION = 0.995  # of the thumbnails of near duplicates
MAX_COMPARED = 30_000  # images that are compared with each other
MAX_PAIRS = 100_000
CHUNK = 512  # rows of the matrix of correlations


class Picture(NamedTuple):
    """An image file, looked at."""

    path: Path
    split: str
    label: str | None
    size: tuple[int, int]
    """Width and height in pixels."""
    thumbnail: np.ndarray
    """(8, 8, 3) uint8."""
    is_blank: bool
    """Whether all its pixels have the same color."""
    digest: bytes
    """A hash of the content of the file."""


def inspect_images(
    splits: Mapping[str, Sequence[Path]],
    report: DataReport,
    labels: Mapping[str, Sequence[str]] | None = None,
    pixel_range: Range | None = None,
) -> list[UserError]:
    """Decode all images, and report sizes, blank images and duplicates.

    Returns the errors of those that cannot be used.

    Args:
        splits: the image files of each split.
        report: to be filled.
        labels: of each image, if it has one.
        pixel_range: of images with more than 8 bits.
    """
    files = [
        (path, split, labels[split][number] if labels else None)
        for split, paths in splits.items()
        for number, path in enumerate(paths)
    ]
    pictures, errors = try_all(lambda file: _look(*file, pixel_range), files, "looking at images")
    for number, what in enumerate(("width in pixels", "height in pixels")):
        report.values[what] = {
            split: np.array([p.size[number] for p in pictures if p.split == split])
            for split in splits
        }
    total = len(pictures) + len(errors)
    blank = [picture.path for picture in pictures if picture.is_blank]
    report.note_some("Of one color only", blank, total, "image")
    by_content: dict[bytes, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_content[picture.digest].append(picture)
    copies = [group for group in by_content.values() if len(group) > 1]
    _note_duplicates(copies, "The same file", report)
    others = [group[0] for group in by_content.values() if not group[0].is_blank]
    compared = others[:: -(-len(others) // MAX_COMPARED) or 1]
    if len(compared) < len(others):
        report.note(f"Near duplicates were looked for among {len(compared):,} images.")
    pairs = find_near(np.array([picture.thumbnail for picture in compared]))
    _note_duplicates([[compared[i], compared[j]] for i, j in pairs], "Nearly the same", report)
    return errors


def _look(path: Path, split: str, label: str | None, pixel_range: Range | None) -> Picture:
    with open_image(path) as file:
        size = oriented_size(file)
        file.draft("RGB", (8 * THUMBNAIL, 8 * THUMBNAIL))
        image = to_rgb(file, path, pixel_range)
    is_blank = len(image.getcolors(maxcolors=2) or ()) == 1
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    digest = blake2b(path.read_bytes(), digest_size=16).digest()
    return Picture(path, split, label, size, np.asarray(small), is_blank, digest)


def find_near(thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of thumbnails (N, 8, 8, 3) uint8 that are the same but for brightness and contrast.

    Unlike with hashes of 64 bits, there are no accidental pairs among plain drawings, and a matrix
    product compares 20,000 images in seconds.
    """
    vectors = thumbnails.reshape(len(thumbnails), THUMBNAIL**2 * 3).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(vectors), CHUNK):
        correlations = vectors[start : start + CHUNK] @ vectors[start:].T
        rows, columns = np.nonzero(correlations > MIN_CORRELATION)
        is_new = columns > rows
        firsts, seconds = (rows[is_new] + start).tolist(), (columns[is_new] + start).tolist()
        pairs += zip(firsts, seconds, strict=True)
        if len(pairs) > MAX_PAIRS:
            break
    return pairs


def _note_duplicates(groups: Sequence[Sequence[Picture]], what: str, report: DataReport) -> None:
    """Say how many groups of duplicates there are within and between splits and labels."""
    between = [group for group in groups if len({p.split for p in group}) > 1]
    within = [group for group in groups if len({p.split for p in group}) == 1]
    mixed = [group for group in groups if len({p.label for p in group}) > 1]
    for found, where in (
        (between, "in different splits, so that the metrics are too good"),
        (within, "within a split"),
        (mixed, "with different classes"),
    ):
        if found:
            examples = "; ".join(" = ".join(str(p.path) for p in group[:2]) for group in found[:3])
            noun = "group" if len(found) == 1 else "groups"
            report.note(f"{what} {where}: {len(found):,} {noun} of images: {examples}.")
