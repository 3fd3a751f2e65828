"""Trackers, which show runs in a browser: fed after each epoch from the rows of metrics.jsonl.

A tracker that fails costs one warning and, as long as it is down, a hundredth of the run's time.
"""

import importlib.util
import sys
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from .errors import Stopped, UserError
from .files import read_text, write_text
from .mlflow_tracker import MLflow
from .trackers import Row, TensorBoard, Tracker
from .wandb_tracker import WandB

KINDS: dict[str, Callable[[Path, str], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}
PATIENCE = 100  # times what a failed attempt took; then comes the next one


class Tracking:
    """The trackers of a run; without names, it does nothing.

    In a ``with`` statement, it tells the trackers when training ends early.
    """

    def __init__(self, names: Sequence[str] = (), directory: Path = Path()) -> None:
        self._feeds = [Feed(name, directory) for name in names]

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:
            self._close("KILLED" if issubclass(kind, Stopped) else "FAILED")

    def feed(self, rows: Sequence[Row]) -> None:
        """Send each tracker what it does not have yet."""
        for feed in self._feeds:
            feed.attempt(lambda tracker: tracker.feed(rows))

    def finish(self, rows: Sequence[Row]) -> None:
        """Send what is missing, the figures and the report, also where a tracker was down."""
        for feed in self._feeds:
            feed.next_attempt = 0
        self.feed(rows)
        for feed in self._feeds:
            feed.attempt(lambda tracker: tracker.add_files(rows[-1]["step"] if rows else 0))
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        for feed in self._feeds:
            if feed.tracker is not None:
                feed.attempt(lambda tracker: tracker.close(status))


class Feed:
    """One tracker of a run: connected when there is something to send, and again after a failure.

    What a tracker raises when it is down is its own business, so every exception is caught.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.tracker: Tracker | None = None
        self.next_attempt = 0.0
        self._has_warned = False

    def attempt(self, action: Callable[[Tracker], None]) -> None:
        """Do this with the tracker, unless it has just failed."""
        start = time.monotonic()
        if start < self.next_attempt:
            return
        try:
            if self.tracker is None:
                self.tracker = KINDS[self.name](self.directory, identity(self.directory))
                print(f"{self.name}: {self.tracker.place}")
            action(self.tracker)
        except Exception as error:
            self.tracker, now = None, time.monotonic()
            self.next_attempt = now + PATIENCE * (now - start)
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(
                f"Warning: {self.name} failed ({reason}). Training goes on. What is missing there "
                "is sent when it answers again, if need be by "
                f"`python train.py --resume {self.directory.name}`.",
                file=sys.stderr,
            )
        self._has_warned = True


def identity(directory: Path) -> str:
    """What identifies a run to its trackers; made once, and kept in the run's directory."""
    path = directory / "tracking.txt"
    if not path.exists():
        write_text(path, uuid.uuid4().hex + "\n")
    return read_text(path).strip()


def installed(names: Sequence[str], requested: Collection[str]) -> tuple[list[str], list[str]]:
    """The trackers whose packages are here, and notes about the others.

    Raises:
        UserError: some are not here, and the setting was typed as a flag.
    """
    specs = {name: importlib.util.find_spec(name) for name in dict.fromkeys(names)}
    # A folder such as wandb/ beside the program looks like a package, but without a file.
    missing = [name for name, spec in specs.items() if spec is None or spec.origin is None]
    if not missing:
        return list(specs), []
    note = (
        f"The package {' and '.join(missing)} is not installed here, so it cannot track the run. "
        'Use `uv sync --extra tracking` or `python -m pip install -e ".[tracking]"`.'
    )
    if "track" in requested:
        raise UserError(f"--track: {note}")
    return [name for name in specs if name not in missing], [note]
