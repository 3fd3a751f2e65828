"""Loaders: batches from a data set, in this process or in workers, and on to the device."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data import BatchDataset, BatchIndex, Data, StepSampler, map_tensors
from .profiler import StepProfiler
from .run import Run
from .workers import WorkerLoader, choose_num_workers


class TrainLoader:
    """Gives the steps of an epoch, each as the list of its micro-batches on the device."""

    def __init__(self, data: Data, batch_size: int, seed: int, run: Run) -> None:
        self.dataset, self.run = data.train, run
        self.accumulation_steps = run.settings.accumulation_steps
        self.sampler = StepSampler(
            len(data.train),
            batch_size,
            seed,
            run.dist,
            accumulation_steps=self.accumulation_steps,
            lengths=data.train_lengths,
            max_steps=run.limits.steps,
        )
        micro_batch = self.sampler.batch_size // self.sampler.num_shares
        self._batches = make_batches(data.train, self.sampler, micro_batch, data.in_memory, run)
        trace = run.directory / "trace.json.gz"
        num_profiled = run.profile_steps
        self.profiler = StepProfiler(num_profiled, run.device, trace) if num_profiled else None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return self.sampler.num_steps

    def steps(self, epoch: int, start: int = 0) -> Iterator[list[Any]]:
        """The micro-batches of each step of ``epoch``, from step number ``start`` on."""
        self.sampler.epoch, self.sampler.start = 0 if self.run.limits.same_steps else epoch, start
        batches = to_device(self._batches, self.run.device)
        steps = iter(lambda: list(islice(batches, self.accumulation_steps)), [])
        return self.profiler.watch(steps) if self.profiler else steps

    def describe_step(self, step: int) -> list[str]:
        """Where the samples of a step of the epoch come from."""
        return [self.dataset.describe(index) for index in self.sampler.samples_of(step)]


class EvalLoader:
    """Gives this process's share of a data set in order: no sample is left out or comes twice."""

    def __init__(
        self, dataset: BatchDataset, data: Data, run: Run, *, max_batch: int | None = None
    ) -> None:
        self.run = run
        num_samples = min(len(dataset), run.limits.eval_samples)
        mine = np.arange(run.dist.rank, num_samples, run.dist.world_size)
        size = min(run.settings.eval_batch_size, max_batch or sys.maxsize, max(1, len(mine)))
        batches = [BatchIndex(mine[start : start + size]) for start in range(0, len(mine), size)]
        self._batches = make_batches(dataset, batches, size, data.in_memory, run)

    def __iter__(self) -> Iterator[Any]:
        return to_device(self._batches, self.run.device)


class InProcessLoader:
    """Makes batches in this process, without what a DataLoader does around each of them."""

    def __init__(self, dataset: BatchDataset, batches: Iterable[BatchIndex]) -> None:
        self.dataset, self.batches = dataset, batches

    def __iter__(self) -> Iterator[Any]:
        return map(self.dataset.__getitems__, self.batches)


def make_batches(
    dataset: BatchDataset, batches: Any, size: int, in_memory: bool, run: Run
) -> Iterable[Any]:
    """The data set's answer to each of ``batches``; can be iterated over once per epoch.

    ``size`` is the number of samples in a batch.
    """
    if in_memory and not run.hardware.workers_requested:
        return InProcessLoader(dataset, batches)
    num_workers = choose_num_workers(dataset, size, run)
    if num_workers == 0:
        return InProcessLoader(dataset, batches)
    return WorkerLoader(dataset, batches, num_workers, run)


def to_device(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """The batches with their tensors on ``device``.

    On a GPU the next batch is copied while the one before is in use, on a stream of its own.
    """
    if device.type == "cpu":
        return iter(batches)
    if device.type == "mps":  # it shares its memory with the CPU
        return (map_tensors(batch, lambda tensor: tensor.to(device)) for batch in batches)
    return _copy_ahead(batches, device)


def _copy_ahead(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    backend = torch.get_device_module(device)
    copying = backend.Stream(device)
    ahead: list[tuple[Any, Any]] = []

    def copy(tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(device, non_blocking=True)  # does nothing if pinned already

    def wait_for(batch: Any, copied: Any) -> Any:
        computing = backend.current_stream(device)
        computing.wait_event(copied)
        # Its memory must not be used for another copy before the work on it is done.
        map_tensors(batch, lambda tensor: tensor.record_stream(computing))
        return batch

    for batch in batches:
        with backend.stream(copying):
            ahead.append((map_tensors(batch, copy), copying.record_event()))
        if len(ahead) > 1:
            yield wait_for(*ahead.pop(0))
    yield from (wait_for(*last) for last in ahead)
