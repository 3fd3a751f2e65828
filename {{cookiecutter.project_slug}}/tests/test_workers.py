"""Processes that load data: any start method, little shared memory, and workers that fail."""

import dataclasses
import gc
import multiprocessing
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from {{ cookiecutter.__package }}.engine import workers
from {{ cookiecutter.__package }}.engine.data import (
    BatchIndex,
    SampleDataset,
    map_tensors,
)
from {{ cookiecutter.__package }}.engine.device import resolve
from {{ cookiecutter.__package }}.engine.distributed import Distributed
from {{ cookiecutter.__package }}.engine.errors import (
    TrainingFailed,
    UserError,
    explain,
)
from {{ cookiecutter.__package }}.engine.loading import make_batches
from {{ cookiecutter.__package }}.engine.machine import SHM
from {{ cookiecutter.__package }}.engine.run import Run
from {{ cookiecutter.__package }}.engine.settings import RunSettings
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import make_data

BATCHES = [BatchIndex(np.arange(start, start + 4)) for start in range(0, 16, 4)]


def make_run(typed: bool = True, num_workers: int = 2, **changes: Any) -> Run:
    """A run on the CPU."""
    settings = RunSettings(device="cpu", num_workers=num_workers, **changes)
    hardware = resolve(settings, frozenset({"num_workers"}))
    hardware = dataclasses.replace(hardware, workers_requested=typed)
    return Run(Path(), settings, hardware, Distributed())


class Faulty(SampleDataset):
    """Sixteen samples of 3,000 bytes; something happens to the process that loads number 9."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Tensor:
        if index == 9 and self.fault == "hangs":
            time.sleep(3)
        if index == 9 and self.fault == "dies":
            os._exit(1)
        return torch.full((3000,), index, dtype=torch.uint8)

    def describe(self, index: int) -> str:
        return f"sample {index}"


@pytest.mark.parametrize("method", ["auto", "spawn"])  # forkserver also pickles the data set
def test_every_start_method_gives_the_batches_of_this_process(method: Any) -> None:
    data = make_data(Hyperparameters())
    seeds = np.arange(4, dtype=np.uint64)
    batches = [BatchIndex(batch.indices, seeds) for batch in BATCHES]
    run = make_run(num_workers=1, start_method=method)
    with_workers = make_batches(data.train, batches, 4, False, run)
    found = list[Tensor]()
    map_tensors(list(with_workers), found.append)
    expected = list[Tensor]()
    map_tensors([data.train.__getitems__(batch) for batch in batches], expected.append)
    assert len(found) == len(expected) > 0
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


@pytest.mark.skipif(not SHM.is_dir(), reason="batches go another way here")
def test_little_shared_memory_is_said_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**20, 0, 25_000))
    with pytest.raises(UserError, match=r"/dev/shm has 0 MiB.*--shm-size.*--num-workers 1\."):
        make_batches(Faulty(), BATCHES, 4, False, make_run())
    assert workers.choose_num_workers(Faulty(), 4, make_run(typed=False)) == 1
    assert "--shm-size" in capsys.readouterr().err
    assert workers.choose_num_workers(Faulty(), 1, make_run()) == 2


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_no_worker_is_waited_for_endlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ASK_EVERY", 0.2)
    monkeypatch.setattr(workers, "TIME_LIMIT", 1.0)
    with pytest.raises(TrainingFailed, match=r"no batch for 1 seconds.*--num-workers 0"):
        list(make_batches(Faulty("hangs"), BATCHES, 4, False, make_run()))
    gc.collect()  # the loader, which ends its processes; later, they would be errors of the next
    with pytest.raises(RuntimeError) as caught:
        list(make_batches(Faulty("dies"), BATCHES, 4, False, make_run()))
    assert "--num-workers" in str(explain(caught.value))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_batch_that_cannot_be_handed_over_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: Tensor) -> Tensor:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(Tensor, "share_memory_", refuse)
    with pytest.raises(RuntimeError) as caught:
        list(make_batches(Faulty(), BATCHES, 4, False, make_run()))
    assert "--shm-size" in str(explain(caught.value))
