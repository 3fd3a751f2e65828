"""Masks: our default beside a random forest that sees the surroundings of each pixel.

The set was not used to choose any default: disks, squares and stars, bright or dark, on parts of
scikit-image's pictures. The parts of train and test are different columns of the pictures.

    python -m benchmarks.quality masks
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
from sklearn.ensemble import RandomForestClassifier

from ..projects import render
from ..tables import table
from .common import machine_line, parser, train_and_test, write
from .image_sets import PICTURES, SPLITS, part_of, shape_mask, to_image

CLASSES = ("ground", "circle", "square", "star")
SIZE = 128  # pixels
COUNTS = {"train": 120, "val": 20, "test": 40}
PER_IMAGE = 300  # pixels of a training image that the forest sees
SCALES = (1, 2, 4, 8)  # standard deviations of the blurs, in pixels

Scenes = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""For each split, images (H, W, 3) uint8 with their masks (H, W) uint8."""


def main(argv: Sequence[str]) -> None:
    arguments = parser("masks", __doc__, ["shapes"]).parse_args(argv)
    scenes = {split: [draw_scene(split, n) for n in range(COUNTS[split])] for split in SPLITS}
    with tempfile.TemporaryDirectory() as temporary:
        project = render(Path(temporary), "semantic_segmentation")
        folder = Path(temporary) / "shapes"
        write_scenes(scenes, folder)
        flags = arguments.flags.split()
        metrics, seconds = train_and_test(project, "--data", str(folder), *flags)
    began = time.perf_counter()
    forest = miou_of_forest(scenes)
    numbers = [metrics["miou"], forest, metrics["miou"] - forest]
    row = ["shapes on pictures", f"{COUNTS['train']}", *(f"{number:.3f}" for number in numbers)]
    row += [f"{seconds:.0f}", f"{time.perf_counter() - began:.0f}"]
    header = ["test mIoU", "images", "ours", "forest", "difference", "s ours", "s forest"]
    shown = table(header, [row])
    print(shown)
    if not arguments.flags:
        write("masks", "# Masks", (__doc__ or "").partition("\n\n    ")[0], shown, machine_line())


def draw_scene(split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """An image with one to three shapes, and its mask."""
    random = np.random.default_rng([SPLITS.index(split), number])
    name = PICTURES[number % len(PICTURES)]
    pixels = np.asarray(part_of(name, split, SIZE / 1.5, SIZE, random, "RGB"), dtype=float)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for _ in range(random.integers(1, 4)):
        label = int(random.integers(1, len(CLASSES)))
        share = shape_mask(CLASSES[label], SIZE, random, smallest=0.15, largest=0.4)
        mask[share > 0.5] = label
        pixels += (random.uniform(0, 255, 3) - pixels) * 0.8 * share[..., None]
    return np.asarray(to_image(pixels + random.normal(0, 10, pixels.shape))), mask


def write_scenes(scenes: Scenes, folder: Path) -> None:
    """The files of the images and of the masks."""
    for split, pairs in scenes.items():
        for number, pair in enumerate(pairs):
            for kind, pixels in zip(("images", "masks"), pair, strict=True):
                place = folder / split / kind
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(place / f"{number}.png")


def miou_of_forest(scenes: Scenes) -> float:
    """The mean over the classes of the intersection over the union, on the test set."""
    random = np.random.default_rng(0)
    inputs, outputs = [], []
    for image, mask in scenes["train"]:
        chosen = random.integers(0, mask.size, PER_IMAGE)
        inputs.append(surroundings(image)[chosen])
        outputs.append(mask.reshape(-1)[chosen])
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    forest.fit(np.concatenate(inputs), np.concatenate(outputs))
    found = np.concatenate([forest.predict(surroundings(image)) for image, _ in scenes["test"]])
    true = np.concatenate([mask.reshape(-1) for _, mask in scenes["test"]])
    pairs = ((true == label, found == label) for label in range(len(CLASSES)))
    return float(
        np.mean([(first & second).sum() / (first | second).sum() for first, second in pairs])
    )


def surroundings(image: np.ndarray) -> np.ndarray:
    """(H * W, features): colors and edges of each pixel at several scales."""
    pixels = image.astype(np.float32)
    maps = [pixels]
    for scale in SCALES:
        maps.append(gaussian_filter(pixels, (scale, scale, 0)))
        maps.append(gaussian_gradient_magnitude(pixels.mean(2), scale)[..., None])
    return np.concatenate(maps, axis=2).reshape(image.shape[0] * image.shape[1], -1)
