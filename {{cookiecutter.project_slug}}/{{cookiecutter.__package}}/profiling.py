"""Where the time of training steps goes: ``python train.py --profile 20``.

It prints a table, and writes a trace that opens in https://ui.perfetto.dev.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import torch

from .console import say

PARTS = {
    "data": "waiting for data",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
}
SKIPPED = 5  # first steps, in which memory is found and kernels are chosen


class Profile(Protocol):
    """Watches the parts of each step."""

    def step(self) -> AbstractContextManager[None]:
        """Around a whole step."""
        ...

    def part(self, name: str) -> AbstractContextManager[None]:
        """Around one of ``PARTS``."""
        ...

    def end(self) -> None:
        """After the last step of the run."""
        ...


class NoProfile:
    """Watches nothing, and costs nothing."""

    def __init__(self) -> None:
        self._nothing = nullcontext()

    def step(self) -> AbstractContextManager[None]:
        """See ``Profile``."""
        return self._nothing

    def part(self, name: str) -> AbstractContextManager[None]:
        """See ``Profile``."""
        return self._nothing

    def end(self) -> None:
        """See ``Profile``."""


class StepProfile:
    """Measures ``num_steps`` steps after the first few.

    Each part ends when the device has done its work, so on a GPU the steps take a little longer
    than usual, and every part has the time that is its own.
    """

    def __init__(self, num_steps: int, device: torch.device, trace: Path) -> None:
        self.num_steps, self.device, self.trace = num_steps, device, trace
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.total, self.counted = 0.0, 0
        self._seen = 0
        self._recorder: torch.profiler.profile | None = None
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's recorder talks to itself

    @contextmanager
    def step(self) -> Iterator[None]:
        """See ``Profile``; the last of the steps ends the recording."""
        if self._seen == SKIPPED:
            self._recorder = torch.profiler.profile(activities=activities(self.device))
            self._recorder.start()
        self._seen += 1
        started = time.perf_counter()
        yield
        if self._recorder is not None:
            self.total += time.perf_counter() - started
            self.counted += 1
        if self.counted == self.num_steps:
            self.end()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """See ``Profile``."""
        if self._recorder is None:
            yield
            return
        started = time.perf_counter()
        with torch.profiler.record_function(PARTS[name]):
            yield
            if self.device.type != "cpu":
                torch.accelerator.synchronize(self.device)
        self.seconds[name] += time.perf_counter() - started

    def end(self) -> None:
        """Write the trace and print the table, if there is a recording under way."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.stop()
            recorder.export_chrome_trace(str(self.trace))
            say(self.table())
            say(f"Trace: {self.trace} (open it in https://ui.perfetto.dev)")
        elif not self.counted:
            say(f"Nothing was profiled: the run had no more than {SKIPPED} steps.")

    def table(self) -> str:
        """Milliseconds in a step, and the share of each part."""
        parts = {PARTS[name]: seconds for name, seconds in self.seconds.items()}
        parts["other"] = max(0.0, self.total - sum(parts.values()))
        lines = [f"{f'Mean of {self.counted} steps':<18} {'ms':>9} {'share':>7}"]
        for name, seconds in {**parts, "together": self.total}.items():
            milliseconds, share = 1000 * seconds / self.counted, seconds / self.total
            lines.append(f"{name:<18} {milliseconds:>9.3f} {share:>7.1%}")
        return "\n".join(lines)


def activities(device: torch.device) -> list[torch.profiler.ProfilerActivity]:
    """What torch records: the work of the CPU, and that of the device, if it can tell."""
    kinds = torch.profiler.ProfilerActivity
    known = {"cuda": [kinds.CUDA], "xpu": [kinds.XPU]}
    return [kinds.CPU, *known.get(device.type, [])]
