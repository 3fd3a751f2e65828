"""Puts the inputs of concurrent requests together, so that a model runs once for many of them."""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .serving import Arrays

MAX_BYTES = 2**26  # of the inputs of a run; a single sample may have more


@dataclass(frozen=True)
class Job:
    """The samples of a request, and where their outputs will be."""

    inputs: Arrays
    outputs: asyncio.Future[Arrays] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def num_samples(self) -> int:
        """How many."""
        return len(next(iter(self.inputs.values())))


@dataclass
class Batcher:
    """Runs a model for requests. A batch is what came during the run before it.

    It is filled up with requests that are on their way, but waits for them only ``max_wait``
    seconds. There is one run at a time, in a thread, because a run uses all cores.
    """

    model: Callable[[Arrays], Arrays]
    padding: int | None
    """What fills shorter samples; with None only samples of the same shape are put together."""
    max_batch: int
    """Samples in a run."""
    max_wait: float
    num_requests: Callable[[], int]
    """How many requests there are now, with those that are still being read."""
    observe: Callable[[int, float], None]
    """Gets the samples and the seconds of each run."""

    def __post_init__(self) -> None:
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1, "model")

    async def predict(self, inputs: Arrays) -> Arrays:
        """The outputs for the inputs of one request."""
        job = Job(inputs)
        self.jobs.put_nowait(job)
        return await job.outputs

    async def run(self) -> None:
        """Answer requests until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            for jobs in self.groups(await self.collect()):
                results = await loop.run_in_executor(self.thread, self.compute, jobs)
                for job, result in zip(jobs, results, strict=True):
                    if job.outputs.done():  # the request was given up
                        continue
                    if isinstance(result, Exception):
                        job.outputs.set_exception(result)
                    else:
                        job.outputs.set_result(result)

    async def collect(self) -> list[Job]:
        """The next requests, at least one."""
        jobs = [await self.jobs.get()]
        deadline = time.monotonic() + self.max_wait
        while sum(job.num_samples for job in jobs) < self.max_batch:
            if self.jobs.empty() and len(jobs) >= self.num_requests():
                break
            try:
                async with asyncio.timeout(max(0, deadline - time.monotonic())):
                    jobs.append(await self.jobs.get())
            except TimeoutError:
                break
        return jobs

    def groups(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """The requests whose inputs can be put together."""
        found: dict[Hashable, list[Job]] = {}
        for job in jobs:
            shapes = [(name, values.shape[1:]) for name, values in job.inputs.items()]
            key = tuple(shapes) if self.padding is None else None
            found.setdefault(key, []).append(job)
        return list(found.values())

    def compute(self, jobs: Sequence[Job]) -> list[Arrays | Exception]:
        """The outputs for each request. One that makes the model fail does not harm the others."""
        try:
            outputs = self.outputs(stack([job.inputs for job in jobs], self.padding))
        except Exception as error:
            return [error] if len(jobs) == 1 else [self.compute([job])[0] for job in jobs]
        results, end = list[Arrays | Exception](), 0
        for job in jobs:
            begin, end = end, end + job.num_samples
            results.append({name: values[begin:end] for name, values in outputs.items()})
        return results

    def outputs(self, inputs: Arrays) -> Arrays:
        """What the model says, in runs that are not too large."""
        count = len(next(iter(inputs.values())))
        size = sum(values.nbytes for values in inputs.values()) // count
        step = max(1, min(self.max_batch, MAX_BYTES // max(1, size)))
        parts = []
        for begin in range(0, count, step):
            some = {name: values[begin : begin + step] for name, values in inputs.items()}
            start = time.perf_counter()
            parts.append(self.model(some))
            self.observe(min(step, count - begin), time.perf_counter() - start)
        return stack(parts)


def stack(parts: Sequence[Arrays], padding: int | None = None) -> Arrays:
    """Arrays of several requests as one of each name; shorter ones are filled with ``padding``."""
    if len(parts) == 1:
        return parts[0]
    if padding is not None:
        longest = {name: max(part[name].shape[1] for part in parts) for name in parts[0]}
        parts = [
            {
                name: np.pad(
                    values, ((0, 0), (0, longest[name] - values.shape[1])), constant_values=padding
                )
                for name, values in part.items()
            }
            for part in parts
        ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
