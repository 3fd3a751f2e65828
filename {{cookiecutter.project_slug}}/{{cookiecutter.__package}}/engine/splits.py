"""Cutting the data into "train", "val" and "test" by a seed, and the order of classes."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from .errors import UserError
from .seeding import mix_seed

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
"""Names that the user's files and folders may have."""


class SplitSettings(Protocol):
    """The hyperparameters that decide which sample belongs to which split."""

    @property
    def val_fraction(self) -> float: ...
    @property
    def test_fraction(self) -> float: ...
    @property
    def split_seed(self) -> int: ...


def split_indices(
    num_samples: int,
    settings: SplitSettings,
    labels: Sequence[int] | None = None,
    missing: Sequence[str] = ("val", "test"),
) -> dict[str, list[int]]:
    """Cut 0..num_samples-1 into "train" and the ``missing`` splits, by ``settings.split_seed``.

    With ``labels``, every label is spread over all splits in the same proportion (stratified).

    Raises:
        UserError: the fractions leave nothing to train on.
    """
    if settings.val_fraction + settings.test_fraction >= 1:
        raise UserError(
            "--val-fraction and --test-fraction leave nothing to train on. Their sum must be below "
            f"1, but it is {settings.val_fraction + settings.test_fraction:g}."
        )
    generator = torch.Generator().manual_seed(mix_seed(settings.split_seed))
    order = torch.randperm(num_samples, generator=generator).tolist()
    groups: dict[int, list[int]] = {}
    for index in order:
        groups.setdefault(labels[index] if labels is not None else 0, []).append(index)
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits: dict[str, list[int]] = {name: [] for name in ("train", *missing)}
    for members in groups.values():
        start = 0
        for name in missing:
            count = max(1, round(len(members) * fractions[name]))
            splits[name] += members[start : start + count]
            start += count
        splits["train"] += members[start:]
    return {name: sorted(indices) for name, indices in splits.items()}


def split_classes(
    labels: Sequence[int],
    names: Sequence[str],
    settings: SplitSettings,
    missing: Sequence[str],
    noun: str,
) -> dict[str, list[int]]:
    """``split_indices`` with every class in the same proportion.

    Args:
        labels: the class of each sample, as an index into ``names``.
        names: of the classes.
        settings: fractions and seed.
        missing: the splits that the user's data does not have.
        noun: what a sample is called in messages: images, rows.

    Raises:
        UserError: a class has too few samples to be in all splits.
    """
    counts = Counter(labels)
    for number, name in enumerate(names):
        if missing and counts[number] <= len(missing):
            raise UserError(
                f"The class {name!r} has too few {noun} ({counts[number]}) to be split into train, "
                f"{' and '.join(missing)}. Add some, or leave out the class."
            )
    return split_indices(len(labels), settings, labels, missing)


def order_classes(names: Iterable[str]) -> list[str]:
    """Each name once, in order; 2 comes before 10 where classes are numbers."""
    numbers = {name: int(name) if name.isdecimal() else math.inf for name in names}
    return sorted(numbers, key=lambda name: (numbers[name], name))
