"""Propose a learning rate by a short training in which the rate rises from tiny to huge.

The range test of Smith (2017, https://arxiv.org/abs/1506.01186): ``python -m PACKAGE find-lr``
with the flags of train. It leaves a figure of the curve, and no run.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from ..engine.errors import TrainingFailed, UserError
from .arguments import Settings, parse, program, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.run import Run
    from ..hyperparameters import Hyperparameters

LOWEST, HIGHEST = 1e-7, 10.0
KEPT = 0.9  # of the running mean, at each step
WIDTH = 0.25  # standard deviation of the bell that smooths the curve, in powers of ten


@dataclass(frozen=True)
class FindLrArguments(Settings):
    """Try learning rates from tiny to huge in one short training, and propose one.

    Takes the flags of train, and keeps no run: only the figure of the curve is written.
    """

    config: Path | None = None
    """TOML file of settings, such as the hyperparameters.toml of an earlier run."""
    steps: Annotated[int, Ge(50)] = 100
    """Optimizer steps in which the rate rises; more give a smoother curve."""
    output: Path = Path("learning-rate.png")
    """File of the figure (PNG)."""


@dataclass(frozen=True)
class Curve:
    """The training loss at each learning rate, up to where it diverged."""

    lrs: np.ndarray
    losses: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The losses at the smallest rates, which change nothing: the first power of ten."""
        first: np.ndarray = self.losses[self.lrs <= 10 * self.lrs[0]]
        return first

    @property
    def smoothed(self) -> np.ndarray:
        """Each loss averaged with those around it; huge ones count as the highest first one."""
        exponents = np.log10(self.lrs)
        weights = np.exp(-(((exponents[:, None] - exponents) / WIDTH) ** 2) / 2)
        smoothed: np.ndarray = weights @ self.losses.clip(max=self.first.max()) / weights.sum(1)
        return smoothed


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(FindLrArguments, "find-lr", argv)
    output = arguments.output
    if not output.parent.is_dir() or output.is_dir():
        raise UserError(f"Cannot write {output}. Use a file in a folder that exists.")
    from ..engine.checkpoint import find_initial
    from ..engine.device import resolve
    from ..engine.distributed import process_group
    from ..engine.files import atomic_write
    from ..engine.run import Run
    from ..report.curves import draw_lr_curve

    hardware = resolve(arguments, requested_settings(argv))
    with process_group(hardware.backend) as dist:
        warn(hardware.notes if dist.is_main else [])
        initial = find_initial(arguments.start_settings)
        run = Run(Path(), arguments.run_settings, hardware, dist, initial=initial)
        curve = measure(arguments.hparams, run, arguments.steps)
    lr = propose(curve)
    if run.is_main:
        with atomic_write(output) as file:
            file.write(draw_lr_curve(curve.lrs, curve.losses, curve.smoothed, lr))
        others = requested_settings(argv) - {"learning_rate"}
        flags = " (and the other flags as here)" if others else ""
        print(f"Figure: {output}\nProposal: {program('train')} --learning-rate {lr:.2g}{flags}")
    return 0


def measure(hparams: "Hyperparameters", run: "Run", num_steps: int) -> Curve:
    """Train for at most ``num_steps`` while the rate rises, over as many epochs as that takes."""
    from tqdm import tqdm

    from ..criterion import Criterion
    from ..loaders import make_data, make_train_loader
    from ..optimizer import set_lr
    from ..train import make_state, train_step

    hparams = dataclasses.replace(hparams, ema_decay=0.0)
    data = make_data(hparams)
    loader = make_train_loader(data, hparams, run)
    criterion = Criterion(hparams, data.info)
    state = make_state(hparams, data.info, run)
    model = run.wrap(state.model)
    model.train()
    losses = list[float]()
    lrs = np.geomspace(LOWEST, HIGHEST, num_steps)
    steps = itertools.chain.from_iterable(map(loader.steps, itertools.count()))
    hidden = None if run.is_main else True
    for lr, micro_batches in zip(tqdm(lrs.tolist(), disable=hidden), steps, strict=False):
        set_lr(state.optimizer, lr)
        loss, _ = train_step(state, model, criterion, micro_batches, hparams, run)
        state.progress.end_step()
        losses.append(sum(run.dist.all_gather(loss.item())) / run.dist.world_size)
        if has_diverged(losses):
            break
    count = len(losses) if math.isfinite(losses[-1]) else len(losses) - 1
    return Curve(lrs[:count], np.array(losses[:count]))


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

    It rests on two levels, so it hardly moves with the noise of batches. With the defaults of the
    five tasks, 100 steps and three seeds, it came to 0.5 to 2.5 times their tuned rates. The
    steepest descent of the same curves came to 0.4 to 3.0 times, fastai's valley to 0.3 to 1.4.

    Raises:
        TrainingFailed: the loss did not fall, or was not finite from the beginning.
    """
    if not len(curve.losses):
        raise TrainingFailed(
            "The loss is not finite at the first step. Look for extreme values in the data, or "
            "try --precision fp32."
        )
    smoothed, first = curve.smoothed, curve.first
    lowest = int(smoothed.argmin())
    fall = first.mean() - smoothed[lowest]
    noise = max(first.std(), 1e-9 * abs(first.mean()))  # of batches, or of rounding
    if lowest < len(first) or fall <= noise:
        raise TrainingFailed(
            "The loss did not fall at any learning rate. Try more --steps or a larger "
            "--batch-size, and look at the data and the model."
        )
    above = np.flatnonzero(smoothed[:lowest] > first.mean() - fall / 2)
    return float(curve.lrs[above[-1] + 1 if len(above) else 0])
