"""Step 2, the fast way: whole batches of images at once, each changed as its own seed says."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .sampling import Samples
from .sources import Source
from .utils import uniform

TRIES = 10  # boxes that are drawn for a crop; the first that fits into the image is taken
WIDEST = 4 / 3  # width by height; the narrowest is 3 / 4


class Seeded:
    """A data set that makes batches, and single samples for figures."""

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        seeds = torch.randint(2**62, (1,)).numpy().astype(np.uint64)
        images, labels = self.fetch_augmented(np.array([index]), seeds)
        return images[0], int(labels[0])

    def fetch_augmented(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) uint8 and classes (N,); each image is changed as its own seed says."""
        raise NotImplementedError


class Held(Seeded):
    """Images of one size that are held in memory.

    A training image is moved by up to ``shift`` pixels, its border repeated, as ``RandomCrop``
    does. A sample is (image: (C, H, W) uint8; class: its number).
    """

    def __init__(self, images: Samples, shift: int = 0) -> None:
        samples = [images[index] for index in range(len(images))]
        self.images, self.shift = images, shift
        self.labels = torch.tensor([label for _, label in samples])
        pixels = torch.stack([image for image, _ in samples]).numpy()
        padded = np.pad(pixels, [(0, 0), (0, 0), (shift, shift), (shift, shift)], mode="edge")
        # (N, C, D, D, H, W): every image, moved in D = 2 * shift + 1 ways both down and right
        self.moved = np.lib.stride_tricks.sliding_window_view(padded, pixels.shape[2:], (2, 3))

    def fetch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) uint8 and classes (N,), as they are."""
        return self._take(indices, self.shift, self.shift)

    def fetch_augmented(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[Tensor, Tensor]:
        """See ``Seeded``."""
        ways = 2 * self.shift + 1
        down, right = seeds % ways, seeds // ways % ways
        return self._take(indices, down.astype(np.intp), right.astype(np.intp))

    def _take(self, indices: np.ndarray, down: Any, right: Any) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.moved[indices, :, down, right])
        return pixels, self.labels[torch.from_numpy(indices)]

    def describe(self, index: int) -> str:
        """See ``Samples``."""
        return self.images.describe(index)


class Cropped(Seeded):
    """Images of any size, of which a part is cut out, resized, and perhaps mirrored.

    The same as torchvision's ``RandomResizedCrop`` and ``RandomHorizontalFlip``, in a third of the
    time. A sample is (image: (C, size, size) uint8; class: its number).
    """

    def __init__(self, source: Source, size: int, smallest: float) -> None:
        """``smallest`` is the part of an image's area that a crop has at least."""
        self.source, self.size, self.smallest = source, size, smallest
        self.labels = torch.tensor(source.labels)

    def fetch_augmented(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[Tensor, Tensor]:
        """See ``Seeded``."""
        images = [self.source.read(index) for index in indices.tolist()]
        sizes = np.array([image.shape[1:] for image in images])
        boxes = random_boxes(sizes, seeds, self.smallest).tolist()
        batch = torch.empty(len(images), 3, self.size, self.size, dtype=torch.uint8)
        for place, image, (top, left, height, width) in zip(batch, images, boxes, strict=True):
            crop = image[None, :, top : top + height, left : left + width]
            resized = interpolate(crop, (self.size, self.size), mode="bilinear", antialias=True)
            place.copy_(resized[0])
        mirrored = torch.from_numpy(seeds % 2 == 1)
        batch[mirrored] = batch[mirrored].flip(3)
        return batch, self.labels[torch.from_numpy(indices)]

    def describe(self, index: int) -> str:
        """See ``Samples``."""
        return self.source.describe(index)


def random_boxes(sizes: np.ndarray, seeds: np.ndarray, smallest: float) -> np.ndarray:
    """(N, 4): top, left, height and width of a random part of each image.

    Areas are uniform, aspect ratios uniform in their logarithm (Szegedy et al. 2014,
    https://arxiv.org/abs/1409.4842). Where no box fits, it is the largest one in the middle.

    Args:
        sizes: (N, 2), height and width in pixels.
        seeds: (N,) uint64.
        smallest: the part of the area that a box has at least.
    """
    numbers = uniform(seeds, 2 * TRIES + 2)
    heights, widths = sizes[:, :1], sizes[:, 1:]
    areas = heights * widths * (smallest + (1 - smallest) * numbers[:, :TRIES])
    ratios = np.exp(math.log(WIDEST) * (2 * numbers[:, TRIES : 2 * TRIES] - 1))
    drawn = np.rint(np.stack([np.sqrt(areas / ratios), np.sqrt(areas * ratios)], axis=2))
    fits = np.all((drawn >= 1) & (drawn <= sizes[:, None]), axis=2)
    found = np.any(fits, axis=1, keepdims=True)
    middle = np.minimum(sizes, np.rint(sizes[:, ::-1] * WIDEST))
    first = drawn[np.arange(len(sizes)), fits.argmax(axis=1)]
    boxes = np.where(found, first, middle).astype(np.int64)
    places = np.where(found, numbers[:, -2:], 0.5)
    corners = (places * (sizes - boxes + 1)).astype(np.int64)
    return np.concatenate([corners, boxes], axis=1)
