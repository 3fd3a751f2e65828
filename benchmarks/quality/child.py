"""Trains and tests the rendered project in whose folder this process runs.

    python -m benchmarks.quality.child --data FOLDER --target NAME

takes the flags of the project's training. The last line that it prints has the metrics on the test
set and the seconds of the processor until training ended.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


def main(flags: list[str]) -> int:
    package = Path.cwd().name.replace("-", "_")
    command = importlib.import_module(f"{package}.cli.main").main
    name = f"quality-{os.getpid()}-{time.time_ns()}"
    where = ["--device", "cpu", "--run", name]
    if command(["train", *flags, *where, "--no-report"]):
        return 1
    seconds = time.process_time()
    if command(["evaluate", name, "--device", "cpu", "--no-report", "--resamples", "0"]):
        return 1
    metrics = json.loads(Path("runs", name, "evaluation.json").read_text("utf-8"))
    values = {key: value for key, value in metrics.items() if isinstance(value, float)}
    print(json.dumps({"metrics": values, "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
