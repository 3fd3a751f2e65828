"""Images: our default beside each single way to augment, on small sets of image files.

`--augment auto` should reach at least the best single choice minus 0.01 on each set. From scratch
it is shift, which is therefore trained only once. Some of the sets were not used to choose the
default; image_sets.py says which, and what they show.

    python -m benchmarks.quality images
    python -m benchmarks.quality images --only digits-28,letters-28 --flags "--epochs 10"
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from ..projects import ENVIRONMENT, render
from ..tables import table
from .common import machine_line, parser, write
from .image_sets import SETS, write_set

CHOICES = ("auto", "none", "crop", "strong")
TOLERANCE = 0.01
# All trainings of a set in one process, which imports torch once.
PROGRAM = """
import contextlib, io, json, sys, time
from my_torch_project.cli.main import main
folder, choices, seeds, *flags = sys.argv[1:]
for seed in range(int(seeds)):
    for choice in choices.split(","):
        run, began, said = f"quality-{time.time_ns()}", time.perf_counter(), io.StringIO()
        where = ["--run", run, "--device", "cpu", "--no-report", "--augment", choice]
        with contextlib.redirect_stdout(said):
            assert main(["train", "--data", folder, "--seed", f"{seed}", *where, *flags]) == 0
            seconds = time.perf_counter() - began
            brief = ["--no-report", "--resamples", "0"]
            assert main(["evaluate", run, "--device", "cpu", *brief]) == 0
        with open(f"runs/{run}/evaluation.json") as file:
            accuracy = json.load(file)["accuracy"]
        mirrored = "Training images are mirrored" in said.getvalue()
        print(json.dumps([choice, accuracy, seconds, mirrored]))
"""
HEADER = ("set", "use", "images", "mirrored", *CHOICES, "auto − best", "s auto")


def main(argv: Sequence[str]) -> None:
    arguments = parser("images", __doc__, list(SETS)).parse_args(argv)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        project = render(Path(temporary), "image_classification")
        for name in arguments.only or SETS:
            folder = Path(temporary) / name
            write_set(SETS[name], folder)
            flags = arguments.flags.split()
            trainings = train(project, folder, CHOICES, arguments.splits, flags)
            rows.append(row_of(name, trainings))
            print(" ".join(rows[-1]), flush=True)
            if not (arguments.only or arguments.flags):
                title = (__doc__ or "").partition("\n\n    ")[0]
                write("images", "# Images", title, table(HEADER, rows), machine_line())
    print(table(HEADER, rows))


def train(
    project: Path, folder: Path, choices: Sequence[str], num_seeds: int, flags: Sequence[str]
) -> list[Any]:
    """Train with each choice; lists of choice, test accuracy, seconds, whether mirrored."""
    arguments = [str(folder), ",".join(choices), f"{num_seeds}", *flags]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{folder.name} failed: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def row_of(name: str, trainings: list[Any]) -> list[str]:
    """A line of the table: accuracies are means over the seeds."""
    images = SETS[name]
    accuracy = {
        choice: mean(found for kind, found, *_ in trainings if kind == choice) for choice in CHOICES
    }
    difference = accuracy["auto"] - max(accuracy[choice] for choice in CHOICES[1:])
    verdict = "" if difference >= -TOLERANCE else " (behind)"
    seconds = mean(seconds for kind, _, seconds, _ in trainings if kind == "auto")
    count = sum(images.counts[:2]) * len(images.classes)
    shown = [f"{value:.3f}" for value in accuracy.values()]
    shown += [f"{difference:+.3f}{verdict}", f"{seconds:.0f}"]
    return [name, images.use, f"{count}", "yes" if trainings[0][3] else "no", *shown]
