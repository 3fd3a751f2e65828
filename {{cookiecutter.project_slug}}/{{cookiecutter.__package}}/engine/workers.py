"""Processes that load data: how many, how they start, and what happens when one of them fails."""

import atexit
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .data import BatchDataset, map_tensors
from .errors import RESUME, TrainingFailed, UserError
from .machine import SHM, kill_workers
from .run import Run

PREFETCHED = 2  # batches of each worker that wait in shared memory
MIB = 2**20
TIME_LIMIT = 600.0  # seconds for one batch
ASK_EVERY = 5  # seconds, whether all workers are alive


class WorkerLoader:
    """Makes batches in worker processes. No batch, and no dead worker, is waited for endlessly."""

    def __init__(self, dataset: BatchDataset, batches: Any, num_workers: int, run: Run) -> None:
        method = run.settings.start_method
        if method == "auto" and sys.platform == "linux":
            # A fork takes no time, no copy of the data, and any data set. Python warns that another
            # thread may hold a lock just then; workers use one thread and their own pipes only, and
            # the time limit would end what waits all the same.
            method = "fork"
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        try:
            self._loader: DataLoader[Any] = DataLoader(
                dataset,  # type: ignore[arg-type]  # torch's own type knows lists of indices only
                batch_sampler=batches,
                collate_fn=_share,
                num_workers=num_workers,
                prefetch_factor=PREFETCHED,
                persistent_workers=True,
                pin_memory=run.hardware.pin_memory,
                worker_init_fn=_start_worker,
                multiprocessing_context=None if method == "auto" else method,
                timeout=ASK_EVERY,
            )
        except ValueError as error:
            raise UserError(f"--start-method {method} is not known here ({error}).") from None
        # At its exit, Python would ask workers to end, which leave signals to the main process, and
        # then wait for those that still have batches.
        atexit.unregister(kill_workers)
        atexit.register(kill_workers)

    def __iter__(self) -> Iterator[Any]:
        batches, start = iter(self._loader), time.monotonic()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                if time.monotonic() - start > TIME_LIMIT:
                    raise TrainingFailed(
                        f"The processes that load data have made no batch for {TIME_LIMIT:.0f} "
                        "seconds. Look for a disk that does not answer, or use --num-workers 0. "
                        f"{RESUME}"
                    ) from None
                continue
            yield batch
            start = time.monotonic()


def choose_num_workers(dataset: BatchDataset, batch_size: int, run: Run) -> int:
    """The number of the settings, or fewer if their batches do not fit into shared memory.

    Raises:
        UserError: they do not fit, and the number was typed.
    """
    wanted = run.hardware.num_workers
    if wanted == 0 or not SHM.is_dir() or not len(dataset):
        return wanted
    share = shutil.disk_usage(SHM).free // int(os.environ.get("LOCAL_WORLD_SIZE") or "1")
    batch = batch_size * sample_bytes(dataset)
    fitting = min(wanted, share // max(1, PREFETCHED * batch))
    if fitting == wanted:
        return wanted
    needed = PREFETCHED * wanted * batch // MIB + 1
    problem = (
        f"{SHM} has {share // MIB:,} MiB of free shared memory, but {wanted} processes that load "
        f"data need {needed:,} MiB for their batches. Start the container with --shm-size=8g"
    )
    if run.hardware.workers_requested:
        raise UserError(f"{problem}, or use --num-workers {fitting}.")
    if run.is_main:
        print(f"Warning: {problem}. Using --num-workers {fitting} instead.", file=sys.stderr)
    return fitting


def sample_bytes(dataset: BatchDataset) -> int:
    """Bytes of the first sample's tensors; 0 if it cannot be read, which its batch will say."""
    sizes = list[int]()
    try:
        map_tensors(dataset[0], lambda tensor: sizes.append(tensor.nbytes))
    except UserError:
        return 0
    return sum(sizes)


def _share(batch: Any) -> Any:
    """The batch in shared memory. An error here is raised by the loader; later it would be lost."""
    return map_tensors(batch, Tensor.share_memory_)


def _start_worker(_: int) -> None:
    """Leave signals, which may reach every process, to the main one; be quiet when that is gone.

    A worker sends its errors to the main process. What its threads print afterwards helps nobody.
    """
    for name in {"SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"} & {it.name for it in signal.Signals}:
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    sys.excepthook = lambda *_: None
    torch.set_num_threads(1)
