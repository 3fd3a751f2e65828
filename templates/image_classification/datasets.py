"""Step 2, the images as the model gets them: resized, augmented and mixed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from .hyperparameters import Hyperparameters
from .images import statistics
from .loaders import Data
from .pretrained import Preprocessing, preprocessing
from .sources import Source, read_digits, read_folder

Transform = Callable[[Tensor], Tensor]
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

MAX_HELD = 64  # pixels: larger images of digits would fill the memory


@dataclass(frozen=True)
class Images:
    """Images with their classes.

    A sample is (image: (C, H, W) uint8, or float in [0, 1] when it was mixed; class: its number,
    or a probability for every class when it was mixed).
    """

    source: Source
    transform: Transform
    mix: Mix | None = None

    def __len__(self) -> int:
        return len(self.source.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        if self.mix is None:
            return self._single(index)
        # The partner follows from the sample's own seed, not from its neighbours in the batch.
        partner = int(torch.randint(len(self), ()))
        (first, label), (second, other) = self._single(index), self._single(partner)
        images, labels = self.mix(torch.stack([first, second]) / 255, torch.tensor([label, other]))
        return images[0], labels[0]

    def _single(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.source.read(index)), self.source.labels[index]

    def describe(self, index: int) -> str:
        """The file of an image, or its place among the digits."""
        return self.source.describe(index)


class Held:
    """Images of one size that are held in memory, from which whole batches are taken at once.

    A training image is moved by up to ``shift`` pixels, its border repeated, as ``RandomCrop``
    does. A sample is (image: (C, H, W) uint8; class: its number).
    """

    def __init__(self, images: Images, shift: int = 0) -> None:
        samples = [images[index] for index in range(len(images))]
        self.images, self.shift = images, shift
        self.labels = torch.tensor([label for _, label in samples])
        pixels = torch.stack([image for image, _ in samples]).numpy()
        padded = np.pad(pixels, [(0, 0), (0, 0), (shift, shift), (shift, shift)], mode="edge")
        # (N, C, D, D, H, W): every image, moved in D = 2 * shift + 1 ways both down and right
        self.moved = np.lib.stride_tricks.sliding_window_view(padded, pixels.shape[2:], (2, 3))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        seeds = torch.randint(2**62, (1,)).numpy().astype(np.uint64)
        images, labels = self.fetch_augmented(np.array([index]), seeds)
        return images[0], int(labels[0])

    def fetch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) uint8 and classes (N,), as they are."""
        return self._take(indices, self.shift, self.shift)

    def fetch_augmented(self, indices: np.ndarray, seeds: np.ndarray) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) uint8 and classes (N,); each image is moved as its own seed says."""
        ways = 2 * self.shift + 1
        down, right = seeds % ways, seeds // ways % ways
        return self._take(indices, down.astype(np.intp), right.astype(np.intp))

    def _take(self, indices: np.ndarray, down: Any, right: Any) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.moved[indices, :, down, right])
        return pixels, self.labels[torch.from_numpy(indices)]

    def describe(self, index: int) -> str:
        """See ``Images``."""
        return self.images.describe(index)


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test images as ``settings`` ask for them."""
    wanted = preprocessing(settings)
    parts: dict[str, Any]
    if settings.data is None:
        (parts, classes), default_size = read_digits(settings), 8
    else:
        (parts, classes), default_size = read_folder(settings.data, settings), 64
    size = settings.image_size or (wanted.crop_size if wanted else default_size)
    images = {part: Images(source, fit(size, wanted)) for part, source in parts.items()}
    random = Images(parts["train"], augmentation(settings, size), mixing(settings, len(classes)))
    facts = {
        "classes": classes,
        "channels": 1 if settings.data is None else 3,
        "image_size": size,
        **normalisation(images["train"], wanted),
    }
    in_memory = settings.data is None
    if not in_memory or size > MAX_HELD:
        return Data(random, images["val"], images["test"], facts, in_memory)
    shift = {"none": 0, "shift": margin(size)}.get(kind_of(settings))
    train = Held(images["train"], shift) if shift is not None and random.mix is None else random
    return Data(train, Held(images["val"]), Held(images["test"]), facts, in_memory)


def fit(size: int, wanted: Preprocessing | None = None) -> Transform:
    """Resize, and cut the middle square: as pretrained weights were evaluated, if there are any."""
    shorter = round(size * wanted.resize_size / wanted.crop_size) if wanted else size
    transform: Transform = v2.Compose([v2.Resize(shorter, antialias=True), v2.CenterCrop(size)])
    return transform


def augmentation(settings: Hyperparameters, size: int) -> Transform:
    """The random transformation of a training image to (C, size, size)."""
    shift = v2.RandomCrop(size, padding=margin(size), padding_mode="edge")
    zoom = [v2.RandomResizedCrop(size, scale=(0.35, 1), antialias=True), v2.RandomHorizontalFlip()]
    steps: dict[str, list[Any]] = {
        "none": [fit(size)],
        "shift": [fit(size), shift],
        "crop": zoom,
        "strong": [*zoom, v2.TrivialAugmentWide()],
    }
    transform: Transform = v2.Compose(steps[kind_of(settings)])
    return transform


def kind_of(settings: Hyperparameters) -> str:
    """The augmentation, where it was left to the data."""
    if settings.augment != "auto":
        return settings.augment
    return "shift" if settings.data is None else "crop"


def margin(size: int) -> int:
    """Pixels by which an image is shifted at most."""
    return max(1, size // 8)


def mixing(settings: Hyperparameters, num_classes: int) -> Mix | None:
    """Mixup, cutmix, one of both at random, or None."""
    choices: list[Any] = []
    if settings.mixup_alpha:
        choices.append(v2.MixUp(alpha=settings.mixup_alpha, num_classes=num_classes))
    if settings.cutmix_alpha:
        choices.append(v2.CutMix(alpha=settings.cutmix_alpha, num_classes=num_classes))
    mix: Mix | None = v2.RandomChoice(choices) if choices else None
    return mix


def normalisation(images: Images, wanted: Preprocessing | None) -> dict[str, list[float]]:
    """Mean and spread of each channel: of the pretrained weights, else of the training images."""
    if wanted is not None and wanted.mean is not None and wanted.std is not None:
        return {"mean": wanted.mean, "std": wanted.std}
    return statistics(images)
