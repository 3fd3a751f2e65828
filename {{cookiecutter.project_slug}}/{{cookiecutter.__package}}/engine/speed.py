"""How fast a function of batches is, and tables of such results."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
import torch

from .exporting import Inputs, Outputs
from .onnx_session import OnnxModel

Compute = Callable[[Inputs], Outputs]
LARGEST_BATCH = 256
SECONDS = 0.3
"""How long each size of batch is measured."""
LONGEST = 1.0
"""Seconds; where a batch takes longer, no larger ones are tried."""


@dataclass(frozen=True)
class Speed:
    """How long one sample takes alone, and how many a second takes in the best batch."""

    latency_ms: float
    best_batch: int
    per_second: float

    def cells(self) -> dict[str, str]:
        """For a row of a table."""
        best = f"{self.per_second:,.0f} ({self.best_batch})"
        return {"ms, batch of 1": f"{self.latency_ms:.2f}", "samples/s (best batch)": best}


def onnx_compute(file: Path) -> Compute:
    """An ONNX file as the function of a ``StandIn``."""
    model = OnnxModel(file)

    def compute(inputs: Inputs) -> Outputs:
        arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
        return {name: torch.from_numpy(array) for name, array in model(**arrays).items()}

    return compute


def openvino_compute(file: Path) -> Compute:
    """The same, run by OpenVINO; in fp32, for it rounds to half precision where that is faster."""
    core, options = import_module("openvino").Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(str(file), "CPU", options)

    def compute(inputs: Inputs) -> Outputs:
        found = compiled({name: value.cpu().numpy() for name, value in inputs.items()})
        return {port.any_name: torch.from_numpy(found[port].copy()) for port in compiled.outputs}

    return compute


@torch.inference_mode()
def measure(compute: Compute, sample: Inputs) -> Speed:
    """The speed with batches of 1, 4, 16, ... times the same sample; it has a batch of 1."""
    seconds: dict[int, float] = {}
    batch = 1
    while batch <= LARGEST_BATCH and max(seconds.values(), default=0) < LONGEST:
        inputs = {name: value.repeat_interleave(batch, 0) for name, value in sample.items()}
        seconds[batch] = seconds_of(lambda given=inputs: compute(given))  # type: ignore[misc]
        batch *= 4
    best = min(seconds, key=lambda size: seconds[size] / size)
    return Speed(1000 * seconds[1], best, best / seconds[best])


def seconds_of(function: Callable[[], Outputs]) -> float:
    """The median of several calls, after one that does not count."""
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < SECONDS and len(times) < 1000):
        start = time.perf_counter()
        for output in function().values():
            output.cpu()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return median(times)


def format_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of cells by the names of their columns, as a table in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([row.get(name, "–") for name in names] for row in rows)]
    widths = np.max([[len(cell) for cell in line] for line in lines], axis=0)
    padded = [[c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
