"""A run does what it says, can be interrupted anywhere, and loses nothing."""

import json
import math
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Train, rows, same, weights
from torch import Tensor

from {{ cookiecutter.__package }} import train as training
from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.datasets import make_data
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters


def after_step(number: int, do: Callable[[], None]) -> Callable[..., Tensor]:
    """A train_step that calls ``do`` after the given number of steps."""
    original, count = training.train_step, 0

    def train_step(*arguments: Any) -> Tensor:
        nonlocal count
        count += 1
        if count == number:
            do()
        return original(*arguments)

    return train_step


def test_a_run_leaves_its_records_and_checkpoints(trained: Path) -> None:
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert files == {
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "environment.json",
        "hyperparameters.toml",
        "metrics.jsonl",
        "predictions.npz",
    }


def test_the_loss_falls(trained: Path) -> None:
    first, last = rows(trained)
    assert last["train/loss"] < first["train/loss"]
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert last["step"] == 2 * first["step"]


def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    train: Train, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_per_epoch = rows(trained)[0]["step"]
    step_of_signal = steps_per_epoch + steps_per_epoch // 2
    with monkeypatch.context() as patch:
        interrupt = after_step(step_of_signal, lambda: signal.raise_signal(signal.SIGINT))
        patch.setattr(training, "train_step", interrupt)
        run = train("interrupted", exit_code=128 + signal.SIGINT)
    assert len(rows(run)) == 1
    train("interrupted", "--resume", "interrupted")
    assert rows(run) == rows(trained)
    assert same(weights(run), weights(trained))


def test_the_number_of_workers_changes_nothing(train: Train, trained: Path) -> None:
    run = train("workers", "--num-workers", "2")
    assert rows(run) == rows(trained)
    assert same(weights(run), weights(trained))


def test_data_can_be_sent_to_worker_processes() -> None:
    data = make_data(Hyperparameters())
    copy = pickle.loads(pickle.dumps(data))
    assert copy.facts == data.facts
    assert copy.val.describe(3) == data.val.describe(3)


def test_another_seed_gives_other_weights(train: Train, trained: Path) -> None:
    assert not same(weights(train("seed", "--seed", "1")), weights(trained))


def test_the_file_of_hyperparameters_repeats_the_run(train: Train, trained: Path) -> None:
    run = train("again", "--config", str(trained / "hyperparameters.toml"))
    assert same(weights(run), weights(trained))


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    train: Train, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("damaged")
    last = run / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-1000])
    train("damaged", "--resume", "damaged")
    assert "damaged" in capsys.readouterr().out
    assert same(weights(run), weights(trained))
    assert rows(run) == rows(trained)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poisoned: list[int] = []
    original = training.train_step

    def train_step(*arguments: Any) -> Tensor:
        loss = original(*arguments)
        poisoned.append(1)
        return loss * math.nan if len(poisoned) == 3 else loss

    monkeypatch.setattr(training, "train_step", train_step)
    train("not-finite", exit_code=1)
    assert "nan in step 3" in capsys.readouterr().err


def test_averaged_weights_are_what_is_kept_as_best(train: Train) -> None:
    run = train("average", "--ema-decay", "0.9")
    content = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert not same(content["average"], content["model"])
    best = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    if best["epoch"] == 2:
        assert same(best["model"], content["average"])


def test_patience_ends_a_run_that_gets_no_better(train: Train) -> None:
    flags = ("--epochs", "9", "--patience", "1", "--learning-rate", "1e-12", "--monitor", "loss")
    run = train("patience", *flags, "--schedule", "constant")
    assert len(rows(run)) < 9


def test_evaluate_judges_the_best_checkpoint_on_the_test_set(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent.parent)
    assert main(["evaluate", trained.name, "--device", "cpu"]) == 0
    metrics = json.loads((trained / "evaluation.json").read_text(encoding="utf-8"))
    (trained / "evaluation.json").unlink()
    assert "loss" in metrics
    assert all(math.isfinite(value) for value in metrics.values())
