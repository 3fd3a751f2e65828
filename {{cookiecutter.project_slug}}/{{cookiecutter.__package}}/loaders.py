"""Step 2, load data: what a data set is, how it is split, and the loaders that fetch it."""

import importlib.util
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from .distributed import World
from .runtime import Runtime
from .sampling import Keyed, Plain, Samples, StepSampler
from .settings import CommonHyperparameters
from .utils import mix_seed

Batches = Iterable[Any]
"""What can be gone through anew in each epoch."""


class Cache(Protocol):
    """Something that makes later epochs faster."""

    def fill(self) -> None:
        """Fill it, if that was not done yet."""
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
    caches: Sequence[Cache] = ()
    """What the run fills before the first of several epochs."""
    train_lengths: Sequence[int] | None = None
    """Of samples that are padded to the longest in their batch: like will be put with like."""


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


def make_train_loader(
    data: Data, settings: CommonHyperparameters, runtime: Runtime, world: World
) -> tuple[Batches, StepSampler]:
    """The training loader and the sampler that it follows."""
    sampler = StepSampler(len(data.train), settings, world, data.train_lengths)
    return _loader(data, Keyed(data.train, settings.seed), sampler, runtime), sampler


def make_eval_loader(
    samples: Samples, data: Data, settings: CommonHyperparameters, runtime: Runtime, world: World
) -> Batches:
    """A loader of this process's share of ``samples``, in order, none left out, none twice."""
    mine = np.arange(world.rank, len(samples), world.size)
    size = settings.eval_batch_size
    batches = [mine[start : start + size] for start in range(0, len(mine), size)]
    return _loader(data, Plain(samples), batches, runtime)


def _loader(data: Data, dataset: Keyed | Plain, batches: Any, runtime: Runtime) -> Batches:
    workers = 0 if data.in_memory and not runtime.workers_typed else runtime.num_workers
    collate = _as_it_is if dataset.makes_batches else data.collate
    if workers == 0:
        return Direct(dataset, batches, collate)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=runtime.pin_memory,
        worker_init_fn=_start_worker,
    )


class Direct:
    """Makes batches in this process, without what a DataLoader does around each of them."""

    def __init__(
        self, dataset: Keyed | Plain, batches: Iterable[Any], collate: Callable[[Any], Any]
    ) -> None:
        self.dataset, self.batches, self.collate = dataset, batches, collate

    def __iter__(self) -> Iterator[Any]:
        for wanted in self.batches:
            yield self.collate(self.dataset.__getitems__(wanted))


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; the main process ends the workers in order.

    Its errors a worker sends to the main process; what its threads print when that one is gone
    helps nobody.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = lambda *_: None
    torch.set_num_threads(1)


def on_device(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """The batches with their tensors on ``device``.

    On a GPU the copy of the next batch runs beside the work on the one before, on a stream of its
    own.
    """
    if device.type == "cpu":
        return iter(batches)
    if device.type == "mps":  # it shares its memory with the CPU
        return (each_tensor(batch, lambda tensor: tensor.to(device)) for batch in batches)
    return _copied_ahead(batches, device)


def _copied_ahead(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    backend = torch.get_device_module(device)
    copying = backend.Stream(device)
    ahead: deque[tuple[Any, Any]] = deque()

    def to_device(tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(device, non_blocking=True)  # pinned already: it is itself

    def hand_over(batch: Any, copied: Any) -> Any:
        computing = backend.current_stream(device)
        computing.wait_event(copied)
        # Its memory must not be taken for another copy before the work on it is done.
        each_tensor(batch, lambda tensor: tensor.record_stream(computing))
        return batch

    for batch in batches:
        with backend.stream(copying):
            ahead.append((each_tensor(batch, to_device), copying.record_event()))
        if len(ahead) > 1:
            yield hand_over(*ahead.popleft())
    yield from (hand_over(*last) for last in ahead)


def each_tensor(batch: Any, do: Callable[[Tensor], Any]) -> Any:
    """``batch`` with ``do(tensor)`` in the place of every tensor in it."""
    if isinstance(batch, Tensor):
        return do(batch)
    if isinstance(batch, list | tuple):
        return type(batch)(each_tensor(item, do) for item in batch)
    if isinstance(batch, dict):
        return {name: each_tensor(item, do) for name, item in batch.items()}
    return batch
