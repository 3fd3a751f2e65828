"""Trackers, which show runs in a browser: fed after each epoch from the rows of metrics.jsonl."""

import importlib.util
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from .errors import Stopped, UserError
from .mlflow_tracker import MLflow
from .tensorboard_tracker import TensorBoard
from .tracker import Row, Tracker
from .wandb_tracker import WandB

KINDS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


class Tracking:
    """The trackers of a run; without names, it does nothing.

    In a ``with`` statement, it tells them when training ends early.
    """

    def __init__(self, names: Sequence[str] = (), directory: Path = Path()) -> None:
        self._trackers = [KINDS[name](name, directory) for name in names]

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:
            self._close("KILLED" if issubclass(kind, Stopped) else "FAILED")

    def feed(self, rows: Sequence[Row]) -> None:
        """Send each tracker what it does not have yet."""
        for tracker in self._trackers:
            tracker.attempt(tracker.feed, rows)

    def finish(self, rows: Sequence[Row]) -> None:
        """Send what is missing, the figures and the report, also where a tracker was down."""
        for tracker in self._trackers:
            tracker.next_attempt = 0.0
            tracker.attempt(tracker.feed, rows)
            tracker.attempt(tracker.add_files, rows[-1]["step"] if rows else 0)
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        for tracker in self._trackers:
            if tracker.is_connected:
                tracker.attempt(tracker.close, status)


def installed(names: Sequence[str], requested: Collection[str]) -> tuple[list[str], list[str]]:
    """The trackers whose packages are here, and notes about the others.

    Raises:
        UserError: some are not here, and the setting was typed as a flag.
    """
    specs = {name: importlib.util.find_spec(name) for name in names}
    # A folder such as wandb/ beside the program looks like a package, but without a file.
    missing = [name for name, spec in specs.items() if spec is None or spec.origin is None]
    note = (
        f"The package {' and '.join(missing)} is not installed here, so it cannot track the run. "
        'Use `uv sync --extra tracking` or `python -m pip install -e ".[tracking]"`.'
    )
    if missing and "track" in requested:
        raise UserError(f"--track: {note}")
    return [name for name in specs if name not in missing], [note] if missing else []
