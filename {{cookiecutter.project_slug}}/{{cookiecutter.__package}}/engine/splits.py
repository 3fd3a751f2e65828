"""Cutting the data into "train", "val" and "test" by a seed, and the order of classes."""

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from .data_report import DataReport, some
from .errors import UserError
from .seeding import mix_seed

# Names that the user's files and folders may have: Training, test_set, val2017, valid, dev.
SPLIT_NAME = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<val>val(?:id(?:ation)?)?|dev(?:el)?)|(?P<test>test(?:ing)?)"
    r"|(?P<unlabeled>unsup(?:ervised)?|unlabell?ed))"
    r"(?:[ _-]?(?:set|data|split|images|imgs|labels))?(?:[ _-]?\d{1,4})?",
    re.IGNORECASE,
)


class SplitSettings(Protocol):
    """The hyperparameters that decide which sample belongs to which split."""

    @property
    def val_fraction(self) -> float: ...
    @property
    def test_fraction(self) -> float: ...
    @property
    def split_seed(self) -> int: ...
    @property
    def fold(self) -> str | None: ...


def split_of(name: str) -> str | None:
    """What a name of a folder, or of a file without its suffix, means in all tasks.

    "train", "val" or "test"; "unlabeled" for samples without classes; None for other names.
    """
    match = SPLIT_NAME.fullmatch(name.strip())
    return match.lastgroup if match else None


def find_splits(paths: Iterable[Path]) -> dict[str, Path]:
    """Those of the files or folders whose names are names of splits, by their split.

    Raises:
        UserError: two of them are the same split.
    """
    found: dict[str, Path] = {}
    for path in sorted(paths):
        split = split_of(path.name if path.is_dir() else path.name.partition(".")[0])
        if split in found:
            raise UserError(
                f"{path.parent} has both {found[split].name} and {path.name}, which are names of "
                f"the same split ({split}). Keep one, or rename the other."
            )
        if split:
            found[split] = path
    return found


def split_indices(
    num_samples: int,
    settings: SplitSettings,
    labels: Sequence[int] | None = None,
    missing: Sequence[str] = ("val", "test"),
    groups: Sequence[Hashable] | None = None,
) -> dict[str, list[int]]:
    """Cut 0..num_samples-1 into "train" and the ``missing`` splits, by ``settings.split_seed``.

    With ``labels``, every label is spread over all splits in the same proportion (stratified).
    With ``groups``, samples of the same group stay in the same split. With ``settings.fold``, the
    test set is that fold (or the validation set, if the data has a test set of its own).

    Raises:
        UserError: the fractions leave nothing to train on, there are too few groups, or the data
            leaves nothing to cut into folds.
    """
    if settings.val_fraction + settings.test_fraction >= 1:
        raise UserError(
            "--val-fraction and --test-fraction leave nothing to train on. Their sum must be below "
            f"1, but it is {settings.val_fraction + settings.test_fraction:g}."
        )
    if settings.fold and not missing:
        raise UserError(
            "--fold cuts the data into parts, but this data has its own validation and test sets. "
            "Leave out --fold, or put all samples together."
        )
    if missing and (settings.fold or groups is not None):
        return _split_folds(num_samples, settings, labels, missing, groups)
    generator = torch.Generator().manual_seed(mix_seed(settings.split_seed))
    order = torch.randperm(num_samples, generator=generator).tolist()
    strata: dict[int, list[int]] = {}
    for index in order:
        strata.setdefault(labels[index] if labels is not None else 0, []).append(index)
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits: dict[str, list[int]] = {name: [] for name in ("train", *missing)}
    for members in strata.values():
        start = 0
        for name in missing:
            count = max(1, round(len(members) * fractions[name]))
            splits[name] += members[start : start + count]
            start += count
        splits["train"] += members[start:]
    return {name: sorted(indices) for name, indices in splits.items()}


def parse_fold(fold: str) -> tuple[int, int]:
    """The number of the fold, from 1, and how many there are: "2/5" is (2, 5)."""
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", fold)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise UserError(
            f"--fold {fold} is not a fold. Type --fold 1/5 for the first of five, up to 5/5."
        )
    return number, count


def _split_folds(
    num_samples: int,
    settings: SplitSettings,
    labels: Sequence[int] | None,
    missing: Sequence[str],
    groups: Sequence[Hashable] | None,
) -> dict[str, list[int]]:
    """``split_indices`` made of folds, one split after the other."""
    rest, splits, share = np.arange(num_samples), dict[str, list[int]](), 1.0
    fractions = {"test": settings.test_fraction, "val": settings.val_fraction}
    for place, name in enumerate(name for name in fractions if name in missing):
        number, count = 1, max(2, round(share / fractions[name]))
        if place == 0 and settings.fold:
            number, count = parse_fold(settings.fold)
        share -= 1 / count
        folds = _fold_numbers(rest, count, labels, groups, settings.split_seed)
        splits[name] = rest[folds == number - 1].tolist()
        rest = rest[folds != number - 1]
    return {"train": rest.tolist()} | splits


def _fold_numbers(
    samples: np.ndarray,
    num_folds: int,
    labels: Sequence[int] | None,
    groups: Sequence[Hashable] | None,
    seed: int,
) -> np.ndarray:
    """The fold of each of the samples, from 0."""
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold  # slow import

    if groups is not None:
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        grouped = np.array([numbers[groups[i]] for i in samples.tolist()])
    units = len(samples) if groups is None else len(np.unique(grouped))
    if units < num_folds:
        noun = "samples" if groups is None else "groups"
        raise UserError(
            f"There are {units} {noun}, too few for {num_folds} parts. Type a --fold with fewer "
            "parts or a larger --val-fraction and --test-fraction, or add data."
        )
    classes = np.zeros(len(samples)) if labels is None else np.array(labels)[samples]
    chosen = {"n_splits": num_folds, "shuffle": True, "random_state": seed}
    folds = np.empty(len(samples), dtype=np.int64)
    if groups is not None:
        cut = StratifiedGroupKFold(**chosen).split(samples, classes, grouped)
    elif labels is not None:
        cut = StratifiedKFold(**chosen).split(samples, classes)
    else:
        cut = KFold(**chosen).split(samples)
    for number, (_, members) in enumerate(cut):
        folds[members] = number
    return folds


def group_files(paths: Sequence[Path], group_by: str) -> list[str]:
    """The group of each file, for ``split_indices``.

    Args:
        paths: the files.
        group_by: "folder", or a regular expression that is searched in the path: files with the
            same match (of its first group, if it has one) belong together.

    Raises:
        UserError: it is not a regular expression, or some paths do not match.
    """
    if group_by == "folder":
        return [str(path.parent) for path in paths]
    try:
        matches = [re.search(group_by, path.as_posix()) for path in paths]
    except re.error as error:
        raise UserError(f"--group-by {group_by!r} is not a regular expression: {error}.") from None
    wrong = [path for path, match in zip(paths, matches, strict=True) if match is None]
    if wrong:
        raise UserError(
            f"--group-by {group_by!r} matches nothing in {len(wrong)} of {len(paths)} paths, for "
            f"example {wrong[0]}. Type a pattern that every path has."
        )
    return [match[min(1, len(match.groups()))] or "" for match in matches if match]


def group_splits(
    splits: Mapping[str, Sequence[Path]], group_by: str | None, report: DataReport
) -> list[str] | None:
    """The group of each training file; says which groups are in two of the user's own splits."""
    if group_by is None:
        return None
    groups = {split: group_files(paths, group_by) for split, paths in splits.items()}
    note_common_groups(groups, f"--group-by {group_by}", report)
    return groups["train"]


def note_common_groups(
    splits: Mapping[str, Iterable[Hashable]], made_by: str, report: DataReport
) -> None:
    """Say which groups are in two splits."""
    groups = {split: set(members) for split, members in splits.items()}
    for first, second in combinations(groups, 2):
        common = sorted(map(str, groups[first] & groups[second]))
        if common:
            found = some(common, len(groups[second]), "group", example="group")
            report.note(f"{second}: {found} of {made_by}, are also in {first}.")


def split_classes(
    labels: Sequence[int],
    names: Sequence[str],
    settings: SplitSettings,
    missing: Sequence[str],
    noun: str,
    groups: Sequence[Hashable] | None = None,
) -> dict[str, list[int]]:
    """``split_indices`` with every class in the same proportion.

    Args:
        labels: the class of each sample, as an index into ``names``.
        names: of the classes.
        settings: fractions and seed.
        missing: the splits that the user's data does not have.
        noun: what a sample is called in messages: images, rows.
        groups: samples of the same group stay in the same split.

    Raises:
        UserError: a class has too few samples to be in all splits.
    """
    counts = Counter(labels)
    rare = [
        f"{name!r} has too few {noun} ({counts[number]})"
        for number, name in enumerate(names)
        if counts[number] <= len(missing)
    ]
    if missing and rare and groups is None:
        more = f", and {len(rare) - 5} more" if len(rare) > 5 else ""
        raise UserError(
            f"The class {', '.join(rare[:5])}{more}, to be split into train, "
            f"{' and '.join(missing)}. Add some, or leave out the class."
        )
    return split_indices(len(labels), settings, labels, missing, groups)


def order_classes(names: Iterable[str]) -> list[str]:
    """Each name once, in order; 2 comes before 10 where classes are numbers."""
    numbers = {name: int(name) if name.isdecimal() else math.inf for name in names}
    return sorted(numbers, key=lambda name: (numbers[name], name))
