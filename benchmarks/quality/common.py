"""What the subjects share: training a rendered project, and the text of the results."""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np

from ..__main__ import cpu, some_of
from ..projects import ENVIRONMENT, TEMPLATE
from ..tables import table

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


def train_and_test(project: Path, *flags: str) -> tuple[dict[str, float], float]:
    """The metrics on the test set, and the seconds of the training with its imports.

    They are seconds of the processor, so it matters little what else the machine does.

    Raises:
        RuntimeError: it failed; with its words.
    """
    command = [sys.executable, "-m", "benchmarks.quality.child", *flags]
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["metrics"], found["seconds"]


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
