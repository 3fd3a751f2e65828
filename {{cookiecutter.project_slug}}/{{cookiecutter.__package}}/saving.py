"""When a run is saved, and how: copied at once, written while training goes on."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint, runs
from .checkpoint import State
from .distributed import World
from .settings import CommonHyperparameters, parse_interval
from .storage import Writer, to_host
from .stored_settings import to_plain


class Saver:
    """Saves a run in the main process, for all; in the others it does nothing.

    Use it in a ``with`` statement, which ends when all is on the disk.
    """

    def __init__(
        self, run: Path, settings: CommonHyperparameters, facts: dict[str, Any], world: World
    ) -> None:
        self.run, self.is_main = run, world.is_main
        self._known = {"hyperparameters": to_plain(settings), "facts": facts}
        self._every, self._unit = parse_interval(settings.checkpoint_every)
        self._last = time.monotonic()
        self._writer = Writer()

    def __enter__(self) -> "Saver":
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def is_due(self, step: int) -> bool:
        """Whether enough steps were taken since the last save; the same for all processes."""
        return self._unit == "steps" and self._every > 0 and step % self._every == 0

    def is_due_by_clock(self) -> bool:
        """Whether enough time has passed since the last save; only the main process knows."""
        enough = self._unit == "seconds" and time.monotonic() - self._last >= self._every
        return self.is_main and self._every > 0 and enough

    def save(
        self,
        state: State,
        metrics: dict[str, float] | None = None,
        outputs: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Save where the run is; with ``outputs``, also keep the model as the best so far.

        It takes as long as a copy to the CPU's memory, if the save before is finished.
        """
        if not self.is_main:
            return
        last = {**self._known, **to_host(state.content())}
        # The weights that are evaluated are in there.
        model = last["average"] or last["model"]
        best = {"model": model, "epoch": state.progress.epoch, "metrics": metrics}

        def write() -> None:
            if outputs is not None:
                checkpoint.write_best(self.run, {**self._known, **best}, outputs)
            checkpoint.write_last(self.run, last)

        self._writer.start(write)
        self._last = time.monotonic()

    def wait(self) -> None:
        """Wait until all is on the disk."""
        self._writer.wait()

    def add_row(self, state: State, row: dict[str, Any]) -> None:
        """Record an epoch in metrics.jsonl; a checkpoint holds the rows too."""
        row = runs.finite(row)
        state.rows.append(row)
        if self.is_main:
            runs.add_metrics(self.run, row)
