"""Propose a learning rate by a short training in which the rate rises from tiny to huge.

The range test of Smith (2017, https://arxiv.org/abs/1506.01186): ``python -m PACKAGE find-lr``
with the flags of train. It leaves a picture of the curve, and no run.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from . import console, distributed
from .compiling import compile_model
from .criterion import Criterion
from .datasets import make_data
from .distributed import World
from .errors import RunFailed
from .hyperparameters import Hyperparameters
from .loaders import Batches, make_train_loader, on_device
from .optimizer import Schedule
from .runtime import Runtime
from .sampling import StepSampler
from .train import Job, make_state, train_step
from .utils import atomic_write
from .visualize import COLOURS, picture, style

LOWEST, HIGHEST = 1e-7, 10.0
KEPT = 0.9  # of the running mean, at each step
WIDTH = 0.25  # of the bell that smooths the curve: its standard deviation, in powers of ten


@dataclass(frozen=True)
class Curve:
    """The training loss at each learning rate, up to where it diverged."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The losses at the tiniest rates, which change nothing: the first power of ten."""
        first: np.ndarray = self.losses[self.rates <= 10 * self.rates[0]]
        return first

    @property
    def smoothed(self) -> np.ndarray:
        """The losses, averaged over the rates around by a bell, which does not lag behind.

        Losses above the first ones count as the highest of these: the last are astronomic.
        """
        decades = np.log10(self.rates)
        weights = np.exp(-(((decades[:, None] - decades) / WIDTH) ** 2) / 2)
        smoothed: np.ndarray = weights @ self.losses.clip(max=self.first.max()) / weights.sum(1)
        return smoothed


def find_lr(settings: Hyperparameters, runtime: Runtime, world: World, num_steps: int) -> Curve:
    """Train for at most ``num_steps`` while the rate rises, over as many epochs as that takes.

    Raises:
        UserError: the data or the model cannot be used.
    """
    settings = settings.but(ema_decay=0.0, on_nonfinite="stop")
    data = make_data(settings)
    no_run = Path()
    job = Job(settings, no_run, runtime, world, data, Criterion(settings, data.facts))
    loader, sampler = make_train_loader(data, settings, runtime, world)
    state = make_state(job, sampler.num_steps)
    start, growth = LOWEST / settings.learning_rate, (HIGHEST / LOWEST) ** (1 / (num_steps - 1))
    state.schedule = Schedule(state.optimizer, lambda step: start * growth**step)
    compile_model(state.model, runtime)
    model = distributed.wrap(state.model, runtime.device, world)
    model.train()
    rates, losses = list[float](), list[float]()
    batches = on_device(endless(loader, sampler), runtime.device)
    for _ in console.progress_bar("learning rates", range(num_steps), visible=world.is_main):
        parts, _ = train_step(job, state, model, batches)
        mine = sum(part.item() for part in parts) / len(parts)
        rates.append(state.progress.rate)
        losses.append(sum(world.gather(mine)) / world.size)
        state.progress.step += 1
        if has_diverged(losses):
            break
    count = len(losses) if math.isfinite(losses[-1]) else len(losses) - 1
    return Curve(np.array(rates[:count]), np.array(losses[:count]))


def endless(loader: Batches, sampler: StepSampler) -> Iterator[Any]:
    """The batches of epoch after epoch."""
    for epoch in itertools.count():
        sampler.epoch = epoch
        yield from loader


def has_diverged(losses: Sequence[float]) -> bool:
    """Whether the last loss is not finite, or the running mean is at four times its lowest.

    The mean forgets exponentially, and is corrected for its beginning (Kingma and Ba 2015,
    https://arxiv.org/abs/1412.6980, section 3).
    """
    mean, lowest, corrected = 0.0, math.inf, math.inf
    for step, loss in enumerate(losses, start=1):
        mean = KEPT * mean + (1 - KEPT) * loss
        corrected = mean / (1 - KEPT**step)
        lowest = min(lowest, corrected)
    return not math.isfinite(losses[-1]) or corrected > lowest + 3 * abs(lowest)


def propose(curve: Curve) -> float:
    """The rate at which the smoothed loss has fallen half way from its first level to its lowest.

    It rests on two levels, and so hardly moves with the noise of batches. With the defaults of five
    tasks (images, masks, boxes, tables, texts), 100 steps and three seeds, it comes to 0.5 to 2.5
    times their tuned rates, and from seed to seed it moves by a factor of 1.5 at most. The steepest
    descent of the same curves comes to 0.4 to 3.0 times (and moves by 1.7), a tenth of the lowest
    point's rate to 0.3 to 3.3 times (6.4), and fastai's valley to 0.3 to 1.4 times (2.1).

    Raises:
        RunFailed: the loss did not fall, or was not finite from the beginning.
    """
    if not len(curve.losses):
        raise RunFailed(
            "The loss is not finite at the first step. Look for extreme values in the data, or "
            "try --precision fp32."
        )
    smoothed, first = curve.smoothed, curve.first
    lowest = int(smoothed.argmin())
    fall = first.mean() - smoothed[lowest]
    noise = max(first.std(), 1e-9 * abs(first.mean()))  # of batches, or of rounding
    if lowest < len(first) or fall <= noise:
        raise RunFailed(
            "The loss did not fall at any learning rate. Try more --steps or a larger "
            "--batch-size, and look at the data and the model."
        )
    above = np.flatnonzero(smoothed[:lowest] > first.mean() - fall / 2)
    return float(curve.rates[above[-1] + 1 if len(above) else 0])


def table(curve: Curve, num_lines: int = 12) -> str:
    """Learning rates and smoothed losses, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(curve.rates) - 1, num_lines).round().astype(int))
    rows = zip(curve.rates[chosen], curve.smoothed[chosen], strict=True)
    return "\n".join(
        ["learning rate        loss", *(f"{rate:13.1e}{loss:12.4g}" for rate, loss in rows)]
    )


def draw(curve: Curve, proposal: float, output: Path) -> None:
    """Write the picture of the curve, with the proposal marked, as PNG."""
    with style():
        figure = Figure(figsize=(6.4, 3.8))
        axes = figure.add_subplot()
        axes.plot(curve.rates, curve.losses, ".-", color="0.7", linewidth=1, label="loss of a step")
        axes.plot(curve.rates, curve.smoothed, color=COLOURS[0], linewidth=2, label="smoothed")
        label = f"proposal: {proposal:.2g}"
        axes.axvline(proposal, color=COLOURS[1], linestyle="--", label=label)
        low, high = min(curve.losses.min(), curve.smoothed.min()), curve.first.max()
        margin = 0.05 * (high - low)
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.set_ylim(low - margin, high + 3 * margin)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.0e}"))
        axes.legend(loc="lower left")
        drawn = picture("learning-rate", figure, "")
    with atomic_write(output) as file:
        file.write(drawn.png)
