"""Trials of the code: a few batches, the same batches again, and names for bad gradients."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Train, rows, same, weights
from torch import Tensor, nn

from {{ cookiecutter.__package }} import train as training
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine.data import StepSampler, map_tensors
from {{ cookiecutter.__package }}.engine.device import resolve
from {{ cookiecutter.__package }}.engine.distributed import Distributed
from {{ cookiecutter.__package }}.engine.run import Run
from {{ cookiecutter.__package }}.engine.settings import (
    DebugSettings,
    RunSettings,
)
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import (
    make_data,
    make_train_loader,
)


def tensors(batches: Any) -> list[Tensor]:
    """All tensors in some batches."""
    found: list[Tensor] = []
    map_tensors(list(batches), found.append)
    return found


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


@pytest.mark.parametrize("lengths", [None, list(range(100))])
def test_a_limited_epoch_is_the_beginning_of_the_whole_one(lengths: list[int] | None) -> None:
    def order(**limit: int) -> list[int]:
        sampler = StepSampler(100, 12, 0, Distributed(), lengths=lengths, **limit)
        assert len(list(sampler)) == len(sampler) == sampler.num_steps
        return [index for batch in sampler for index in batch.indices.tolist()]

    assert order(max_steps=3) == order()[:36]
    assert order(max_steps=99) == order()


def test_overfitting_sees_the_same_batches_in_every_epoch() -> None:
    hparams, settings = Hyperparameters(batch_size=8), RunSettings(device="cpu")
    hardware, data = resolve(settings, frozenset()), make_data(hparams)

    def epochs(debug: DebugSettings) -> list[list[Tensor]]:
        run = Run(Path(), settings, hardware, Distributed(), limits=debug.limits(8))
        loader = make_train_loader(data, hparams, run)
        assert loader.steps_per_epoch == 2
        return [tensors(loader.steps(epoch)) for epoch in (0, 1)]

    assert equal(*epochs(DebugSettings(overfit_batches=2)))
    assert not equal(*epochs(DebugSettings(limit_batches=2)))


def test_a_trial_says_so_and_is_resumed_exactly_and_with_its_limits_only(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train("trial", "--overfit-batches", "2")
    assert capsys.readouterr().err.count("only a trial of the code (--overfit-batches 2)") == 2
    assert [row["step"] for row in rows(whole)] == [2, 4]
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", interrupt_in_step(4))
        cut = train("cut", "--overfit-batches", "2", exit_code=128 + signal.SIGINT)
    train("cut", "--resume", "cut", "--limit-batches", "1", exit_code=2)
    assert "limit-batches was None, now it is 1" in capsys.readouterr().err
    train("cut", "--resume", "cut")
    assert rows(cut) == rows(whole) and same(weights(cut), weights(whole))


def interrupt_in_step(number: int) -> Callable[..., Any]:
    original, steps = training.train_step, iter(range(1, 1000))

    def train_step(*arguments: Any) -> Any:
        if next(steps) == number:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    return train_step


def test_a_fast_run_is_one_step_with_everything_after_it(train: Train) -> None:
    run = train("fast", "--fast-dev-run", "--report")
    assert [row["step"] for row in rows(run)] == [1]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "only a trial of the code (--limit-batches 1)" in page
    assert "Some figures are missing" not in page


def test_the_operation_with_a_bad_gradient_is_named(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Criterion.loss

    def loss(self: Criterion, model: nn.Module, batch: Any) -> Tensor:
        value = original(self, model, batch)
        return value + (0 * value).sqrt()

    monkeypatch.setattr(Criterion, "loss", loss)
    with pytest.raises(RuntimeError, match="MulBackward0"):
        train("anomaly", "--detect-anomaly")
    assert not torch.is_anomaly_enabled()
