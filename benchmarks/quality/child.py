"""Trains and tests the rendered project in whose folder this process runs.

    python -m benchmarks.quality.child

reads from stdin, for each training, a line of JSON: the flags of the project's training as a list.
For each it prints a line with the metrics on the test set and the seconds of the processor until
training ended. Importing torch and all else is done once, and counts for each.
"""

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> int:
    package = Path.cwd().name.replace("-", "_")
    command = importlib.import_module(f"{package}.cli.main").main
    importlib.import_module(f"{package}.train")
    imports = time.process_time()
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            result = train_and_test(command, json.loads(line))
        if result is None:
            return 1
        result["seconds"] += imports
        print(json.dumps(result), flush=True)
    return 0


def train_and_test(command: Callable[[list[str]], int], flags: list[str]) -> dict[str, Any] | None:
    """The metrics, and the seconds of the processor for training; None if it failed."""
    name = f"quality-{os.getpid()}-{time.time_ns()}"
    where = ["--device", "cpu", "--run", name]
    began = time.process_time()
    if command(["train", *flags, *where, "--no-report"]):
        return None
    seconds = time.process_time() - began
    if command(["evaluate", name, "--device", "cpu", "--no-report", "--resamples", "0"]):
        return None
    metrics = json.loads(Path("runs", name, "evaluation.json").read_text("utf-8"))
    values = {key: value for key, value in metrics.items() if isinstance(value, float)}
    return {"metrics": values, "seconds": seconds}


if __name__ == "__main__":
    sys.exit(main())
