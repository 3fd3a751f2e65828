"""The short version of `python -m benchmarks.quality`: the defaults keep up with the baselines."""

from pathlib import Path

import pytest
from conftest import Render

from benchmarks.quality import tables
from benchmarks.quality.common import TOLERANCE, trainer
from benchmarks.quality.table_sources import SOURCES, TABLES


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "wine"])
def test_the_default_for_tables_is_not_behind_the_better_of_two_baselines(
    name: str, render: Render, tmp_path: Path
) -> None:
    project = render(tmp_path, task="tabular_regression")

    # The mean of two splits, as in the whole comparison: in one split of the wines, one mistake
    # alone would be more than the tolerance.
    with trainer(project) as train:
        result = tables.measure(TABLES[name], train, splits=2, flags=[])

    assert result.margin > -TOLERANCE, result
    assert not result.is_slow


def test_unseen_tables_are_chosen_by_their_names() -> None:
    unseen = [source.name for source in SOURCES if source.is_unseen]

    assert len(TABLES) == len(SOURCES) and len(unseen) >= 10
    assert "computers" in unseen and "wages" not in unseen
