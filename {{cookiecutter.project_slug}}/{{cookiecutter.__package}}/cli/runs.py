"""A table of all runs: ``python -m PACKAGE runs``."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from ..engine.files import shorten
from ..engine.run_directory import RUNS, all_runs
from ..engine.run_records import RunRecord, describe_time, differing_values, read_record
from .arguments import program

HEAD = ["run", "state", "epochs", "best", "time", "differs"]
MAX_WIDTH = 60


@dataclass(frozen=True)
class RunsArguments:
    """Show all runs below runs/, the one that was started last at the end."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    tyro.cli(RunsArguments, prog=program("runs"), args=argv)
    directories = all_runs()
    records = [read_record(directory) for directory in directories]
    others = sorted({path for path in RUNS.glob("[!.]*") if path.is_dir()} - set(directories))
    if records:
        print_table([HEAD, *table_rows(records)])
    else:
        print("There are no runs yet: train.")
    for record in records:
        for problem in record.problems:
            print(f"{record.name}: {problem}")
    if others:
        print(f"Not runs: {', '.join(map(str, others))}")
    return 0


def table_rows(records: Sequence[RunRecord]) -> list[list[str]]:
    """A row for each run."""
    differences = unusual_values(records)
    return [
        [
            record.name,
            record.state,
            describe_epochs(record),
            describe_best(record),
            describe_time(record.seconds) if record.rows else "-",
            difference,
        ]
        for record, difference in zip(records, differences, strict=True)
    ]


def describe_epochs(record: RunRecord) -> str:
    """How many epochs are done, and of how many, if --epochs said so."""
    wanted = record.values.get("epochs")
    return f"{len(record.rows)}/{wanted}" if wanted else f"{len(record.rows)}"


def describe_best(record: RunRecord) -> str:
    """The best value of the metric that the run watches, and its epoch."""
    value = record.best_row.get(f"val/{record.monitor}")
    if not isinstance(value, float):  # null: it was not finite
        return "-"
    return f"{record.monitor} {value:.4g} @ {record.best_row['epoch']}"


def unusual_values(records: Sequence[RunRecord]) -> list[str]:
    """Of each run, the hyperparameters that differ, without a value that most runs have."""
    found: list[list[str]] = [[] for _ in records]
    for name, values in differing_values(records).items():
        texts = [shorten(str(value), 30) for value in values]
        for record, parts, text in zip(records, found, texts, strict=True):
            if record.values and 2 * texts.count(text) <= len(texts):
                parts.append(f"{name}={text}")
    return [" ".join(parts) for parts in found]


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in columns."""
    rows = [[*(shorten(cell, MAX_WIDTH) for cell in row[:-1]), row[-1]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
