"""A run can start from the weights of another one."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Train, rows, same, weights

from {{ cookiecutter.__package }}.cli.arguments import load_settings
from {{ cookiecutter.__package }}.engine.checkpoint import find_initial
from {{ cookiecutter.__package }}.engine.device import resolve
from {{ cookiecutter.__package }}.engine.distributed import Distributed
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.engine.initial_weights import names_in
from {{ cookiecutter.__package }}.engine.run import Run
from {{ cookiecutter.__package }}.engine.settings import (
    RunSettings,
    StartSettings,
)
from {{ cookiecutter.__package }}.loaders import make_data
from {{ cookiecutter.__package }}.train import TrainState, make_state


def begin(source: Path, matching: bool = False, seed: int = 5) -> TrainState:
    """The state before the first step of a run with an average that starts from ``source``."""
    start = {"init_matching" if matching else "init_from": str(source)}
    hparams = dataclasses.replace(load_settings(source).hparams, ema_decay=0.9, seed=seed)
    settings = RunSettings(device="cpu")
    hardware, initial = resolve(settings, frozenset()), find_initial(StartSettings(**start))
    run = Run(Path(), settings, hardware, Distributed(), initial=initial)
    return make_state(hparams, make_data(hparams).info, run)


def test_all_weights_and_their_average_are_those_of_the_other_run(trained: Path) -> None:
    state = begin(trained)
    assert same(state.model.state_dict(), weights(trained, "best.pt"))
    assert same(state.eval_model.state_dict(), weights(trained, "best.pt"))


def test_weights_that_do_not_fit_are_refused_or_listed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(trained, tmp_path / "other")
    best = torch.load(source / "checkpoints" / "best.pt", weights_only=True)
    name = next(name for name, value in reversed(best["model"].items()) if value.ndim > 1)
    best["model"][name] = torch.zeros(1, 1, 1, 1, 1, 1)
    torch.save(best, source / "checkpoints" / "best.pt")
    with pytest.raises(UserError, match=f"{name}.*--init-matching"):
        begin(source)
    state = begin(source, matching=True)
    assert f"New weights, because they do not fit: {name}." in capsys.readouterr().out
    found, expected = state.model.state_dict(), weights(trained, "best.pt")
    assert not torch.equal(found.pop(name), expected.pop(name))
    assert same(found, expected)


def test_classes_and_columns_are_compared_but_not_counts_and_statistics() -> None:
    assert names_in(["a", "b"]) != names_in(["b", "a"])
    assert names_in({"x": {"mean": 1.0}}) == names_in({"x": {"mean": 2.0}})
    assert names_in({"x": {"mean": 1.0}}) != names_in({"y": {"mean": 1.0}})
    assert names_in([3, 4]) == names_in([5, 6]) == names_in(0.5)


def test_the_start_is_recorded_and_only_then_needed(
    train: Train, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(trained, trained.parent / "source")
    flags = ["--limit-batches", "2", "--schedule", "cosine", "--ema-decay", "0.5"]
    run = train("begun", "--init-from", "source", *flags)
    assert load_settings(run).init_from == "source"
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    assert environment["initial_weights"] == str(Path("runs/source"))
    shutil.rmtree(source)
    assert "rises again" not in capsys.readouterr().err
    train("begun", "--resume", "begun", "--epochs", "3")
    assert "begun had finished" in capsys.readouterr().err
    assert [row["epoch"] for row in rows(run)] == [1, 2, 3]
    train("both", "--init-from", "finished", "--init-matching", "finished", exit_code=2)
    train("none", "--init-from", "nowhere", exit_code=2)
