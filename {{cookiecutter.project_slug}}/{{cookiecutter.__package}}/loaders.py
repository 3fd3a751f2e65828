"""Step 2, load data: what a data set is, how it is split, and the loaders that fetch it."""

import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from .distributed import World
from .runtime import Runtime
from .sampling import Keyed, Plain, Samples, StepSampler
from .settings import CommonHyperparameters
from .utils import mix_seed


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
) -> tuple[DataLoader[Any], StepSampler]:
    """The training loader and the sampler that it follows."""
    sampler = StepSampler(len(data.train), settings, world, data.train_lengths)
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
        collate_fn=_as_it_is if dataset.makes_batches else data.collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=runtime.pin_memory,
        worker_init_fn=_start_worker,
    )


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


def to_device(batch: Any, device: torch.device) -> Any:
    """``batch`` with every tensor in it moved, without waiting for the copy."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(item, device) for item in batch)
    if isinstance(batch, dict):
        return {name: to_device(item, device) for name, item in batch.items()}
    return batch
