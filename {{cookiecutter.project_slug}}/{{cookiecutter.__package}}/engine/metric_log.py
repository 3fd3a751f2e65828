"""The metrics of a run: on the terminal, and one row for each epoch in ``metrics.jsonl``."""

import json
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .checkpoint import Progress
from .errors import TrainingFailed
from .files import write_text
from .loading import TrainLoader
from .machine import process_peak_mib
from .run import Run

Row = dict[str, Any]
FETCH_EVERY = 50  # steps whose values are fetched together, because each fetch waits for the device


class MetricLog:
    """Collects what the loop adds in each step, and writes its mean for each epoch.

    Values stay on the device for up to 50 steps, so that no step waits for it. Their sums and the
    rows are part of a checkpoint.
    """

    def __init__(self, run: Run, progress: Progress, num_epochs: int, loader: TrainLoader) -> None:
        self.run, self.progress, self.num_epochs, self.loader = run, progress, num_epochs, loader
        self.path = run.directory / "metrics.jsonl"
        self.rows: list[Row] = []
        self._sums: dict[str, float] = {}
        self._lr = 0.0
        self._pending: list[dict[str, Tensor | float]] = []
        self._speed: Row = {}

    def state_dict(self) -> dict[str, Any]:
        """Rows, and the sums of the current epoch. All processes must come here together."""
        self.fetch()
        return {"rows": list(self.rows), "sums": dict(self._sums), "lr": self._lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as ``state_dict`` says, and write metrics.jsonl again."""
        self.rows, self._sums = list(state_dict["rows"]), dict(state_dict["sums"])
        self._lr = state_dict["lr"]
        if self.run.is_main:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def progress_bar(self, steps: Iterable[Any]) -> Iterator[Any]:
        """The remaining steps of the current epoch, counted on a terminal."""
        started, first = time.perf_counter(), self.progress.step
        yield from tqdm(
            steps,
            desc=f"epoch {self.progress.epoch + 1}/{self.num_epochs}",
            initial=self.progress.step_in_epoch,
            total=self.loader.steps_per_epoch,
            unit="step",
            leave=False,
            disable=None if self.run.is_main else True,
        )
        self.fetch()
        seconds = time.perf_counter() - started
        num_samples = (self.progress.step - first) * self.loader.sampler.batch_size
        self._speed = {"samples_per_second": num_samples / seconds, "seconds": seconds}

    def add(self, *, lr: float, **values: Tensor | float | None) -> None:
        """Add scalars of the step that ``progress`` has just counted: loss, grad_norm, ...

        Each stands in metrics.jsonl as ``train/NAME``, its mean over the steps of the epoch. None
        is left out.

        Raises:
            TrainingFailed: one of the last steps had a loss or gradient that is not finite.
        """
        self._lr = lr
        self._pending.append({name: v for name, v in values.items() if v is not None})
        if len(self._pending) == FETCH_EVERY:
            self.fetch()

    def fetch(self) -> None:
        """Fetch the values from the device, and add them up in the order of the steps."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        device = self.run.device
        tensors = [torch.as_tensor(v, device=device) for values in pending for v in values.values()]
        mine = torch.stack(tensors).float().view(len(pending), -1).tolist()
        steps = zip(*self.run.dist.all_gather(mine), strict=True)
        first = self.progress.step - len(pending) + 1
        for step, (values, shares) in enumerate(zip(pending, steps, strict=True), start=first):
            for name, everyone in zip(values, zip(*shares, strict=True), strict=True):
                mean = sum(everyone) / len(everyone)
                self._check(name, mean, step)
                self._sums[name] = self._sums.get(name, 0.0) + mean

    def _check(self, name: str, value: float, step: int) -> None:
        """Refuse what is not finite. With fp16, gradients may be: such a step is not taken."""
        if math.isfinite(value) or (name != "loss" and self.run.hardware.precision == "fp16"):
            return
        step_in_epoch = step - (self.progress.step - self.progress.step_in_epoch)
        samples = self.loader.describe_step(step_in_epoch - 1)
        listed = ", ".join(samples[:5]) + (", ..." if len(samples) > 5 else "")
        raise TrainingFailed(
            f"{name} is not finite in step {step} (epoch {self.progress.epoch + 1}, step "
            f"{step_in_epoch}), whose samples are {listed}. Try a smaller --learning-rate or "
            "--clip-norm, or --precision fp32, and look for extreme values in the data."
        )

    def end_epoch(self, metrics: dict[str, float], is_best: bool) -> None:
        """Write the row of the epoch that ``progress`` has just counted, and print it."""
        num_steps = self.loader.steps_per_epoch
        row: Row = {"epoch": self.progress.epoch, "step": self.progress.step}
        row |= {f"train/{name}": total / num_steps for name, total in self._sums.items()}
        row |= {f"val/{name}": value for name, value in metrics.items()}
        row |= {"lr": self._lr, **self._speed, "peak_memory_mib": peak_memory_mib(self.run.device)}
        row["is_best"] = is_best  # of the epochs until now
        # JSON has null for a number that is not finite, and nothing else.
        finite = {k: None if v in (math.inf, -math.inf) or v != v else v for k, v in row.items()}
        self.rows.append(finite)
        self._sums = {}
        if not self.run.is_main:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite) + "\n")
        values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(
            f"epoch {row['epoch']:>3}/{self.num_epochs}  train loss {row['train/loss']:.4f}  "
            f"validation: {values}  {row['samples_per_second']:,.0f} samples/s"
            + (" *" if is_best else "")
        )
        self.run.tracking.feed(self.rows)


def peak_memory_mib(device: torch.device) -> float | None:
    """Most memory in use so far: on the GPU, else of this process; None where it is not known."""
    if device.type in ("cuda", "xpu"):
        return torch.accelerator.max_memory_allocated(device) / 2**20
    return process_peak_mib()
