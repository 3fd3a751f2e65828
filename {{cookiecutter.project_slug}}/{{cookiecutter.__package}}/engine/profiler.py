"""Where the time of training steps goes: ``python train.py --profile 20``."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule
from tqdm import tqdm

WAIT = 5  # steps in which memory is allocated and kernels are chosen


class StepProfiler:
    """Measures a few steps, once in a run, prints a table and writes a trace."""

    def __init__(self, num_steps: int, device: torch.device, trace: Path) -> None:
        self.device, self.trace = device, trace
        self.is_started = self.is_done = False
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's recorder prints much else
        self.profiler = profile(
            activities=_activities(device),
            schedule=schedule(wait=WAIT, warmup=1, active=num_steps, repeat=1),
            on_trace_ready=self._finish,
            acc_events=True,
        )

    def watch(self, steps: Iterator[Any]) -> Iterator[Any]:
        """The same steps of an epoch; if it ends too soon, the next epoch continues."""
        if not self.is_started:
            self.profiler.start()
            self.is_started = True
        while not self.is_done:
            with record_function("waiting for data"):
                step = next(steps, None)
            if step is None:
                return
            yield step
            self.profiler.step()
        yield from steps

    def _finish(self, profiler: profile) -> None:
        sort = "self_cpu_time_total" if self.device.type == "cpu" else "self_device_time_total"
        table = profiler.key_averages().table(sort_by=sort, row_limit=20, max_name_column_width=40)
        profiler.export_chrome_trace(str(self.trace))
        self.is_done = True
        tqdm.write(f"{table}\nTrace: {self.trace} (open it in https://ui.perfetto.dev)")


def _activities(device: torch.device) -> list[ProfilerActivity]:
    """What torch can record: the work of the CPU, and that of some devices."""
    known = {"cuda": [ProfilerActivity.CUDA], "xpu": [ProfilerActivity.XPU]}
    return [ProfilerActivity.CPU, *known.get(device.type, [])]
