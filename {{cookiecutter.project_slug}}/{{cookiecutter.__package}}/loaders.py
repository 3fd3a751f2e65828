"""Step 2, load data: which samples form a step, in which order, and the loaders that fetch them.

Order and augmentation follow from (seed, epoch, index) alone. Neither the number of workers nor
that of processes nor an interruption can change them.
"""

import importlib.util
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from .distributed import World
from .errors import UserError
from .runtime import Runtime
from .settings import CommonHyperparameters
from .utils import mix_seed, seed_torch

Key = tuple[int, int]
"""(epoch, index): what the loader asks of a training set."""


class Samples(Protocol):
    """What a data set offers. Augmentation uses torch's global random functions, seeded for it.

    A data set may also have ``fetch(indices) -> batch``, which returns a whole batch at once: much
    faster for data in memory that needs no augmentation.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    def describe(self, index: int) -> str:
        """Where the sample comes from, for messages and figures: a file, a row."""
        ...


@dataclass(frozen=True)
class Data:
    """The three parts of the data, which never overlap, and what the model must know of them.

    ``facts`` holds plain types only (texts, numbers, lists, dicts); it is kept in checkpoints.
    """

    train: Samples
    val: Samples
    test: Samples
    facts: dict[str, Any]
    in_memory: bool
    collate: Callable[[list[Any]], Any] = default_collate


def packaged_file(name: str) -> Path:
    """A data file inside scikit-learn, found without the two seconds of importing it."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None, "scikit-learn is a dependency"
    return Path(spec.origin).parent / "datasets" / "data" / name


def split(
    num_samples: int,
    settings: CommonHyperparameters,
    labels: Sequence[int] | None = None,
    parts: tuple[str, ...] = ("val", "test"),
) -> dict[str, list[int]]:
    """Cut 0..num_samples-1 into "train" and ``parts`` by ``settings.split_seed``.

    With ``labels``, every label is spread over all parts in the same proportion (stratified).
    """
    generator = torch.Generator().manual_seed(mix_seed(settings.split_seed))
    order = torch.randperm(num_samples, generator=generator).tolist()
    groups: dict[int, list[int]] = {}
    for index in order:
        groups.setdefault(labels[index] if labels is not None else 0, []).append(index)
    result: dict[str, list[int]] = {name: [] for name in ("train", *parts)}
    for members in groups.values():
        start = 0
        for name in parts:
            count = max(1, round(len(members) * getattr(settings, f"{name}_fraction")))
            result[name] += members[start : start + count]
            start += count
        result["train"] += members[start:]
    return {name: sorted(indices) for name, indices in result.items()}


class StepSampler(Sampler[list[Key]]):
    """Says which samples form each training step, and which of them this process takes.

    Each step has exactly ``batch_size`` samples over all processes; samples that do not fill a
    last step are left out, others in each epoch. Set ``epoch``, and ``start`` to go on within one.
    """

    def __init__(self, num_samples: int, settings: CommonHyperparameters, world: World) -> None:
        self.num_samples, self.seed, self.rank = num_samples, settings.seed, world.rank
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

    def __iter__(self) -> Iterator[list[Key]]:
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
        order = torch.randperm(self.num_samples, generator=generator).tolist()
        size = self.batch_size // (self.num_parts * self.num_processes)
        for step in range(self.start, self.num_steps):
            for part in range(self.num_parts):
                first = step * self.batch_size + (part * self.num_processes + self.rank) * size
                yield [(self.epoch, index) for index in order[first : first + size]]


class Keyed(Dataset[Any]):
    """A training set asked by (epoch, index); seeds torch before each sample is augmented."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples, self.seed = samples, seed
        self.fetch = getattr(samples, "fetch", None)

    def __getitem__(self, key: Key) -> Any:
        epoch, index = key
        seed_torch(mix_seed(self.seed, epoch, index))
        return self.samples[index]

    def __getitems__(self, keys: list[Key]) -> Any:
        if self.fetch is not None:
            return self.fetch([index for _, index in keys])
        return [self[key] for key in keys]


class Plain(Dataset[Any]):
    """A validation or test set, asked by index."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.fetch = getattr(samples, "fetch", None)

    def __getitems__(self, indices: list[int]) -> Any:
        if self.fetch is not None:
            return self.fetch(indices)
        return [self.samples[index] for index in indices]


def make_train_loader(
    data: Data, settings: CommonHyperparameters, runtime: Runtime, world: World
) -> tuple[DataLoader[Any], StepSampler]:
    """The training loader and the sampler that it follows."""
    sampler = StepSampler(len(data.train), settings, world)
    return _loader(data, Keyed(data.train, settings.seed), sampler, runtime), sampler


def make_eval_loader(
    samples: Samples, data: Data, settings: CommonHyperparameters, runtime: Runtime, world: World
) -> DataLoader[Any]:
    """A loader of this process's share of ``samples``, in order, none left out, none twice."""
    mine = list(range(world.rank, len(samples), world.size))
    size = settings.eval_batch_size
    batches = [mine[start : start + size] for start in range(0, len(mine), size)]
    return _loader(data, Plain(samples), batches, runtime)


def _loader(data: Data, dataset: Keyed | Plain, batches: Any, runtime: Runtime) -> DataLoader[Any]:
    workers = 0 if data.in_memory and not runtime.workers_typed else runtime.num_workers
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=data.collate if dataset.fetch is None else _as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=runtime.pin_memory,
        worker_init_fn=_ignore_interrupts,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; the main process ends the workers in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def to_device(batch: Any, device: torch.device) -> Any:
    """``batch`` with every tensor in it moved, without waiting for the copy."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(item, device) for item in batch)
    if isinstance(batch, dict):
        return {name: to_device(item, device) for name, item in batch.items()}
    return batch
