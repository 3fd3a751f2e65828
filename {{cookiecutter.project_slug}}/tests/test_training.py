"""A run does what it says, can be interrupted anywhere, and loses nothing."""

import gzip
import json
import math
import pickle
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Train, rows, same, weights
from torch import Tensor, nn

from {{ cookiecutter.__package }} import train as training
from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine import device
from {{ cookiecutter.__package }}.engine.metric_log import MetricLog
from {{ cookiecutter.__package }}.engine.run import Run
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import make_data


def after_step(number: int, do: Callable[[], None]) -> Callable[..., Any]:
    """A train_step that calls ``do`` after the given number of steps."""
    original, count = training.train_step, 0

    def train_step(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            do()
        return original(*arguments)

    return train_step


def test_a_run_leaves_its_records_and_checkpoints(trained: Path) -> None:
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert files == {
        ".holder.json",
        ".lock",
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "data.json",
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


@pytest.mark.parametrize("every", ["0", "2", "1s"])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    train: Train, trained: Path, monkeypatch: pytest.MonkeyPatch, every: str
) -> None:
    steps_per_epoch = rows(trained)[0]["step"]
    step_of_signal = steps_per_epoch + steps_per_epoch // 2
    with monkeypatch.context() as patch:
        interrupt = after_step(step_of_signal, lambda: signal.raise_signal(signal.SIGINT))
        patch.setattr(training, "train_step", interrupt)
        name = f"interrupted-{every}"
        run = train(name, "--checkpoint-every", every, exit_code=128 + signal.SIGINT)
    assert len(rows(run)) == 1
    train(name, "--resume", name)
    assert rows(run) == rows(trained)
    assert same(weights(run), weights(trained))


class Crash(BaseException):
    """What nobody catches: the process is gone, and cannot do anything more."""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_crashes_anywhere_ends_as_if_nothing_had_happened(
    train: Train, trained: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    every = max(1, rows(trained)[-1]["step"] // 6)
    name = f"crashed-{workers}"
    flags = ["--checkpoint-every", str(every), "--num-workers", workers]
    run = trained.parent / name

    def crash() -> None:
        raise Crash

    for _ in range(3):
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(training, "train_step", after_step(every + 2, crash))
            train(name, *flags, *(["--resume", name] if run.exists() else []))
    train(name, "--resume", name)
    assert rows(run) == rows(trained)
    assert same(weights(run), weights(trained))
    assert same(weights(run, "best.pt"), weights(trained, "best.pt"))


def test_the_number_of_workers_changes_nothing(train: Train, trained: Path) -> None:
    run = train("workers", "--num-workers", "2")
    assert rows(run) == rows(trained)
    assert same(weights(run), weights(trained))


def test_data_can_be_sent_to_worker_processes() -> None:
    data = make_data(Hyperparameters())
    copy = pickle.loads(pickle.dumps(data))
    assert copy.info == data.info
    assert copy.val.describe(3) == data.val.describe(3)


def test_another_seed_gives_other_weights(train: Train, trained: Path) -> None:
    assert not same(weights(train("seed", "--seed", "1")), weights(trained))


def test_the_file_of_hyperparameters_repeats_the_run(train: Train, trained: Path) -> None:
    run = train("again", "--config", str(trained / "hyperparameters.toml"))
    assert same(weights(run), weights(trained))


def test_the_number_of_epochs_that_the_data_decides_is_kept(
    train: Train, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hyperparameters, "num_epochs", lambda self, _: self.epochs or 2)
    file = train("by-data", "--epochs", "None") / "hyperparameters.toml"
    assert tomllib.loads(file.read_text(encoding="utf-8"))["epochs"] == 2
    monkeypatch.setattr(Hyperparameters, "num_epochs", lambda self, _: self.epochs or 1)
    monkeypatch.chdir(trained.parent.parent)
    assert main(["train", "--resume", "by-data"]) == 0
    assert main(["train", "--config", str(file), "--run", "as-by-data", "--no-report"]) == 0
    assert same(weights(trained.parent / "as-by-data"), weights(trained))
    page = (trained.parent / "by-data" / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">epochs</th><td>2</td><td>1</td>' in page  # beside the default


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    train: Train, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("damaged")
    last, best = run / "checkpoints" / "last.pt", run / "checkpoints" / "best.pt"
    content = bytearray(last.read_bytes())
    values = [value for value in weights(run).values() if value.ndim == 1]
    content[content.index(next(v for v in values if v.all()).numpy().tobytes())] ^= 1
    last.write_bytes(content)
    best.write_bytes(best.read_bytes()[:-1000])
    train("damaged", "--resume", "damaged")
    output = capsys.readouterr().out
    assert "last.pt is damaged" in output and "best.pt is damaged" in output
    weights(run, "best.pt")
    assert same(weights(run), weights(trained))
    new, old = ([row | {"is_best": True} for row in rows(each)] for each in (run, trained))
    assert new == old and rows(run)[-1]["is_best"]  # the only one that is left


def poison(number: int) -> Callable[..., Tensor]:
    """A loss that is not a number in the given call."""
    original, count = Criterion.loss, 0

    def loss(self: Criterion, model: nn.Module, batch: Any) -> Tensor:
        nonlocal count
        count += 1
        value = original(self, model, batch)
        return value * math.nan if count == number else value

    return loss


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_samples(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Criterion, "loss", poison(3))
    train("not-finite", exit_code=1)
    assert "not finite in step 3 (epoch 1, step 3), whose samples are " in capsys.readouterr().err


def test_a_resumed_run_with_other_hyperparameters_is_refused_with_the_difference(
    train: Train, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "hyperparameters.toml").read_text(encoding="utf-8")
    train("finished", "--resume", "finished", "--seed", "7", exit_code=2)
    assert "seed was 0, now it is 7" in capsys.readouterr().err
    assert (trained / "hyperparameters.toml").read_text(encoding="utf-8") == before


def test_averaged_weights_are_what_is_kept_as_best(train: Train) -> None:
    run = train("average", "--ema-decay", "0.9")
    content = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    average = {
        name.removeprefix("module."): value
        for name, value in content["ema"].items()
        if name != "n_averaged"
    }
    assert not same(average, content["model"])
    best = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    if best["epoch"] == 2:
        assert same(best["model"], average)


def test_a_profile_tells_where_the_time_went_and_changes_nothing(
    train: Train, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("profiled", "--profile", "3")
    assert "waiting for data" in capsys.readouterr().out
    with gzip.open(run / "trace.json.gz", "rt", encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    named = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    assert named.count("waiting for data") in (3, 4)  # one more at the end of an epoch
    assert same(weights(run), weights(trained))


def test_a_value_that_the_loop_adds_to_the_log_is_in_the_metrics(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MetricLog.add
    monkeypatch.setattr(
        MetricLog, "add", lambda self, **values: original(self, **values, weight=2.5)
    )
    assert [row["train/weight"] for row in rows(train("logged"))] == [2.5, 2.5]


def test_a_compiler_that_fails_is_an_error_if_requested_and_else_a_warning(
    train: Train,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class CompilerError(RuntimeError):
        __module__ = "torch._dynamo.exc"

    def wrap(self: Run, model: nn.Module) -> nn.Module:
        if self.hardware.compile:
            raise CompilerError("no such backend")
        return model

    monkeypatch.setattr(device, "compile_problem", lambda _: "")
    monkeypatch.setattr(Run, "wrap", wrap)
    train("compiled", "--compile", exit_code=2)
    assert "no such backend). Leave out `--compile`" in capsys.readouterr().err
    (tmp_path / "default.toml").write_text("compile = true\n", encoding="utf-8")
    run = train("not-compiled", "--config", str(tmp_path / "default.toml"))
    assert "Warning: torch.compile failed" in capsys.readouterr().err
    assert same(weights(run), weights(trained))


def test_patience_ends_a_run_that_gets_no_better(train: Train) -> None:
    flags = ("--epochs", "9", "--patience", "1", "--learning-rate", "1e-12", "--monitor", "loss")
    run = train("patience", *flags, "--schedule", "constant")
    assert len(rows(run)) < 9


def test_evaluate_judges_the_best_checkpoint_on_the_test_set(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent.parent)
    command = ["evaluate", trained.name, "--device", "cpu", "--no-report", "--resamples", "200"]
    assert main(command) == 0
    metrics = json.loads((trained / "evaluation.json").read_text(encoding="utf-8"))
    (trained / "evaluation.json").unlink()
    values = {name: value for name, value in metrics.items() if isinstance(value, float)}
    assert "loss" in values and all(map(math.isfinite, values.values()))
    assert all(low <= values[name] <= high for name, (low, high) in metrics["intervals"].items())
    assert metrics["intervals"].keys() <= values.keys() and metrics["worst"]
