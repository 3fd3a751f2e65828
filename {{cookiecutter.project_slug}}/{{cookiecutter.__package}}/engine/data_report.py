"""What was read from the user's data, and what was done with it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

NUM_EXAMPLES = 3
QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}


class DataReport:
    """Filled while the data is read; shown before training, in data.json and in the report.

    Readers add to it whatever they do that a user would not expect of them. A fault that makes the
    data useless is a ``UserError`` instead.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        """Sentences: what was left out, changed or looks wrong."""
        self.columns: dict[str, str] = {}
        """How each column of a table was read."""
        self.classes: dict[str, dict[str, int]] = {}
        """For each split, how many samples (or boxes) each class has."""
        self.values: dict[str, dict[str, np.ndarray]] = {}
        """What is drawn as histograms: {"width in pixels": {"train": (N,), "val": ...}}."""

    def note(self, sentence: str) -> None:
        """Add a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def note_some(
        self, what: str, faults: Sequence[object], total: int, noun: str, plural: str = ""
    ) -> None:
        """Add "what: 5 of 344 rows, for example ...", if there are any; see ``some``."""
        if faults:
            self.note(f"{what}: {some(faults, total, noun, plural)}.")

    def count_classes(self, split: str, labels: Iterable[int], names: Sequence[str]) -> None:
        """Count the samples of each class of a split; say which classes it does not have."""
        counts = Counter(labels)
        self.classes[split] = {name: counts[number] for number, name in enumerate(names)}
        absent = [name for name, count in self.classes[split].items() if not count]
        if absent:
            self.note(f"{split} has no sample of {some(absent, len(names), 'class', 'classes')}.")

    def lines(self, limit: int | None = None) -> list[str]:
        """The report as text; longer lists than ``limit`` are cut, with a word about that."""
        lines = [f"{split}: {_join(counts)}" for split, counts in self.classes.items()]
        lines += _cut([f"{name}: {how}" for name, how in self.columns.items()], limit, "columns")
        return lines + _cut([f"Note: {note}" for note in self.notes], limit, "notes")

    def to_json(self) -> dict[str, Any]:
        """Everything, with the distributions as quantiles."""
        values = {
            name: {split: summarize(numbers) for split, numbers in splits.items()}
            for name, splits in self.values.items()
        }
        known = {"classes": self.classes, "columns": self.columns, "distributions": values}
        return {name: value for name, value in known.items() if value} | {"notes": self.notes}


def some(
    faults: Sequence[object], total: int, noun: str, plural: str = "", example: str = ""
) -> str:
    """Faults with their count and the first few: "5 of 344 rows, for example row 5, 17, 80".

    Args:
        faults: the name or number of each thing that has the fault.
        total: how many things there are.
        noun: what one is called.
        plural: of the noun; by default with an s.
        example: the word before the names; by default the noun if the faults are numbers.
    """
    word = noun if total == 1 else plural or f"{noun}s"
    example = example or (noun if isinstance(faults[0], int | np.integer) else "")
    named = ", ".join(str(fault) for fault in faults[:NUM_EXAMPLES])
    listed = " ".join(filter(None, [example, named]))
    many = len(faults) > NUM_EXAMPLES
    return f"{len(faults):,} of {total:,} {word}{', for example' if many else ':'} {listed}"


def summarize(numbers: np.ndarray) -> dict[str, float]:
    """How many there are, and their quantiles."""
    if not len(numbers):
        return {"count": 0}
    found = np.quantile(np.asarray(numbers, dtype=np.float64), list(QUANTILES.values()))
    return {"count": len(numbers)} | dict(zip(QUANTILES, found.tolist(), strict=True))


def _join(counts: Mapping[str, int], limit: int = 12) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:limit]]
    more = [f"and {len(counts) - limit:,} more classes"] if len(counts) > limit else []
    return ", ".join(shown + more)


def _cut(lines: list[str], limit: int | None, noun: str) -> list[str]:
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[:limit], f"... and {len(lines) - limit:,} more {noun}, all in data.json"]
