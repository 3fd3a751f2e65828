"""The bootstrap: how much a metric would differ on another test set of the same size."""

from collections.abc import Iterator

import numpy as np


def resamples(
    num_samples: int, count: int, *, groups: np.ndarray | None = None, seed: int = 0
) -> Iterator[np.ndarray]:
    """Indices (M,) of samples drawn with replacement, ``count`` times; M is ``num_samples``.

    The same arguments give the same draws, so two models can be compared on each of them.

    Args:
        num_samples: how many samples there are.
        count: how many times to draw.
        groups: (num_samples,) a name for each sample: whole groups are drawn, as samples of a group
            are alike. M then varies with the sizes of the groups.
        seed: of the random numbers.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        for _ in range(count):
            yield generator.integers(num_samples, size=num_samples)
        return
    _, numbers = np.unique(groups, return_inverse=True)
    sizes = np.bincount(numbers)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    for _ in range(count):
        drawn = generator.integers(len(members), size=len(members))
        yield np.concatenate([members[number] for number in drawn])


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of the values of a metric on resamples (N,), without those that are NaN.

    (NaN, NaN) if no value is left.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high
