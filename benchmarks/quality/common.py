"""What the subjects share: training a rendered project, and the text of the results."""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np

from ..__main__ import cpu, some_of
from ..projects import ENVIRONMENT, TEMPLATE
from ..tables import table

Train = Callable[..., tuple[dict[str, float], float]]
RESULTS = TEMPLATE / "benchmarks" / "results"
QUANTILES = (0, 10, 25, 50, 75, 90, 100)
TOLERANCE = 0.02
"""A result that is behind the better baseline by more than this is lost."""


def parser(subject: str, description: str | None, names: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments that all subjects have: --only, --splits and --flags."""
    result = argparse.ArgumentParser(
        prog=f"python -m benchmarks.quality {subject}", description=description
    )
    result.formatter_class = argparse.RawDescriptionHelpFormatter
    result.add_argument(
        "--only", type=partial(some_of, tuple(names)), help=f"some of {', '.join(names)}"
    )
    result.add_argument("--splits", type=int, default=2, help="splits of each (2)")
    result.add_argument("--flags", default="", help='more flags for ours: "--epochs 10 --seed 1"')
    return result


def package_folder(name: str) -> Path:
    """Where an installed package lies; it is not imported, only its files are read."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is missing. Type: python -m benchmarks.environment")
    return Path(spec.origin).parent


@contextmanager
def trainer(project: Path) -> Iterator[Train]:
    """A process that trains a rendered project again and again, and imports torch once.

    What comes back takes flags. It gives the metrics on the test set, and the seconds of the
    training with the imports. They are seconds of the processor, so it matters little what else the
    machine does. It raises RuntimeError with the words of a training that failed.
    """
    command = [sys.executable, "-m", "benchmarks.quality.child"]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=project, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=log, text=True
        ) as process,
    ):

        def train(*flags: str) -> tuple[dict[str, float], float]:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(flags) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(f"Training with {' '.join(flags)} failed: {log.read()[-2000:]}")
            found = json.loads(line)
            return found["metrics"], found["seconds"]

        yield train


def train_and_test(project: Path, *flags: str) -> tuple[dict[str, float], float]:
    """The same, once."""
    with trainer(project) as train:
        return train(*flags)


def distribution(groups: dict[str, list[float]]) -> str:
    """A table of (ours - better baseline): mean, quantiles, and the share that is lost."""
    header = ["ours − better", "number", "mean", "min", *(f"{q} %" for q in QUANTILES[1:-1]), "max"]
    rows = []
    for name, values in groups.items():
        lost = sum(value < -TOLERANCE for value in values)
        quantiles = [f"{value:+.3f}" for value in np.percentile(values, QUANTILES)]
        row = [name, f"{len(values)}", f"{mean(values):+.4f}", *quantiles]
        rows.append([*row, f"{lost} ({lost / len(values):.0%})"])
    return table([*header, f"behind by > {TOLERANCE}"], rows)


def machine_line() -> str:
    """Where and with what it was measured."""
    date = time.strftime("%Y-%m-%d")
    return f"{date}, {cpu()}, one thread, Python {platform.python_version()}."


def write(subject: str, *parts: str) -> None:
    """benchmarks/results/quality-SUBJECT.md."""
    path = RESULTS / f"quality-{subject}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"Written: {path}")
