"""--batch-size auto finds the largest batch that fits, never tries what would not, and is kept."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Train, rows, same, weights

from {{ cookiecutter.__package }} import batch_size, memory, stored_settings
from {{ cookiecutter.__package }}.arguments import parse_train
from {{ cookiecutter.__package }}.batch_size import (
    Trials,
    costliest,
    find_batch_size,
    search,
)
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.datasets import make_data
from {{ cookiecutter.__package }}.distributed import World
from {{ cookiecutter.__package }}.errors import RunFailed, UserError
from {{ cookiecutter.__package }}.faults import explain, is_out_of_memory
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.runtime import prepare
from {{ cookiecutter.__package }}.sampling import Draw
from {{ cookiecutter.__package }}.train import Job

MIB = 2**20


@pytest.fixture(scope="module")
def job() -> Job:
    """A job on the CPU with the data that comes with the project."""
    settings = Hyperparameters(device="cpu", precision="fp32")
    data, runtime = make_data(settings), prepare(settings, frozenset())
    return Job(settings, Path(), runtime, World(), data, Criterion(settings, data.facts))


Steps = list[int]


@pytest.fixture
def computer(job: Job, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Steps]:
    """Gives training steps a made-up need of memory; returns the sizes of those that are taken."""

    def computer(need: Callable[[int], int], free: int, full: int | None = None) -> Steps:
        """``full``: samples above which torch itself says that memory is out."""
        sizes: Steps = []

        def train_step(job: Job, *_: Any) -> tuple[list[torch.Tensor], None]:
            sizes.append(job.settings.batch_size)
            if full is not None and sizes[-1] > full:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return [torch.zeros(())], None

        monkeypatch.setattr(batch_size, "make_data", lambda _: job.data)  # read once
        monkeypatch.setattr(batch_size, "train_step", train_step)
        monkeypatch.setattr(memory, "available", lambda _: free)
        monkeypatch.setattr(memory, "peak", lambda _: need(sizes[-1] if sizes else 0))
        return sizes

    return computer


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 50, 97, 128, 1000])
@pytest.mark.parametrize("most", [1, 5, 64, 100, 5000])
@pytest.mark.parametrize("unit", [1, 4, 6])
def test_what_is_found_fits_and_an_eighth_more_does_not(limit: int, most: int, unit: int) -> None:
    limit, most, tried = limit * unit, most * unit, list[int]()

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    size = search(fits, unit, most)
    assert size % unit == 0 and all(other % unit == 0 for other in tried)
    assert 0 < size <= min(limit, most)
    assert size == most or size + max(unit, size // 8) > limit
    assert max(tried) <= most
    assert len(tried) <= math.log2(most / unit) + 5


def test_nothing_is_found_where_not_even_one_sample_fits() -> None:
    assert search(lambda _: False, 3, 300) == 0


@pytest.mark.parametrize("full", [1, 2, 5, 40, 63, 64, 65, 150])
def test_a_gpu_that_says_it_is_full_bounds_the_batch(
    job: Job, computer: Callable[..., Steps], full: int
) -> None:
    sizes = computer(lambda _: 0, 2**30, full)
    found = find_batch_size(job.settings, job.runtime, World())
    assert found <= full < found + max(1, found // 8) + 1
    assert found in sizes


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. GPU 0 has"), "The GPU"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "The GPU"),
        (RuntimeError("MPS backend out of memory"), "The GPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "This machine"),
        (MemoryError(), "This machine"),
    ],
)
def test_every_way_to_say_that_memory_is_full_is_known(error: Exception, place: str) -> None:
    assert is_out_of_memory(error)
    assert str(explain(error)).startswith(f"{place} has not enough memory")


def test_an_error_that_is_not_about_memory_is_not_hidden(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_step(*_: Any) -> torch.Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(batch_size, "train_step", train_step)
    with pytest.raises(RuntimeError, match="multiplied"):
        find_batch_size(job.settings, job.runtime, World())


@pytest.mark.parametrize("constant", [0, 30 * MIB, 300 * MIB])
@pytest.mark.parametrize("each", [5 * MIB, 8 * MIB, 20 * MIB])
def test_no_step_is_taken_that_would_not_leave_a_fifth_of_the_memory_free(
    job: Job, computer: Callable[..., Steps], constant: int, each: int
) -> None:
    free = 1000 * MIB
    sizes = computer(lambda size: 200 * MIB + (constant + each * size if size else 0), free)
    found = find_batch_size(job.settings, job.runtime, World())
    assert all(constant + each * size <= 0.8 * free for size in sizes)
    assert constant + each * (found + found // 8 + 1) > 0.8 * free


def test_the_whole_training_set_is_the_most(
    job: Job, computer: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    computer(lambda _: 0, 2**30)
    settings = job.settings.but(accumulation_steps=4)
    found = find_batch_size(settings, job.runtime, World())
    assert found == len(job.data.train) // 4 * 4
    assert capsys.readouterr().out == f"Batch size: {found} (the whole training set).\n"


def test_memory_is_named_as_the_reason(
    job: Job, computer: Callable[..., Steps], capsys: pytest.CaptureFixture[str]
) -> None:
    computer(lambda size: size * MIB, 50 * MIB)
    assert 32 <= find_batch_size(job.settings, job.runtime, World()) <= 40
    assert "more would take over 80% of the free memory" in capsys.readouterr().out


def test_where_not_even_one_sample_fits_it_is_said(
    job: Job, computer: Callable[..., Steps]
) -> None:
    computer(lambda _: 0, 2**30, full=0)
    with pytest.raises(RunFailed, match="Not even a batch of 1"):
        find_batch_size(job.settings, job.runtime, World())


def test_parts_without_a_sample_are_refused(job: Job) -> None:
    settings = job.settings.but(accumulation_steps=len(job.data.train) + 1)
    with pytest.raises(UserError, match="fewer --accumulation-steps"):
        find_batch_size(settings, job.runtime, World())


def test_where_nobody_tells_the_free_memory_a_number_is_asked_for(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda _: None)
    with pytest.raises(UserError, match="Type a number"):
        find_batch_size(job.settings, job.runtime, World())


class Pair(World):
    """Two processes, of which the other one has memory for less."""

    def gather(self, value: Any) -> list[Any]:
        return [value, False]


def test_what_does_not_fit_in_one_process_fits_in_none(
    job: Job, computer: Callable[..., Steps]
) -> None:
    sizes = computer(lambda _: 0, 2**30)
    assert not Trials(job, Pair(0, 2)).fit(16)
    assert set(sizes) == {8}  # its share


def test_the_longest_samples_are_tried(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    class Asked:
        makes_batches = True

        def __init__(self, *_: Any) -> None: ...

        def __getitems__(self, draw: Draw) -> None:
            asked.extend(draw.indices.tolist())

    monkeypatch.setattr(batch_size, "Keyed", Asked)
    count = len(job.data.train)
    lengths = [(7 * index) % count for index in range(count)]
    long = replace(job, data=replace(job.data, train_lengths=lengths))
    long = replace(long, settings=job.settings.but(accumulation_steps=2))
    assert len(list(costliest(long, 6))) == 2
    assert [lengths[index] for index in asked] == sorted(lengths, reverse=True)[:6]


def test_real_steps_take_memory_that_is_measured(job: Job) -> None:
    trials = Trials(job, World())
    assert trials.fit(8)
    assert [size for size, _ in trials._taken] == [8]
    trials.limit = -math.inf
    assert not trials.fit(16)


def test_auto_follows_the_order_of_files_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_settings, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "device.toml").write_text('batch_size = "auto"\n')
    (tmp_path / "my.toml").write_text("batch_size = 24\n")
    wished = [
        parse_train(words).wanted_batch_size
        for words in (
            [],
            ["--config", "my.toml"],
            ["--config", "my.toml", "--batch-size", "auto"],
            ["--batch-size", "12"],
        )
    ]
    assert wished == ["auto", 24, "auto", 12]
    assert parse_train(["--batch-size", "12"]).hyperparameters().batch_size == 12
    (tmp_path / "device.toml").write_text('batch_size = "much"\n')
    with pytest.raises(UserError, match=r"device\.toml: batch-size must be a whole number"):
        parse_train([])


def test_a_run_keeps_the_number_and_goes_on_with_it(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(batch_size, "find_batch_size", lambda *_: 12)
        run = train("auto", "--batch-size", "auto", "--epochs", "1")
    stored = tomllib.loads((run / "hyperparameters.toml").read_text(encoding="utf-8"))
    assert stored["batch_size"] == 12

    def refuse(*_: Any) -> int:
        raise AssertionError("it is known")

    monkeypatch.setattr(batch_size, "find_batch_size", refuse)
    train("auto", "--resume", "auto", "--batch-size", "auto", "--epochs", "2")
    assert len(rows(run)) == 2


def test_the_search_leaves_no_trace_in_the_run(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_most_sixteen(trials: Trials, size: int) -> bool:
        return size <= 16 and original(trials, size)

    original = Trials.fit
    with monkeypatch.context() as patch:
        patch.setattr(Trials, "fit", at_most_sixteen)
        found = train("searched", "--batch-size", "auto")
    typed = train("typed", "--batch-size", "16")
    assert same(weights(found), weights(typed))
