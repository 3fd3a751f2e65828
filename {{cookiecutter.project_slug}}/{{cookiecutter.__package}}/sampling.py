"""Which samples form a training step, in which order, with which seed.

Order and augmentation follow from (seed, epoch, index) alone. Neither the number of workers nor
that of processes nor an interruption can change them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from .distributed import World
from .errors import UserError
from .settings import CommonHyperparameters
from .utils import mix_seed, mix_seeds, seed_torch


class Draw(NamedTuple):
    """What the loader asks of a training set: samples of a batch, in an epoch."""

    epoch: int
    indices: np.ndarray
    """(N,) int64."""


class Samples(Protocol):
    """What a data set offers. Augmentation uses torch's global random functions, seeded for it.

    A data set may also have ``fetch(indices) -> batch``, which returns a whole batch at once: much
    faster for data in memory. With augmentation it is ``fetch_augmented(indices, seeds)``, and what
    happens to a sample follows from its own seed alone. Both are arrays (N,), int64 and uint64.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def describe(self, index: int) -> str:
        """Where the sample comes from, for messages and figures: a file, a row."""
        ...


class StepSampler(Sampler[Draw]):
    """Says which samples form each training step, and which of them this process takes.

    Each step has exactly ``batch_size`` samples over all processes; samples that do not fill a
    last step are left out, others in each epoch. Set ``epoch``, and ``start`` to go on within one.
    """

    def __init__(
        self,
        num_samples: int,
        settings: CommonHyperparameters,
        world: World,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.num_samples, self.seed, self.rank = num_samples, settings.seed, world.rank
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.num_parts, self.num_processes = settings.accumulation_steps, world.size
        pieces = self.num_parts * self.num_processes
        # A set smaller than one batch is one step, cut to what can be shared out equally.
        self.batch_size = min(settings.batch_size, num_samples - num_samples % pieces)
        if self.batch_size < 1 or self.batch_size % pieces:
            wanted = -(-settings.batch_size // pieces) * pieces
            raise UserError(
                f"A batch of {settings.batch_size} cannot be shared equally by {world.size} "
                f"process(es) in {self.num_parts} accumulation step(s). Type --batch-size {wanted}."
            )
        self.epoch = 0
        self.start = 0

    @property
    def num_steps(self) -> int:
        """Optimizer steps in an epoch."""
        return self.num_samples // self.batch_size

    def __len__(self) -> int:
        return (self.num_steps - self.start) * self.num_parts

    def __iter__(self) -> Iterator[Draw]:
        order = self._order()
        size = self.batch_size // (self.num_parts * self.num_processes)
        for step in range(self.start, self.num_steps):
            for part in range(self.num_parts):
                first = step * self.batch_size + (part * self.num_processes + self.rank) * size
                yield Draw(self.epoch, order[first : first + size])

    def samples_of(self, step: int) -> list[int]:
        """The samples of a step of the epoch, over all processes; the first step is 0."""
        samples = self._order()[step * self.batch_size : (step + 1) * self.batch_size]
        return [int(index) for index in samples]

    def _order(self) -> np.ndarray:
        """The samples of the epoch in their order, a function of (seed, epoch) and the lengths.

        With lengths, each stretch of 50 batches is sorted by them, and its batches are shuffled.
        """
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
        order: np.ndarray = torch.randperm(self.num_samples, generator=generator).numpy()
        order = order[: self.num_steps * self.batch_size]
        if self.lengths is None:
            return order
        stretch = 50 * self.batch_size
        for start in range(0, len(order), stretch):
            samples = order[start : start + stretch]
            order[start : start + stretch] = samples[
                np.argsort(self.lengths[samples], kind="stable")
            ]
        batches = order.reshape(self.num_steps, self.batch_size)
        shuffled: np.ndarray = batches[torch.randperm(self.num_steps, generator=generator).numpy()]
        return shuffled.reshape(-1)


class Keyed(Dataset[Any]):
    """A training set asked for batches; each sample is augmented by a seed of its own."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples, self.seed = samples, seed
        self.fetch: Callable[..., Any] | None = getattr(samples, "fetch", None)
        self.fetch_augmented: Callable[..., Any] | None = getattr(samples, "fetch_augmented", None)

    @property
    def makes_batches(self) -> bool:
        """Whether whole batches come out, which need no collating."""
        return self.fetch is not None or self.fetch_augmented is not None

    def __getitems__(self, draw: Draw) -> Any:
        if self.fetch is not None and self.fetch_augmented is None:
            return self.fetch(draw.indices)
        seeds = mix_seeds(self.seed, draw.epoch, last=draw.indices.astype(np.uint64))
        if self.fetch_augmented is not None:
            return self.fetch_augmented(draw.indices, seeds)
        return [
            self._augmented(index, seed)
            for index, seed in zip(draw.indices.tolist(), seeds.tolist(), strict=True)
        ]

    def _augmented(self, index: int, seed: int) -> Any:
        seed_torch(seed)
        return self.samples[index]


class Plain(Dataset[Any]):
    """A validation or test set, asked for batches."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.fetch: Callable[..., Any] | None = getattr(samples, "fetch", None)

    @property
    def makes_batches(self) -> bool:
        """Whether whole batches come out, which need no collating."""
        return self.fetch is not None

    def __getitems__(self, indices: np.ndarray) -> Any:
        if self.fetch is not None:
            return self.fetch(indices)
        return [self.samples[index] for index in indices.tolist()]
