"""Scenes made from real handwriting: digits of several sizes and colors on a textured ground.

They depend on the split seed alone. Each split has its own digits, so no digit of a test scene
was seen in training.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..engine.files import packaged_file
from ..engine.splits import SplitSettings, split_indices

CLASSES = [str(digit) for digit in range(10)]
NUM_SCENES, SIZE = 2400, 64
DIGIT_SIZES = (18, 22, 26)  # pixels, before the margin around the ink is cut off
MAX_DIGITS = 4
MIN_INK = 0.4  # a pixel at least this dark belongs to the digit

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels; x2 and y2 are outside."""


@dataclass(frozen=True)
class Scenes:
    """Images with their masks and boxes."""

    images: Tensor
    """(N, 3, 64, 64) uint8."""
    masks: Tensor
    """(N, 64, 64) uint8: 0 is the ground, 1 the digit 0, ... 10 the digit 9."""
    boxes: list[Tensor]
    """For each scene (k, 4) float: x1, y1, x2, y2 in pixels."""
    labels: list[Tensor]
    """For each scene (k,) int64: the digits."""
    names: list[str]


def make_scenes(settings: SplitSettings) -> dict[str, Scenes]:
    """The splits "train", "val" and "test", made from the digits inside scikit-learn."""
    table = np.loadtxt(packaged_file("digits.csv.gz"), delimiter=",", dtype=np.uint8)
    ink = torch.from_numpy(table[:, :64]).view(-1, 1, 8, 8).float() / 16
    stamps = [
        interpolate(ink, size=size, mode="bicubic").clamp(0, 1).squeeze(1).numpy()
        for size in DIGIT_SIZES
    ]
    labels = table[:, 64].tolist()
    digits = split_indices(len(labels), settings, labels)
    counts = {name: len(items) for name, items in split_indices(NUM_SCENES, settings).items()}
    return {
        name: _compose(name, counts[name], members, labels, stamps, settings.split_seed)
        for name, members in digits.items()
    }


def _compose(
    split: str,
    count: int,
    members: list[int],
    labels: list[int],
    stamps: list[np.ndarray],
    seed: int,
) -> Scenes:
    """``count`` scenes from the digits ``members``."""
    random = np.random.default_rng([seed, *split.encode()])
    images = _grounds(count, random)
    masks = np.zeros((count, SIZE, SIZE), dtype=np.uint8)
    boxes: list[Tensor] = []
    digits: list[Tensor] = []
    for image, mask in zip(images, masks, strict=True):
        placed: dict[Box, int] = {}
        for _ in range(random.integers(MAX_DIGITS) + 1):
            number = members[random.integers(len(members))]
            stamp = stamps[random.integers(len(stamps))][number]
            box = _paste(image, mask, stamp, labels[number], list(placed), random)
            if box is not None:
                placed[box] = labels[number]
        boxes.append(torch.tensor(list(placed), dtype=torch.float32))
        digits.append(torch.tensor(list(placed.values())))
    pixels = (255 * torch.from_numpy(images)).round().to(torch.uint8)
    names = [f"{split} scene {number}" for number in range(count)]
    return Scenes(pixels, torch.from_numpy(masks), boxes, digits, names)


def _grounds(count: int, random: np.random.Generator) -> np.ndarray:
    """(count, 3, 64, 64) in [0, 1], dark: a slowly changing color with grain on it."""
    slow = torch.from_numpy(random.random((count, 3, 4, 4), dtype=np.float32))
    ground: np.ndarray = interpolate(0.45 * slow, size=SIZE, mode="bilinear").numpy()
    ground += 0.06 * random.standard_normal((count, 1, SIZE, SIZE), dtype=np.float32)
    return ground.clip(0, 1, out=ground)


def _paste(
    image: np.ndarray,
    mask: np.ndarray,
    stamp: np.ndarray,
    label: int,
    taken: list[Box],
    random: np.random.Generator,
) -> Box | None:
    """Write a digit in a bright color where no other is; None if no free place was found."""
    inside = stamp > MIN_INK
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    cut = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    stamp, inside = stamp[cut], inside[cut]
    height, width = stamp.shape
    for _ in range(10):
        x, y = (int(random.integers(SIZE - side + 1)) for side in (width, height))
        box = (x, y, x + width, y + height)
        if any(_overlap(box, other) for other in taken):
            continue
        color = 0.55 + 0.45 * random.random((3, 1, 1), dtype=np.float32)
        window = slice(y, y + height), slice(x, x + width)
        image[:, *window] += (color - image[:, *window]) * stamp
        mask[window][inside] = label + 1
        return box
    return None


def _overlap(first: Box, second: Box) -> bool:
    """Whether two boxes have a pixel in common."""
    apart = first[2] <= second[0] or second[2] <= first[0]
    return not (apart or first[3] <= second[1] or second[3] <= first[1])
