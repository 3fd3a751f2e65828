"""The losses of the steps: fetched from the device, added up, refused where they are not finite."""

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from .checkpoint import Progress
from .distributed import World
from .errors import RunFailed

AT_ONCE = 50  # losses are fetched together, because each fetch waits for the device
MAX_NAMES = 5  # samples of a bad step that are named


class Losses:
    """Those of steps that were taken, but are still on the device."""

    def __init__(self, world: World, skip: bool, describe: Callable[[int], list[str]]) -> None:
        """``describe`` names the samples of a step; ``skip``: a bad step does not end the run."""
        self.world, self.skip, self.describe = world, skip, describe
        self._pending: list[Tensor] = []

    def add(self, loss_and_norm: Tensor, progress: Progress) -> None:
        """Take the loss and the gradients' norm (2,) of the step that ``progress`` has counted."""
        self._pending.append(loss_and_norm)
        if len(self._pending) == AT_ONCE:
            self.collect(progress)

    def collect(self, progress: Progress) -> None:
        """Fetch what is pending, and add it up in the order of the steps.

        All processes must come here together: the loss of a step is the mean of theirs.

        Raises:
            RunFailed: a loss or a gradient is not finite.
        """
        mine = torch.stack(self._pending).tolist() if self._pending else []
        first = progress.step - len(mine) + 1
        self._pending.clear()
        for step, values in enumerate(zip(*self.world.gather(mine), strict=True), start=first):
            loss = sum(loss for loss, _ in values) / len(values)
            norm = values[0][1]  # the same for all: the gradients are
            if math.isfinite(loss) and math.isfinite(norm):
                progress.loss_sum += loss
            else:
                self._refuse(step, loss, progress)

    def _refuse(self, step: int, loss: float, progress: Progress) -> None:
        """Say which step it was, and what was in it."""
        what = "The gradient" if math.isfinite(loss) else "The loss"
        place = step - (progress.step - progress.step_in_epoch)
        names = self.describe(place - 1)
        listed = ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
        problem = (
            f"{what} is not finite in step {step} (epoch {progress.epoch + 1}, step {place}), "
            f"whose samples are {listed}."
        )
        if not self.skip:
            raise RunFailed(
                f"{problem} The last good checkpoint is kept. Try a smaller --learning-rate or "
                "--clip-norm, or --precision fp32, and look for extreme values in the data; "
                "--on-nonfinite skip leaves such steps out."
            )
        progress.skipped += 1
        if self.world.is_main:
            print(f"Warning: {problem} It was skipped.", file=sys.stderr)
