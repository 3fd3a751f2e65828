"""What the files of runs say about them, read without torch."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import read_text, read_toml
from .run_directory import is_in_use, name_run, read_holder
from .settings import DebugSettings, RunSettings

# They decide only the speed. Precision changes the last digits, so it is worth seeing.
ONLY_SPEED = {item.name for item in dataclasses.fields(RunSettings)} - {"precision"}


@dataclass(frozen=True)
class RunRecord:
    """A run as ``runs`` and ``compare`` show it."""

    directory: Path
    values: dict[str, Any]
    """Hyperparameters and settings, as TOML has them: without those that are None."""
    rows: list[dict[str, Any]]
    """The rows of metrics.jsonl."""
    problems: list[str]
    """Why it failed, which of its files cannot be read, and that it is only a trial."""
    state: str
    """running, finished, stopped (on request) or failed."""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.directory.resolve().name

    @property
    def decisive(self) -> dict[str, Any]:
        """The values that decide the result."""
        return {name: value for name, value in self.values.items() if name not in ONLY_SPEED}

    @property
    def monitor(self) -> str:
        """The metric by which its best epoch was chosen."""
        return str(self.values.get("monitor", "loss"))

    @property
    def best_row(self) -> dict[str, Any]:
        """The row of the best epoch; empty if there is none."""
        return next((row for row in reversed(self.rows) if row.get("is_best")), {})

    @property
    def seconds(self) -> float:
        """How long it trained."""
        times = (row.get("seconds") for row in self.rows)
        return sum(time for time in times if isinstance(time, float))


def read_record(directory: Path) -> RunRecord:
    """What can be read of a run; what cannot is a problem."""
    values, rows, problems = dict[str, Any](), list[dict[str, Any]](), list[str]()
    try:
        values = read_toml(directory / "hyperparameters.toml")
    except UserError as error:
        problems.append(str(error))
    try:
        rows = read_metrics(directory)
    except UserError as error:
        problems.append(str(error))
    limits = (values.get("limit_batches"), values.get("overfit_batches"))
    problems += DebugSettings(*limits).notes()
    state, reason = state_of(directory, bool(rows) and rows[-1]["epoch"] == values.get("epochs"))
    return RunRecord(directory, values, rows, [reason, *problems] if reason else problems, state)


def state_of(directory: Path, is_complete: bool) -> tuple[str, str]:
    """The state of a run, and why it failed if it did."""
    holder = read_holder(directory)
    if holder.get("ended"):
        return str(holder["ended"]), str(holder.get("reason", ""))
    if is_in_use(directory):
        return "running", ""
    if "ended" in holder and not is_complete:
        return "failed", "It was killed, or the machine went down."
    return ("finished" if is_complete else "stopped"), ""


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, without a last line that was not written to its end.

    Raises:
        UserError: a row is damaged.
    """
    path = directory / "metrics.jsonl"
    lines = read_text(path).splitlines(keepends=True) if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            row = dict(json.loads(line))
            rows.append(row | {"epoch": int(row["epoch"])})
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path} is damaged in line {number}. Training with --resume "
                f"{name_run(directory)} writes it again from the last checkpoint."
            ) from None
    return rows


def differing_values(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """The hyperparameters that are not the same in all runs, with the value in each."""
    names = dict.fromkeys(name for record in records for name in record.decisive)
    values = {name: [record.values.get(name) for record in records] for name in names}
    return {name: each for name, each in values.items() if any(v != each[0] for v in each)}


def describe_time(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds >= 6000:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.1f} s"
