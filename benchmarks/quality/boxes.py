"""Boxes: our default beside a detector of torchvision that also starts from scratch.

The set was not used to choose any default: shapes of several sizes on parts of pictures, unlike
the embedded digits. Torchvision's ssdlite320_mobilenet_v3_large, in the same project, gets at least
the time that ours took.

    python -m benchmarks.quality boxes
"""

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..projects import render
from ..tables import table
from .common import machine_line, parser, train_and_test, write
from .image_sets import PICTURES, SPLITS, part_of, shape_mask, to_image

CLASSES = ("circle", "cross", "square", "star")
RIVAL = "ssdlite320_mobilenet_v3_large"
SIZE = 160  # pixels
COUNTS = {"train": 120, "val": 20, "test": 40}


def main(argv: Sequence[str]) -> None:
    arguments = parser("boxes", __doc__, ["shapes"]).parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        project = render(Path(temporary), "object_detection")
        folder = Path(temporary) / "shapes"
        write_scenes(folder)
        ours, seconds = train_and_test(project, "--data", str(folder), *arguments.flags.split())
        rival = ["--data", str(folder), "--model", RIVAL, "--learning-rate", "1e-3"]
        first = train_and_test(project, *rival, "--epochs", "1")[1]
        epochs = max(6, math.ceil(6 * seconds / first / 6))
        theirs, seconds_rival = train_and_test(project, *rival, "--epochs", f"{epochs}")
    rows = [
        [name, f"{COUNTS['train']}", f"{mine:.3f}", f"{other:.3f}", f"{mine - other:+.3f}", *times]
        for name, mine, other, times in (
            (
                "mAP at IoU 0.5",
                ours["map50"],
                theirs["map50"],
                [f"{seconds:.0f}", f"{seconds_rival:.0f}"],
            ),
            ("mAP", ours["map"], theirs["map"], ["", ""]),
        )
    ]
    header = ["on the test set", "images", "ours", RIVAL, "difference", "s ours", "s ssdlite"]
    shown = table(header, rows)
    print(shown)
    if not arguments.flags:
        write("boxes", "# Boxes", (__doc__ or "").partition("\n\n    ")[0], shown, machine_line())


def write_scenes(folder: Path) -> None:
    """Images and boxes in COCO's format: train.json, val.json and test.json."""
    (folder / "images").mkdir(parents=True)
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)]
    for split in SPLITS:
        images, annotations = [], []
        for number in range(COUNTS[split]):
            name, boxes = f"{split}{number}.png", draw_scene(split, number, folder)
            images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
            annotations += [
                {"image_id": number, "category_id": label, "bbox": box} for label, box in boxes
            ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def draw_scene(split: str, number: int, folder: Path) -> list[tuple[int, list[int]]]:
    """Write an image; its classes with x, y, width and height of their boxes."""
    random = np.random.default_rng([SPLITS.index(split), number])
    name = PICTURES[number % len(PICTURES)]
    pixels = np.asarray(part_of(name, split, SIZE / 1.6, SIZE, random, "RGB"), dtype=float)
    taken, boxes = np.zeros((SIZE, SIZE), dtype=bool), []
    for _ in range(random.integers(2, 6)):
        label = int(random.integers(len(CLASSES)))
        share = shape_mask(CLASSES[label], SIZE, random, smallest=0.08, largest=0.3)
        rows, columns = (np.flatnonzero((share > 0.5).any(axis)) for axis in (1, 0))
        top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        if not taken[top:bottom, left:right].any():
            taken[top:bottom, left:right] = True
            pixels += (random.uniform(0, 255, 3) - pixels) * 0.85 * share[..., None]
            boxes.append((label + 1, [int(n) for n in (left, top, right - left, bottom - top)]))
    image = to_image(pixels + random.normal(0, 10, pixels.shape))
    image.save(folder / "images" / f"{split}{number}.png")
    return boxes
