"""What a data set offers, and which of its samples form each training step.

The order of the samples and their augmentation follow from (seed, epoch, index) alone. The number
of workers or processes cannot change them, and neither can an interruption.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, default_collate

from .data_report import DataReport
from .distributed import Distributed
from .errors import UserError
from .seeding import mix_seed, mix_seeds, seed_torch


class BatchIndex(NamedTuple):
    """What a loader asks of a data set: the samples of a batch, and their random seeds."""

    indices: np.ndarray
    """(N,) int64."""
    seeds: np.ndarray | None = None
    """(N,) uint64, one for each sample; None in validation and test, where nothing is random."""


class BatchDataset(Protocol):
    """A data set that makes whole batches, which is much faster for data in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """One sample, for figures."""

    def __getitems__(self, batch: BatchIndex, /) -> Any:
        """A collated batch. What is random about a sample follows from its own seed."""

    def describe(self, index: int) -> str:
        """Where the sample comes from, for messages and figures: a file, a row."""
        ...


class SampleDataset(Dataset[Any]):
    """A data set whose batches are collated from single samples.

    A subclass has ``__len__``, ``__getitem__`` and ``describe``. Its augmentation uses torch's
    global random functions, which are seeded for each sample.
    """

    def __getitems__(self, batch: BatchIndex) -> Any:
        """See ``BatchDataset``."""
        if batch.seeds is None:
            return self.collate([self[index] for index in batch.indices.tolist()])
        samples = []
        for index, seed in zip(batch.indices.tolist(), batch.seeds.tolist(), strict=True):
            seed_torch(seed)
            samples.append(self[index])
        return self.collate(samples)

    def collate(self, samples: list[Any]) -> Any:
        """A batch of samples: by default, tensors with the samples along the first dimension."""
        return default_collate(samples)


class Cache(Protocol):
    """Something that makes later epochs faster."""

    def fill(self) -> None:
        """Fill it, unless that was done before."""


@dataclass(frozen=True)
class Data:
    """The three splits of the data, which never overlap, and what the model must know of them."""

    train: BatchDataset
    val: BatchDataset
    test: BatchDataset
    info: Any
    """The task's ``DataInfo``; a checkpoint keeps it."""
    in_memory: bool
    """Whether loading takes so little that worker processes would only cost time."""
    caches: Sequence[Cache] = ()
    """Filled before the first of several epochs."""
    train_lengths: Sequence[int] | None = None
    """Of samples that are padded to the longest in their batch: like is put with like."""
    report: DataReport = field(default_factory=DataReport)
    """What was read, and what was done with it."""
    inspect: Callable[[], None] | None = None
    """Adds to the report what takes longer to find, for check-data: duplicates, sizes."""
    test_column: Callable[[str, str], Sequence[Any]] | None = None
    """The cells of a column of the test set (None where empty), for evaluate; of tables only.

    Takes the name of the column, and that of the flag for messages."""

    @property
    def splits(self) -> dict[str, BatchDataset]:
        """The splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def to_json(self) -> dict[str, Any]:
        """The content of data.json."""
        num_samples = {name: len(dataset) for name, dataset in self.splits.items()}
        return {"num_samples": num_samples} | self.report.to_json() | {"info": asdict(self.info)}


class StepSampler(Sampler[BatchIndex]):
    """Which samples form each step of an epoch, and which of them this process takes.

    Each step has exactly ``batch_size`` samples over all processes. Samples that do not fill the
    last step are left out, others in each epoch. Set ``epoch``, and ``start`` to begin within one.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        dist: Distributed,
        *,
        accumulation_steps: int = 1,
        lengths: Sequence[int] | None = None,
        max_steps: int = sys.maxsize,
    ) -> None:
        self.num_samples, self.seed, self.dist = num_samples, seed, dist
        self.max_steps = max_steps
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.num_shares = accumulation_steps * dist.world_size
        # A set smaller than one batch is one step, cut to what can be shared equally.
        self.batch_size = min(batch_size, num_samples - num_samples % self.num_shares)
        if self.batch_size < 1 or self.batch_size % self.num_shares:
            raise UserError(
                f"A batch of {batch_size} cannot be shared equally by {dist.world_size} "
                f"process(es) in {accumulation_steps} accumulation step(s). "
                f"Use --batch-size {-(-batch_size // self.num_shares) * self.num_shares}."
            )
        self.epoch = self.start = 0

    @property
    def num_steps(self) -> int:
        """Optimizer steps in an epoch."""
        return min(self.max_steps, self.num_samples // self.batch_size)

    def __len__(self) -> int:
        return (self.num_steps - self.start) * self.num_shares // self.dist.world_size

    def __iter__(self) -> Iterator[BatchIndex]:
        order, size = self._order(), self.batch_size // self.num_shares
        order = order[: self.num_steps * self.batch_size]
        seeds = mix_seeds(self.seed, self.epoch, last=order.astype(np.uint64))
        first = self.start * self.batch_size + self.dist.rank * size
        for start in range(first, len(order), self.dist.world_size * size):
            yield BatchIndex(order[start : start + size], seeds[start : start + size])

    def samples_of(self, step: int) -> list[int]:
        """The samples of a step of the epoch over all processes; the first step is 0."""
        samples: list[int] = self._order()[self.batch_size * step :][: self.batch_size].tolist()
        return samples

    def _order(self) -> np.ndarray:
        """The samples of the epoch in their order, a function of (seed, epoch) and the lengths.

        With lengths, each stretch of 50 batches is sorted by them, and its batches are shuffled.
        """
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
        order: np.ndarray = torch.randperm(self.num_samples, generator=generator).numpy()
        num_whole = self.num_samples // self.batch_size
        order = order[: num_whole * self.batch_size]
        if self.lengths is None:
            return order
        stretch = 50 * self.batch_size
        for start in range(0, len(order), stretch):
            samples = order[start : start + stretch]
            by_length = np.argsort(self.lengths[samples], kind="stable")
            order[start : start + stretch] = samples[by_length]
        batches = order.reshape(num_whole, self.batch_size)
        shuffled: np.ndarray = batches[torch.randperm(num_whole, generator=generator).numpy()]
        return shuffled.reshape(-1)


def map_tensors(batch: Any, function: Callable[[Tensor], Any]) -> Any:
    """``batch`` with ``function(tensor)`` in the place of every tensor in it."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, list | tuple):
        return type(batch)(map_tensors(item, function) for item in batch)
    if isinstance(batch, dict):
        return {name: map_tensors(item, function) for name, item in batch.items()}
    return batch
