"""What a tracker must do, and what happens when it does not."""

import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import read_text, write_text

Row = Mapping[str, Any]
SECONDS = 10  # a tracker that takes longer to answer is down


class Tracker(ABC):
    """A run in a tracker, which is asked what it has: no step is missing there, or is twice.

    When it is down, its methods may raise anything. That costs one warning and, because it is tried
    again after a hundred times as long as that took, a hundredth of the run's time.
    """

    patience = 100
    place: str
    """Where people look at it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.known = set[tuple[str, int]]()
        self.is_connected = self.has_warned = False
        self.next_attempt = 0.0

    @abstractmethod
    def connect(self, identity: str) -> None:
        """Begin, or go on and find out which (name, step) are ``known``."""

    @abstractmethod
    def add(self, step: int, values: dict[str, float]) -> None:
        """Send the values of a step."""

    @abstractmethod
    def add_files(self, step: int) -> None:
        """Send the figures, the report and the hyperparameters of the run."""

    @abstractmethod
    def close(self, status: str) -> None:
        """The run has ended: FINISHED, FAILED or KILLED."""

    def has(self, name: str, step: int) -> bool:
        """Whether it has this value."""
        return (name, step) in self.known

    def feed(self, rows: Sequence[Row]) -> None:
        """Send the numbers that it does not have; JSON's null is one that is not finite."""
        for row in rows:
            numbers = {name: v for name, v in row.items() if v is not None and name != "step"}
            step, missing = row["step"], [n for n in numbers if not self.has(n, row["step"])]
            if missing:
                self.add(step, {name: numbers[name] for name in missing})
            self.known |= {(name, step) for name in missing}

    def files(self) -> list[Path]:
        """What people read of a run."""
        names = ("hyperparameters.toml", "environment.json", "report.html")
        files = [*map(self.directory.joinpath, names), *self.directory.glob("figures/*.png")]
        return sorted(path for path in files if path.exists())

    def attempt(self, action: Callable[..., None], *values: Any) -> None:
        """Do this, unless the tracker has just failed."""
        start = time.monotonic()
        if start < self.next_attempt:
            return
        try:
            if not self.is_connected:
                self.known.clear()
                self.connect(identity(self.directory))
                self.is_connected = True
                print(f"{self.name}: {self.place}")
            action(*values)
        except Exception as error:
            self.is_connected, now = False, time.monotonic()
            self.next_attempt = now + self.patience * (now - start)
            self._warn(" ".join(f"{type(error).__name__}: {error}".split())[:300])

    def _warn(self, reason: str) -> None:
        if not self.has_warned:
            print(
                f"Warning: {self.name} failed ({reason}). Training goes on. What is missing there "
                "is sent when it answers again, if need be when the run is continued with "
                f"--resume {self.directory.name}.",
                file=sys.stderr,
            )
        self.has_warned = True


def identity(directory: Path) -> str:
    """What identifies a run to its trackers; made once, and kept in the run's directory."""
    path = directory / "tracking.txt"
    if not path.exists():
        write_text(path, uuid.uuid4().hex)
    return read_text(path)
