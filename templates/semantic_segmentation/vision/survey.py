"""The numbers that masks have, and which of them are classes, where no classes.json says it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..engine.data_report import DataReport
from ..engine.errors import UserError, join_errors
from .decoding import open_image
from .legend import IGNORED, Legend, Value, read_legend
from .masks import palette_of, to_numbers
from .threads import try_all

MAX_CLASSES = 254
MIN_PIXELS = 10, 1e-6  # of all masks, or share of them: a number in fewer is a slip
MIN_SOLID = 0.05  # share of a class's pixels that are the corner of 2 × 2 equal ones
NUM_SOFT = 4  # so many numbers that only occur at edges show that the edges are smoothed
MIN_CONTRAST = 32  # between two numbers whose edges are smoothed
NUM_SHOWN = 8


@dataclass(frozen=True)
class MaskNumbers:
    """The numbers in a mask."""

    path: Path
    size: tuple[int, int]
    """Width and height in pixels."""
    counts: dict[int, int]
    """The pixels that have each number."""
    solid: dict[int, int]
    """Those whose neighbors to the right, below, and below to the right are equal."""
    colors: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Of the numbers that are positions in a palette."""
    is_lossy: bool = False
    """Whether the format changes the numbers, as JPEG does."""


def make_legend(
    root: Path, masks: Sequence[Path], report: DataReport
) -> tuple[Legend, list[MaskNumbers]]:
    """The classes in ``classes.json`` in the folder ``root``, else the numbers in the ``masks``.

    Also what was found in the masks; nothing with a ``classes.json``. A UserError if the file is
    wrong, a mask cannot be used, or there is only one class.
    """
    path = root / "classes.json"
    if path.is_file():
        return read_legend(path), []
    numbers, errors = try_all(_look, masks, "reading masks")
    if errors:
        raise join_errors(errors, len(masks), "masks")
    _refuse_other_palettes(numbers)
    counts, solid = Counter[int](), Counter[int]()
    for mask in numbers:
        counts.update(mask.counts)
        solid.update(mask.solid)
    is_lossy = any(mask.is_lossy for mask in numbers)
    if is_lossy or is_smoothed(counts, solid):
        return _snap(counts, solid, path, is_lossy, report), numbers
    return _number(counts, path, report), numbers


def _look(path: Path) -> MaskNumbers:
    with open_image(path) as file:
        numbers = to_numbers(file, path)
        counts = _count(numbers)
        colors: dict[int, tuple[int, ...]] = {}
        if file.mode == "P":
            palette = palette_of(file)
            colors = {number: tuple(palette[number].tolist()) for number in counts}
        solid = counts
        if len(counts) > 3:
            corner = numbers[:-1, :-1]
            is_solid = (corner == numbers[1:, :-1]) & (corner == numbers[:-1, 1:])
            solid = _count(corner[is_solid & (corner == numbers[1:, 1:])])
        is_lossy = file.format in ("JPEG", "MPO")
    height, width = numbers.shape
    return MaskNumbers(path, (width, height), counts, solid, colors, is_lossy)


def _count(numbers: np.ndarray) -> dict[int, int]:
    if numbers.dtype == np.uint8:  # ten times as fast
        counts = np.bincount(numbers.ravel(), minlength=256)
        return {number: count for number, count in enumerate(counts.tolist()) if count}
    found, counts = np.unique(numbers, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _refuse_other_palettes(masks: Sequence[MaskNumbers]) -> None:
    """Raises a UserError if a number has different colors in two masks."""
    known: dict[int, tuple[tuple[int, ...], Path]] = {}
    for mask in masks:
        for number, color in mask.colors.items():
            other, path = known.setdefault(number, (color, mask.path))
            if other != color and len(set(mask.colors.values())) == len(mask.colors):
                raise UserError(
                    f"The palettes of the masks differ: number {number} is {list(other)} in "
                    f"{path}, but {list(color)} in {mask.path}. Name the colors in classes.json: "
                    '{"road": [128, 64, 128], "sky": [70, 130, 180]}'
                )


def is_smoothed(counts: Counter[int], solid: Counter[int]) -> bool:
    """Whether several numbers occur at edges only, which smoothing makes."""
    soft = [number for number in counts if solid[number] < MIN_SOLID * counts[number]]
    return len(soft) >= NUM_SOFT and len(counts) - len(soft) >= 2


def _snap(
    counts: Counter[int], solid: Counter[int], path: Path, is_lossy: bool, report: DataReport
) -> Legend:
    """Two classes; a number between them is the nearer one.

    A UserError if there are not two numbers, far apart, that most pixels are near to.
    """
    levels = find_levels(counts, solid)
    reason = "saved as JPEG" if is_lossy else "smoothed at the edges"
    if len(levels) != 2 or max(levels) - min(levels) < MIN_CONTRAST or min(counts) < 0:
        raise UserError(
            f"The masks were {reason}, which makes other numbers of the classes' numbers: "
            f"{_shares(counts)}. Save them as PNG, without smoothing (resize with nearest "
            f"neighbor), or with two far numbers only, such as 0 and 255."
        )
    low, high = sorted(levels)
    values: dict[Value, int] = {
        number: int(number - low >= high - number) for number in range(max(256, max(counts) + 1))
    }
    between = 1 - (counts[low] + counts[high]) / counts.total()
    report.note(
        f"The masks were {reason}: {between:.1%} of their pixels are neither {low} nor {high}. "
        f"Each counts as the nearer of the two; {low} is class 0 and {high} class 1."
    )
    return Legend([str(low), str(high)], values)


def find_levels(counts: Counter[int], solid: Counter[int]) -> list[int]:
    """The numbers that most pixels have or are near to, the most frequent first."""
    reach = max(1, (max(counts) - min(counts)) // 8)
    near: Counter[int] = Counter()
    for number, _ in Counter({number: solid[number] for number in counts}).most_common():
        level = next((other for other in near if abs(other - number) <= reach), number)
        near[level] += solid[number]
    second = near.most_common(2)[-1][1]
    return [level for level, count in near.most_common() if count >= second / 10]


def _number(counts: Counter[int], path: Path, report: DataReport) -> Legend:
    """A class for each number that occurs often enough.

    A UserError if there are too few or too many.
    """
    enough = max(MIN_PIXELS[0], MIN_PIXELS[1] * counts.total())
    slips = sorted(number for number in counts if counts[number] < enough)
    kept = sorted(number for number in counts if counts[number] >= enough)
    others = [number for number in kept if number != IGNORED]
    # Beside few small numbers 255 is no class; as the highest of some grays it is one.
    is_small = len(others) > 1 and max(others) < max(64, 2 * len(others))
    is_ignored = IGNORED in kept and (is_small or others == [])
    classes = others if is_ignored else kept
    if not 2 <= len(classes) <= MAX_CLASSES:
        what = "one class only" if len(classes) < 2 else f"{len(classes):,} different numbers"
        raise UserError(
            f"The masks have {what}: {_shares(counts)}; {IGNORED} alone is ignored. There must be "
            f"from 2 to {MAX_CLASSES} classes. To name others, write for example "
            '{"ground": 0, "object": 255} into ' + f"{path}."
        )
    values: dict[Value, int] = {number: place for place, number in enumerate(classes)}
    values |= dict.fromkeys(slips, IGNORED)
    values.setdefault(IGNORED, IGNORED)
    shown = _shares(counts, classes)
    report.note(f"Classes are the numbers in the masks, with shares of pixels: {shown}.")
    if is_ignored:
        share = counts[IGNORED] / counts.total()
        report.note(f"In the masks, {IGNORED} is ignored ({share:.2%} of the pixels).")
    if slips:
        report.note(
            f"Pixels of the masks with the numbers {', '.join(map(str, slips[:NUM_SHOWN]))} are "
            f"ignored, because fewer than {enough:,.0f} pixels have them."
        )
    return Legend([str(number) for number in classes], values)


def _shares(counts: Counter[int], numbers: Sequence[int] = ()) -> str:
    """Some of the numbers, by default the most frequent ones, with their shares of the pixels."""
    numbers = numbers or [number for number, _ in counts.most_common()]
    listed = [f"{n} ({100 * counts[n] / counts.total():.2g} %)" for n in numbers[:NUM_SHOWN]]
    return ", ".join(listed) + (", ..." if len(numbers) > NUM_SHOWN else "")
