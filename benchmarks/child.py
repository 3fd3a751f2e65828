"""A contender's own process: it makes ready, and trains an epoch each time that it is told to.

The parent (arena.py) starts it with the address to which it reports, and sends it its job.
"""

import importlib
import os
import sys
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from .plan import BATCH


@dataclass(frozen=True)
class Job:
    """What the parent wants."""

    contender: str
    """A module of ``contenders/``."""
    workload: str
    folder: Path
    """Where the data is."""
    rounds: int
    """Epochs to train; the first is the warm-up."""
    options: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    times: int = 1
    """The training data is so many times as large."""
    core: int | None = None
    """The only core to compute on."""


class Referee:
    """Between a contender and the parent: waits for the word to go, and takes the time."""

    def __init__(self, connection: "Connection[Any, Any]", rounds: int) -> None:
        self.connection, self.rounds = connection, rounds
        self._began = self._computed = 0.0

    def start(self) -> None:
        """Wait until it is this contender's turn; call it right before the first batch."""
        self.connection.send({"ready": True})
        self.connection.recv()
        self._computed = time.process_time()
        self._began = time.perf_counter()

    def stop(self, steps: int) -> None:
        """Call it right after the last step, when the sums of the epoch are known."""
        seconds = time.perf_counter() - self._began
        computed = time.process_time() - self._computed
        self.connection.send(
            {
                "seconds": seconds,
                "cpu_seconds": computed,  # of this process: what others take does not count
                "steps": steps,
                "samples": steps * BATCH,
            }
        )

    def finish(self, quality: float | None) -> None:
        """The last word: how good the model is on held-out data."""
        self.connection.send({"quality": quality, "peak_mib": peak_mib()})


def peak_mib() -> float | None:
    """Most memory that was resident in this process; None where nobody counts it."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    with Client(os.environ["BENCHMARK_ADDRESS"]) as connection:
        job: Job = connection.recv()
        try:
            run(job, connection)
        except Exception:
            connection.send({"error": traceback.format_exc()})


def run(job: Job, connection: "Connection[Any, Any]") -> None:
    """Import only what this contender needs, for its memory is measured too."""
    contender = importlib.import_module(f"benchmarks.contenders.{job.contender}")
    import torch

    from . import workloads

    torch.set_num_threads(1)
    if job.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.core})
    workload = workloads.load(job.workload, job.folder, job.workers, job.times)
    contender.run(workload, Referee(connection, job.rounds), job.options)


if __name__ == "__main__":
    main()
