"""The default for a team's own images costs no quality: a short version of benchmarks/quality."""

from pathlib import Path

from conftest import Render

from benchmarks.quality.image_sets import SETS, write_set
from benchmarks.quality.images import train


def test_the_default_augmentation_costs_nothing_on_digits(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path, task="image_classification")
    write_set(SETS["digits-28"], tmp_path / "digits")

    trainings = train(project, tmp_path / "digits", ["auto", "none"], 1, ["--epochs", "5"])

    accuracy = {choice: accuracy for choice, accuracy, *_ in trainings}
    assert accuracy["auto"] >= accuracy["none"] - 0.01
    assert accuracy["auto"] >= 0.95
