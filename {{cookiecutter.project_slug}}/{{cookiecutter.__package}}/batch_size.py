"""``--batch-size auto``: the largest batch whose training step fits in memory, found by trying.

A GPU says when its memory is full. A CPU does not, the system just kills; so what a larger batch
would take is predicted from the last one, and none is tried that would take more than there is.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import memory
from .criterion import Criterion
from .datasets import make_data
from .distributed import World
from .errors import RunFailed, UserError
from .faults import is_out_of_memory
from .hyperparameters import Hyperparameters
from .loaders import on_device
from .runtime import Runtime
from .sampling import Draw, Keyed
from .train import Job, make_state, train_step

SHARE = 0.8  # of the free memory that a step may take; the rest is for all that varies


def find_batch_size(settings: Hyperparameters, runtime: Runtime, world: World) -> int:
    """The number, the same for all processes; the main one prints it with the reason.

    Raises:
        UserError: the data or the model cannot be used, or nobody tells how much memory is free.
        RunFailed: not even the smallest batch fits.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # the run that follows says it again
        data = make_data(settings)
    unit = settings.accumulation_steps * world.size
    most = len(data.train) - len(data.train) % unit
    if not most:
        raise UserError(
            f"{len(data.train)} training samples cannot be shared by {world.size} process(es) in "
            f"{settings.accumulation_steps} accumulation step(s). Type fewer --accumulation-steps."
        )
    job = Job(settings, Path(), runtime, World(), data, Criterion(settings, data.facts))
    trials = Trials(job, world)
    size = search(trials.fit, unit, most)
    trials.release()
    if not size:
        raise RunFailed(
            f"Not even a batch of {unit} fits in memory. Try a smaller model or --precision bf16."
        )
    if world.is_main:
        why = f"more would take over {SHARE:.0%} of the free memory of {runtime.name}"
        print(f"Batch size: {size} ({'the whole training set' if size == most else why}).")
    return size


def search(fits: Callable[[int], bool], unit: int, most: int) -> int:
    """The largest multiple of ``unit``, at most ``most``, that fits, to an eighth; 0 if none does.

    Doubles from two units, for a batch norm needs two samples, and then halves the gap between the
    largest that fits and the smallest that does not.
    """
    good, size = 0, min(2 * unit, most)
    while good < size and fits(size):
        good, size = size, min(2 * size, most)
    while size - good > max(unit, good // 8):
        middle = (good + size) // 2 // unit * unit
        good, size = (middle, size) if fits(middle) else (good, middle)
    return good


class Trials:
    """Training steps that are taken to see what memory they need, each with a model of its own."""

    def __init__(self, job: Job, world: World) -> None:
        """``job`` is that of one process alone: if one ran out of memory, others would wait."""
        self.job, self.world, self.device = job, world, job.runtime.device
        self.release()
        free = memory.available(self.device)
        if free is None:
            raise UserError(
                "--batch-size auto cannot find out how much memory is free here. Type a number."
            )
        self.limit, self.before = SHARE * free, memory.peak(self.device)
        self._taken: list[tuple[int, int]] = []  # samples of a step, and bytes that it took

    def fit(self, size: int) -> bool:
        """Whether a batch of ``size`` samples over all processes fits in the memory of each."""
        return all(self.world.gather(self._fits_here(size // self.world.size)))

    def _fits_here(self, size: int) -> bool:
        if self._predicted(size) > self.limit:
            return False
        self.release()
        try:
            take_steps(self.job, size, spare_gradients=self.world.size > 1)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        taken = memory.peak(self.device) - self.before
        self._taken.append((size, taken))
        return taken <= self.limit

    def _predicted(self, size: int) -> float:
        """Bytes, by the steepest line through the last step and one before; at first through zero.

        The first steps find room in memory that was given back, and so seem to take too little.
        """
        if not self._taken:
            return 0.0
        *before, (many, much) = self._taken
        slopes = [(much - little) / (many - few) for few, little in before if few < many]
        return much + max(slopes, default=much / many) * (size - many)

    def release(self) -> None:
        """Give back what the last trial took, and measure anew."""
        memory.release(self.device)
        memory.forget_peak(self.device)


def take_steps(job: Job, size: int, spare_gradients: bool) -> None:
    """A step with few samples, after which the optimizer has its state, and one with ``size``."""
    num_parts = job.settings.accumulation_steps
    job = replace(job, settings=job.settings.but(batch_size=size))
    state = make_state(job, 1)
    state.model.train()
    # DistributedDataParallel keeps the gradients once more.
    spare = [torch.ones_like(p) for p in state.model.parameters()] if spare_gradients else []
    for number in (min(size, 2 * num_parts), size):
        batches = on_device(costliest(job, number), job.runtime.device)
        losses, _ = train_step(job, state, state.model, batches)
        state.progress.step += 1
    losses[-1].item()  # wait for the device
    del spare


def costliest(job: Job, number: int) -> Iterator[Any]:
    """The parts of a batch of the longest samples, where they have a length; else of the first."""
    data, size = job.data, number // job.settings.accumulation_steps
    order = np.arange(len(data.train))
    if data.train_lengths is not None:
        order = np.argsort(data.train_lengths, kind="stable")[::-1].copy()
    dataset = Keyed(data.train, job.settings.seed)
    for start in range(0, number, size):
        samples = dataset.__getitems__(Draw(0, order[start : start + size]))
        yield samples if dataset.makes_batches else data.collate(samples)
