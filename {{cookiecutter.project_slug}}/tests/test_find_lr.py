"""The proposed learning rate follows from the curve alone, and training takes it as typed."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.__package }}.cli.arguments import parse
from {{ cookiecutter.__package }}.cli.find_lr import (
    Curve,
    has_diverged,
    propose,
)
from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.cli.train import TrainArguments
from {{ cookiecutter.__package }}.engine.errors import TrainingFailed

QUICK = ["--device", "cpu", "--precision", "fp32", "--steps", "50"]


def a_curve(half_way: float, noise: float = 0.05, seed: int = 0) -> Curve:
    """A loss that falls from 2 to 1, is half way at that rate, and explodes ten times later."""
    lrs = np.geomspace(1e-7, 10, 100)
    exponents = np.log10(lrs / half_way)
    losses = 1 + 1 / (1 + np.exp(5 * exponents)) + np.exp(4 * (exponents - 1.5))
    return Curve(lrs, losses + np.random.default_rng(seed).normal(0, noise, 100))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("half_way", [1e-5, 3e-4, 1e-2, 0.3])
def test_the_proposal_is_where_the_loss_has_fallen_half_way(half_way: float, seed: int) -> None:
    proposal = propose(a_curve(half_way, seed=seed))
    assert half_way / 2 < proposal < 2 * half_way


@pytest.mark.parametrize(
    "change", [lambda loss: 1000 * loss, lambda loss: loss / 1000, lambda loss: loss - 5]
)
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_the_unit_of_the_loss_does_not_matter(
    change: Callable[[np.ndarray], np.ndarray], noise: float
) -> None:
    curve = a_curve(1e-3, noise)
    assert propose(Curve(curve.lrs, change(curve.losses))) == propose(curve)


@pytest.mark.parametrize("length", [1, 2, 5, 20, 60, 100])
@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_losses_the_proposal_is_a_rate_that_was_tried(length: int, seed: int) -> None:
    lrs = np.geomspace(1e-7, 10, 100)[:length]
    curve = Curve(lrs, np.random.default_rng(seed).lognormal(0, 3, length))
    try:
        assert propose(curve) in lrs
    except TrainingFailed as error:
        assert "did not fall" in str(error)


@pytest.mark.parametrize(
    ("losses", "words"),
    [([], "at the first step"), ([1.0] * 50, "did not fall"), (range(1, 51), "did not fall")],
)
def test_a_curve_that_says_nothing_is_refused(losses: list[float], words: str) -> None:
    curve = Curve(np.geomspace(1e-7, 10, 100)[: len(losses)], np.array(losses, dtype=float))
    with pytest.raises(TrainingFailed, match=words):
        propose(curve)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_test_ends_at_four_times_the_lowest_loss(scale: float) -> None:
    assert not has_diverged([scale * loss for loss in [2.0, 1.5, 1.0] + [3.0] * 30])
    assert has_diverged([scale * loss for loss in [2.0, 1.5, 1.0] + [9.0] * 30])
    assert has_diverged([1.0, math.nan])
    assert not has_diverged([-1.0, -2.0, -3.0])


def test_the_command_leaves_a_figure_and_a_flag_that_training_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["find-lr", *QUICK, "--output", "curve.png"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    again = ["--learning-rate", "1e-9", "--ema-decay", "0.9", "--output", "curve.png"]
    assert main(["find-lr", *QUICK, *again]) == 0
    first, second = re.findall(r"Proposal: .* (--learning-rate \S+)", capsys.readouterr().out)
    assert first == second
    assert 1e-7 < parse(TrainArguments, "train", first.split()).learning_rate < 10


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--output", "nowhere/curve.png"], "folder that exists"),
        (["--steps", "3"], "greater than or equal to 50"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused(
    flags: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["find-lr", "--device", "cpu", *flags]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
