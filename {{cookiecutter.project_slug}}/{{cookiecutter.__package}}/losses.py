"""The losses of the steps: fetched from the device, added up, refused where they are not finite."""

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from .checkpoint import Progress
from .distributed import World
from .errors import RunFailed

AT_ONCE = 50  # steps whose losses are fetched together, because each fetch waits for the device
MAX_NAMES = 5  # samples of a bad step that are named


class Losses:
    """Those of steps that were taken, but are still on the device."""

    def __init__(self, world: World, skip: bool, describe: Callable[[int], list[str]]) -> None:
        """``describe`` names the samples of a step; ``skip``: a bad step does not end the run."""
        self.world, self.skip, self.describe = world, skip, describe
        self._pending: list[list[Tensor]] = []
        self._norms: list[Tensor] = []

    def add(self, losses: list[Tensor], norm: Tensor | None, progress: Progress) -> None:
        """Take what the step that ``progress`` has counted left on the device.

        Args:
            losses: those of its parts, scalars.
            norm: of its gradients, where it was measured in all steps; else None.
        """
        self._pending.append(losses)
        if norm is not None:
            self._norms.append(norm)
        if len(self._pending) == AT_ONCE:
            self.collect(progress)

    def collect(self, progress: Progress) -> None:
        """Fetch what is pending, and add it up in the order of the steps.

        All processes must come here together: the loss of a step is the mean of theirs.

        Raises:
            RunFailed: a loss or a gradient is not finite.
        """
        mine, norms = self._fetch()
        first = progress.step - len(mine) + 1
        by_step = zip(*self.world.gather(mine), strict=True)
        # The gradients, and so their norm, are the same for all processes.
        for step, (losses, norm) in enumerate(zip(by_step, norms, strict=True), start=first):
            loss = sum(losses) / len(losses)
            if math.isfinite(loss) and math.isfinite(norm):
                progress.loss_sum += loss
            else:
                self._refuse(step, loss, progress)

    def _fetch(self) -> tuple[list[float], list[float]]:
        """The loss of each pending step, and the norm of its gradients, 0 where nobody measured."""
        pending, norms = self._pending, self._norms
        self._pending, self._norms = [], []
        if not pending:
            return [], []
        flat = torch.stack([loss for losses in pending for loss in losses])
        mine = flat.float().view(len(pending), -1).mean(1)
        measured = torch.stack(norms).float() if norms else torch.zeros_like(mine)
        values = torch.stack([mine, measured]).tolist()
        return values[0], values[1]

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
