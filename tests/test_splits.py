"""Splits of a rendered project, whatever the data: a property test of folds and groups."""

import importlib
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Render
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def splits(rendered: Render) -> Iterator[Any]:
    """The module `engine.splits` of a rendered project."""
    project: Path = rendered(project_slug="split-project")
    sys.path.insert(0, str(project))
    yield importlib.import_module("split_project.engine.splits")
    sys.path.remove(str(project))


def settings_of(seed: int, fold: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(val_fraction=0.2, test_fraction=0.2, split_seed=seed, fold=fold)


@settings(deadline=None, max_examples=30)
@given(
    groups=st.lists(st.integers(0, 30), min_size=40, max_size=120),
    num_classes=st.integers(1, 4),
    count=st.integers(2, 5),
    seed=SEEDS,
)
def test_folds_are_disjoint_complete_and_no_group_is_in_two(
    splits: Any, groups: list[int], num_classes: int, count: int, seed: int
) -> None:
    if len(set(groups)) < 3 * count:
        groups = [index % (3 * count) for index in range(len(groups))]
    labels = [index * 7 % num_classes for index in range(len(groups))]
    tested: list[int] = []
    for number in range(1, count + 1):
        chosen = settings_of(seed, f"{number}/{count}")
        parts = splits.split_indices(len(groups), chosen, labels, groups=groups)
        assert sorted(chain(*parts.values())) == list(range(len(groups)))
        of_part = [{groups[index] for index in part} for part in parts.values()]
        assert len(set.union(*of_part)) == sum(map(len, of_part))
        tested += parts["test"]
    assert sorted(tested) == list(range(len(groups)))


@settings(deadline=None, max_examples=30)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=80), seed=SEEDS)
def test_without_folds_and_groups_every_class_is_spread_evenly(
    splits: Any, labels: list[int], seed: int
) -> None:
    labels = labels + [0, 1, 2, 3] * 3
    parts = splits.split_indices(len(labels), settings_of(seed), labels)
    assert sorted(chain(*parts.values())) == list(range(len(labels)))
    for label in range(4):
        total = labels.count(label)
        for name in ("val", "test"):
            found = sum(labels[index] == label for index in parts[name])
            assert found == max(1, round(0.2 * total))
