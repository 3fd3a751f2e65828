"""Images: our default beside each single way to augment, on small sets of image files.

`--augment auto` should reach at least the best single choice minus 0.01 on each set. Half of the
sets were not used to choose the default; image_sets.py says which, and what they show.

    python -m benchmarks.quality images
    python -m benchmarks.quality images --only digits-28,letters-28 --flags "--epochs 10"
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from ..projects import render
from ..tables import table
from .common import machine_line, parser, train_and_test, write
from .image_sets import SETS, write_set

CHOICES = ("auto", "none", "shift", "crop", "strong")
TOLERANCE = 0.01


def main(argv: Sequence[str]) -> None:
    arguments = parser("images", __doc__, list(SETS)).parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        project = render(Path(temporary), "image_classification")
        for name in arguments.only or SETS:
            folder = Path(temporary) / name
            write_set(SETS[name], folder)
            rows.append(row_of(name, project, folder, arguments.flags.split(), arguments.splits))
            print(" ".join(rows[-1]), flush=True)
    shown = table(["set", "use", "images", *CHOICES, "auto − best", "s auto"], rows)
    print(shown)
    if not (arguments.only or arguments.flags):
        write("images", "# Images", (__doc__ or "").partition("\n\n    ")[0], shown, machine_line())


def row_of(name: str, project: Path, folder: Path, flags: list[str], num_seeds: int) -> list[str]:
    """The test accuracy of each choice, the mean of ``num_seeds`` trainings."""
    images, accuracy, seconds = SETS[name], {}, {}
    for choice in CHOICES:
        fixed = ["--data", str(folder), "--augment", choice, *flags]
        runs = [train_and_test(project, *fixed, "--seed", f"{seed}") for seed in range(num_seeds)]
        accuracy[choice] = mean(metrics["accuracy"] for metrics, _ in runs)
        seconds[choice] = mean(time for _, time in runs)
    best = max(value for choice, value in accuracy.items() if choice != "auto")
    difference = accuracy["auto"] - best
    verdict = "" if difference >= -TOLERANCE else " (behind)"
    counts = json.dumps(sum(images.counts[:2]) * len(images.classes))
    shown = [f"{accuracy[choice]:.3f}" for choice in CHOICES]
    return [name, images.use, counts, *shown, f"{difference:+.3f}{verdict}", f"{seconds['auto']:.0f}"]
