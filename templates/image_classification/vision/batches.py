"""Fast data sets: whole batches of images at once, each image changed as its own seed says."""

import math
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset
from torchvision.transforms import v2

from ..engine.data import BatchDataset, BatchIndex, SampleDataset
from ..engine.seeding import uniform
from .image_folder import LabeledImages

NUM_TRIES = 10  # random boxes per crop; the first one that fits into the image is taken
MAX_PIXELS_IN_MEMORY = 64**2  # of an image; larger ones would fill the memory
MAX_RATIO = 4 / 3  # of width to height; the smallest is 3 / 4


class FixedImages(BatchDataset, Protocol):
    """Samples (image, class) without augmentation."""

    images: LabeledImages


class BatchedImages(Dataset[tuple[Tensor, int]]):
    """Images with class numbers; a subclass has ``make_images``."""

    def __init__(self, labels: list[int], names: list[str]) -> None:
        self.labels, self.names = torch.tensor(labels), names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        seeds = torch.randint(2**62, (1,)).numpy().astype(np.uint64)
        images, labels = self.__getitems__(BatchIndex(np.array([index]), seeds))
        return images[0], int(labels[0])

    def __getitems__(self, batch: BatchIndex) -> tuple[Tensor, Tensor]:
        return self.make_images(batch), self.labels[torch.from_numpy(batch.indices)]

    def make_images(self, batch: BatchIndex) -> Tensor:
        """(N, C, H, W) uint8."""
        raise NotImplementedError

    def describe(self, index: int) -> str:
        """Where an image comes from."""
        return self.names[index]


class ShiftedImages(BatchedImages):
    """Images of one size in memory, moved by up to ``max_shift`` pixels where there are seeds.

    As with torchvision's ``RandomCrop``, pixels from outside repeat the border.
    """

    def __init__(self, samples: BatchDataset, max_shift: int = 0) -> None:
        pairs = [samples[index] for index in range(len(samples))]
        names = [samples.describe(index) for index in range(len(samples))]
        super().__init__([label for _, label in pairs], names)
        images = torch.stack([image for image, _ in pairs]).numpy()
        margin = (max_shift, max_shift)
        self.padded = np.pad(images, [(0, 0), (0, 0), margin, margin], mode="edge")
        self.size = images.shape[2:]

    def make_images(self, batch: BatchIndex) -> Tensor:
        # (N, C, D, D, H, W): views of every image, moved in D = 2 * max_shift + 1 ways each. They
        # are made here, because a worker that gets the data set would get a copy of each of them.
        views = np.lib.stride_tricks.sliding_window_view(self.padded, self.size, (2, 3))
        num_ways: int = views.shape[2]
        way: Any = num_ways**2 // 2  # not moved
        if batch.seeds is not None:
            way = (batch.seeds % num_ways**2).astype(np.intp)
        right, down = divmod(way, num_ways)
        return torch.from_numpy(views[batch.indices, :, down, right])


class MovedImages(BatchedImages):
    """For training: images moved by up to ``max_shift`` pixels; pixels outside repeat the border.

    With ``mirror``, half of them are mirrored.
    """

    def __init__(self, samples: FixedImages, max_shift: int, mirror: bool) -> None:
        super().__init__(samples.images.labels, [str(name) for name in samples.images.names])
        self.samples, self.max_shift, self.mirror = samples, max_shift, mirror

    def make_images(self, batch: BatchIndex) -> Tensor:
        assert batch.seeds is not None, "random shifts need seeds"
        images = torch.stack([self.samples[index][0] for index in batch.indices.tolist()])
        size = images.shape[3]
        moves = np.floor(uniform(batch.seeds, 2) * (2 * self.max_shift + 1)) - self.max_shift
        places = torch.arange(size) + torch.from_numpy(moves).long().unsqueeze(2)  # (N, 2, size)
        rows, columns = places.clamp(0, size - 1).unbind(1)
        if self.mirror:
            flipped = size - 1 - columns
            columns = torch.where(is_mirrored(batch.seeds).unsqueeze(1), flipped, columns)
        sample = torch.arange(len(images)).view(-1, 1, 1)
        moved = images.permute(0, 2, 3, 1)[sample, rows.unsqueeze(2), columns.unsqueeze(1)]
        return moved.permute(0, 3, 1, 2)


class CroppedImages(BatchedImages):
    """For training: random parts of images, resized.

    The same as torchvision's ``RandomResizedCrop`` (and, with ``mirror``, ``RandomHorizontalFlip``)
    in a third of the time. A part has at least ``min_area`` of its image and becomes ``size`` ×
    ``size`` pixels.
    """

    def __init__(self, images: LabeledImages, size: int, min_area: float, mirror: bool) -> None:
        super().__init__(images.labels, [str(name) for name in images.names])
        self.pixels, self.size, self.min_area, self.mirror = images.pixels, size, min_area, mirror

    def make_images(self, batch: BatchIndex) -> Tensor:
        assert batch.seeds is not None, "random crops need seeds"
        images = [self.pixels[index] for index in batch.indices.tolist()]
        sizes = np.array([image.shape[1:] for image in images])
        boxes = random_boxes(sizes, batch.seeds, self.min_area).tolist()
        crops = torch.empty(len(images), len(images[0]), self.size, self.size, dtype=torch.uint8)
        for crop, image, (top, left, height, width) in zip(crops, images, boxes, strict=True):
            part = image[None, :, top : top + height, left : left + width]
            resized = interpolate(part, (self.size, self.size), mode="bilinear", antialias=True)
            crop.copy_(resized[0])
        if self.mirror:
            mirrored = is_mirrored(batch.seeds)
            crops[mirrored] = crops[mirrored].flip(3)
        return crops


class MixedImages(SampleDataset):
    """Samples, each mixed with another one: an image in [0, 1], and probabilities of classes."""

    def __init__(self, samples: BatchDataset, mix: v2.Transform) -> None:
        self.samples, self.mix = samples, mix

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        partner = int(torch.randint(len(self), ()))  # follows from the sample's own seed
        (image, label), (other_image, other_label) = self.samples[index], self.samples[partner]
        images = torch.stack([image, other_image]) / 255
        mixed, labels = self.mix(images, torch.tensor([label, other_label]))
        return mixed[0], labels[0]

    def describe(self, index: int) -> str:
        """Where the first image comes from."""
        return self.samples.describe(index)


def keep_small(samples: FixedImages) -> BatchDataset:
    """Samples for evaluation: those that are small and in memory become one tensor."""
    return ShiftedImages(samples) if _is_small(samples) else samples


def augment_fast(
    samples: FixedImages, kind: str, size: int, max_shift: int, min_area: float, mirror: bool
) -> BatchDataset:
    """Samples for training of the ``kind`` none, shift or crop."""
    if kind == "crop":
        return CroppedImages(samples.images, size, min_area, mirror)
    max_shift = 0 if kind == "none" else max_shift
    if _is_small(samples) and not mirror:
        return ShiftedImages(samples, max_shift)
    return MovedImages(samples, max_shift, mirror and kind != "none")


def _is_small(samples: FixedImages) -> bool:
    in_memory = isinstance(samples.images.pixels, Tensor)
    return in_memory and samples[0][0][0].numel() <= MAX_PIXELS_IN_MEMORY


def is_mirrored(seeds: np.ndarray) -> Tensor:
    """Half of the samples: (N,) bool."""
    return torch.from_numpy(seeds % 2 == 1)


def random_boxes(sizes: np.ndarray, seeds: np.ndarray, min_area: float) -> np.ndarray:
    """(N, 4): top, left, height and width of a random part of images of ``sizes`` (N, 2).

    Areas are uniform, the logarithm of the aspect ratio too (Szegedy et al. 2014,
    https://arxiv.org/abs/1409.4842). Where no box fits, it is the largest one in the middle.
    """
    numbers = uniform(seeds, 2 * NUM_TRIES + 2)
    shares = min_area + (1 - min_area) * numbers[:, :NUM_TRIES]
    areas = sizes.prod(axis=1, keepdims=True) * shares
    ratios = np.exp(math.log(MAX_RATIO) * (2 * numbers[:, NUM_TRIES : 2 * NUM_TRIES] - 1))
    tried = np.rint(np.stack([np.sqrt(areas / ratios), np.sqrt(areas * ratios)], axis=2))
    fits = np.all((tried >= 1) & (tried <= sizes[:, None]), axis=2)
    any_fits = fits.any(axis=1, keepdims=True)
    largest = np.minimum(sizes, np.rint(sizes[:, ::-1] * MAX_RATIO))
    first = tried[np.arange(len(sizes)), fits.argmax(axis=1)]
    boxes = np.where(any_fits, first, largest).astype(np.int64)
    places = np.where(any_fits, numbers[:, -2:], 0.5)
    corners = (places * (sizes - boxes + 1)).astype(np.int64)
    return np.concatenate([corners, boxes], axis=1)
