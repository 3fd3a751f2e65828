"""Metrics of the test set with intervals: of all samples, and of those with something in common."""

import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bootstrap import interval, resamples
from .data import Data
from .evaluation import Criterion, Metrics, Predictions, Scorer
from .splits import group_files

COUNTS, SECONDS = (1000, 500, 200, 100), 20.0
MAX_VALUES, NUM_BINS = 20, 4  # subgroups of names, and of numbers


def make_scorer(criterion: Criterion, outputs: Predictions) -> Scorer:
    """A scorer of what ``evaluate`` gave for all samples, or of what a file has kept of that.

    A criterion whose metrics take long may have a faster ``make_scorer(outputs)`` of its own.
    """
    make_own = getattr(criterion, "make_scorer", None)
    score = make_own(outputs) if make_own else _scorer_of_metrics(criterion, outputs)

    def score_with_loss(indices: np.ndarray) -> Metrics:
        return {"loss": float(outputs["loss"][indices].mean()), **score(indices)}

    return score_with_loss


def _scorer_of_metrics(criterion: Criterion, outputs: Predictions) -> Scorer:
    metrics = criterion.metrics()
    arrays = {name: array for name, array in outputs.items() if array.dtype.kind != "U"}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def score(indices: np.ndarray) -> Metrics:
        chosen = torch.from_numpy(indices)
        metrics.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about classes that a resample does not have
            criterion.update(metrics, {name: array[chosen] for name, array in tensors.items()})
            return {name: float(value) for name, value in metrics.compute().items()}

    try:
        score(np.arange(len(outputs["loss"])))
    except KeyError:  # they need outputs that are not kept, so only the loss has an interval
        return lambda indices: {}
    return score


def score_resamples(score: Scorer, draws: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """The values (count,) of each metric on resamples."""
    rows = [score(indices) for indices in draws]
    return {name: np.array([row[name] for row in rows]) for name in (rows or [{}])[0]}


def affordable_count(score: Scorer, num_samples: int) -> int:
    """How many resamples take at most ``SECONDS`` of the CPU: 1,000, fewer, or none."""
    score(np.arange(num_samples))  # the first takes longer
    start = time.process_time()
    score(np.arange(num_samples))
    seconds = time.process_time() - start
    return next((count for count in COUNTS if count * seconds <= SECONDS), 0)


def metric_intervals(
    score: Scorer, num_samples: int, count: int, groups: np.ndarray | None = None
) -> dict[str, list[float]]:
    """The 95 % interval of each metric, [low, high], from ``count`` resamples.

    A metric that is NaN has none. Resamples repeat samples, which makes some metrics better, such
    as the mAP of a weak detector. If that moves an interval beside the metric's value, the mean
    difference is taken off (the bootstrap's estimate of bias: Efron and Tibshirani 1993, chapter
    10).
    """
    values = score_resamples(score, resamples(num_samples, count, groups=groups))
    on_all = score(np.arange(num_samples)) if values else {}
    found = dict[str, list[float]]()
    for name, array in values.items():
        low, high = interval(array)
        if np.isnan(low):
            continue
        is_beside = not low <= on_all[name] <= high
        bias = float(np.nanmean(array)) - on_all[name] if is_beside else 0.0
        found[name] = [low - bias, high - bias]
    return found


def groups_of_test(data: Data, by: str | None) -> np.ndarray | None:
    """(N,): the group of each test sample, as --group-column or --group-by made them.

    A sample without one is a group of its own. None without ``by``.
    """
    if by is None:
        return None
    names = values_of_test(data, by, "--group-by")
    return np.array([f"sample {i}" if name is None else str(name) for i, name in enumerate(names)])


def values_of_test(data: Data, by: str, flag: str) -> Sequence[Any]:
    """(N,): of each test sample the cell of column ``by``; or of files, see ``group_files``.

    Raises:
        UserError: there is no such column, or the paths do not match.
    """
    if data.test_column is not None:
        return data.test_column(by, flag)
    paths = [Path(data.test.describe(index)) for index in range(len(data.test))]
    return group_files(paths, by, flag)


def find_subgroups(values: Sequence[Any]) -> dict[str, np.ndarray]:
    """The indices of the samples with each value; of many numbers, with a range of values."""
    numbers = np.array([v if isinstance(v, int | float) else np.nan for v in values], dtype=float)
    if len(set(numbers[~np.isnan(numbers)])) > MAX_VALUES // 2:
        edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
        bins = np.where(np.isnan(numbers), -1, np.digitize(numbers, edges))
        parts = {number: np.flatnonzero(bins == number) for number in np.unique(bins)}
        return {
            "(empty)" if number < 0 else _name_range(numbers[part]): part
            for number, part in parts.items()
        }
    names = np.array(["(empty)" if value is None else str(value) for value in values])
    found, counts = np.unique(names, return_counts=True)
    largest = found[np.argsort(-counts, kind="stable")][:MAX_VALUES]
    return {str(name): np.flatnonzero(names == name) for name in largest}


def _name_range(numbers: np.ndarray) -> str:
    return f"{numbers.min():.4g} to {numbers.max():.4g}"


def score_subgroups(
    score: Scorer, subgroups: dict[str, np.ndarray], count: int, groups: np.ndarray | None
) -> list[dict[str, Any]]:
    """For each subgroup: its value, how many samples it has, their metrics and intervals."""
    rows = []
    for value, part in subgroups.items():

        def score_part(indices: np.ndarray, part: np.ndarray = part) -> Metrics:
            return score(part[indices])

        inner = None if groups is None else groups[part]
        intervals = metric_intervals(score_part, len(part), count, inner)
        rows.append({"value": value, "samples": len(part)} | score(part) | {"intervals": intervals})
    return rows
