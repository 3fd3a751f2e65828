"""Runs side by side: which belong together, and how sure it is that one is better.

The difference of two runs is looked at on the same resamples of the same samples. What is hard in a
resample is hard for both, so the difference varies far less than each of the metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bootstrap import interval, resamples
from .evaluation import Criterion, Predictions
from .intervals import affordable_count, make_scorer, score_resamples
from .run_records import RunRecord

REPEATED = ("seed", "split_seed", "fold")
"""What may differ between runs that are shown as mean and spread."""
FEWEST = 100  # resamples from which there are intervals
MANY = 10  # more runs than these have fewer resamples, so that it does not take longer


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed or in the fold; mostly it is one run."""

    records: list[RunRecord]

    @property
    def name(self) -> str:
        """The name of the first, and how many more there are."""
        more = len(self.records) - 1
        return self.records[0].name + (f" and {more} more" if more else "")


def group_records(records: Sequence[RunRecord]) -> list[Group]:
    """The runs in groups. Two runs of the same seed and fold are never in one."""
    groups: list[Group] = []
    for record in records:
        for group in groups:
            first, members = group.records[0], [repeated(each) for each in group.records]
            is_same = rest(first) == rest(record) and trained_as_long(first, record)
            if is_same and repeated(record) not in members:
                group.records.append(record)
                break
        else:
            groups.append(Group([record]))
    return groups


def repeated(record: RunRecord) -> list[Any]:
    """The values that may differ within a group."""
    return [record.values.get(name) for name in REPEATED]


def rest(record: RunRecord) -> dict[str, Any]:
    """The values that are the same within a group."""
    varying = (*REPEATED, "epochs")
    return {name: value for name, value in record.decisive.items() if name not in varying}


def trained_as_long(one: RunRecord, other: RunRecord) -> bool:
    """Whether they have the same number of epochs; where folds differ in size, about the same."""
    first, second = (record.values.get("epochs") for record in (one, other))
    if one.values.get("fold") == other.values.get("fold") or not (first and second):
        return bool(first == second)
    return bool(0.9 < first / second < 1.1)


@dataclass(frozen=True)
class Scores:
    """The metrics of a run."""

    test_set: int
    """Runs with the same number here were judged on the same samples."""
    values: dict[str, float]
    """On all samples."""
    resampled: dict[str, np.ndarray]
    """On each of the resamples (count,)."""


def score_runs(
    criteria: Sequence[Criterion], outputs: Sequence[Predictions], count: int | None = None
) -> list[Scores]:
    """The metrics of each run, from what ``evaluate`` gave for each of its samples.

    ``count`` is the number of resamples; None: as many as there is time for.
    """
    scorers = [
        make_scorer(criterion, {name: a for name, a in each.items() if a.dtype.kind != "U"})
        for criterion, each in zip(criteria, outputs, strict=True)
    ]
    sizes = [len(each["loss"]) for each in outputs]
    if count is None:
        count = min(affordable_count(*pair) for pair in zip(scorers, sizes, strict=True))
        count = max(FEWEST, count * MANY // max(MANY, len(scorers)))
    found = []
    for score, size, mine in zip(scorers, sizes, outputs, strict=True):
        number = next(i for i, other in enumerate(outputs) if same_samples(mine, other))
        draws = resamples(size, count, groups=mine.get("group"), seed=number)
        found.append(Scores(number, score(np.arange(size)), score_resamples(score, draws)))
    return found


def same_samples(one: Predictions, other: Predictions) -> bool:
    """Whether two runs were judged on the same samples, in the same order."""
    if len(one["loss"]) != len(other["loss"]):
        return False
    if not np.array_equal(one.get("place", 0), other.get("place", 0)):
        return False
    target, others = (each.get("target", np.zeros(0)) for each in (one, other))
    return target.ndim != 1 or bool(np.allclose(target, others, rtol=1e-4))


@dataclass(frozen=True)
class Difference:
    """By how much a metric of a group is above that of another, with its 95 % interval."""

    value: float
    low: float
    high: float

    def judge(self, lower_is_better: bool) -> str:
        """What is shown by it."""
        if self.low <= 0 <= self.high:
            return "no difference shown"
        return "worse" if (self.low > 0) == lower_is_better else "better"


def differences(one: Sequence[Scores], base: Sequence[Scores]) -> dict[str, Difference]:
    """How far the metrics of a group are above those of another; empty without common samples."""
    common = {each.test_set for each in one} & {each.test_set for each in base}
    found = {}
    for name in one[0].values if common else ():
        value = _mean(one, name, common) - _mean(base, name, common)
        resampled = _resampled_mean(one, name, common, 0) - _resampled_mean(base, name, common, 1)
        low, high = interval(resampled)
        if not np.isnan([value, low, high]).any():
            found[name] = Difference(value, low, high)
    return found


def _mean(scores: Sequence[Scores], name: str, test_sets: set[int]) -> float:
    """The mean over runs of each test set, and then over the test sets (folds)."""
    parts = [[s.values[name] for s in scores if s.test_set == number] for number in test_sets]
    return float(np.mean([np.mean(part) for part in parts]))


def _resampled_mean(
    scores: Sequence[Scores], name: str, test_sets: set[int], seed: int
) -> np.ndarray:
    """The same (count,) on each resample, for which runs of several seeds are drawn again too."""
    generator, means = np.random.default_rng(seed), []
    for number in sorted(test_sets):
        runs = np.stack([s.resampled[name] for s in scores if s.test_set == number])
        drawn = generator.integers(len(runs), size=runs.shape)
        means.append(np.take_along_axis(runs, drawn, 0).mean(0))
    mean: np.ndarray = np.mean(means, axis=0)
    return mean
