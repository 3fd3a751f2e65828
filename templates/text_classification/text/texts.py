"""Texts with their classes, and their splits."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..engine.splits import SplitSettings, split_classes


@dataclass(frozen=True)
class Texts:
    """Texts, the number of each one's class, and where each is from."""

    texts: list[str]
    labels: list[int]
    places: list[str]
    groups: list[Hashable] | None = None
    """Texts of the same group stay in the same split."""
    column: Callable[[str, str], list[Any]] | None = None
    """The cells of a column of the table, of every text."""

    def take(self, indices: Sequence[int]) -> "Texts":
        """Some of them."""
        return Texts(
            [self.texts[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.places[i] for i in indices],
            column=self.column and partial(_take, self.column, indices),
        )


def _take(
    column: Callable[[str, str], list[Any]], indices: Sequence[int], name: str, flag: str
) -> list[Any]:
    cells = column(name, flag)
    return [cells[i] for i in indices]


def split_texts(
    splits: Mapping[str, Texts], classes: list[str], settings: SplitSettings
) -> dict[str, Texts]:
    """Split off "train" what is missing, every class in the same proportion."""
    train, missing = splits["train"], [name for name in ("val", "test") if name not in splits]
    indices = split_classes(train.labels, classes, settings, missing, "texts", train.groups)
    return {**splits, **{name: train.take(chosen) for name, chosen in indices.items()}}
