"""Step 2, the images as the model gets them: resized, augmented and mixed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from .batches import Cropped, Held
from .hyperparameters import Hyperparameters
from .images import statistics
from .loaders import Data
from .pretrained import Preprocessing, preprocessing
from .sampling import Samples
from .sources import Files, Source, read_digits, read_folder

Transform = Callable[[Tensor], Tensor]
Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

MAX_HELD = 64  # pixels: larger images of digits would fill the memory
SMALLEST_CROP = 0.35  # of an image's area
# Files are decoded to so many times the size that the model needs, enough for the smallest crop.
LARGEST = SMALLEST_CROP**-0.5


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


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test images as ``settings`` ask for them."""
    wanted = preprocessing(settings)
    parts: Mapping[str, Source]
    default_size = 8 if settings.data is None else 64
    size = settings.image_size or (wanted.crop_size if wanted else default_size)
    if settings.data is None:
        parts, classes = read_digits(settings)
    else:
        parts, classes = read_folder(settings.data, settings, side=math.ceil(size * LARGEST))
    images = {part: Images(source, fit(size, wanted)) for part, source in parts.items()}
    random = Images(parts["train"], augmentation(settings, size), mixing(settings, len(classes)))
    train: Samples = random
    facts = {
        "classes": classes,
        "channels": 1 if settings.data is None else 3,
        "image_size": size,
        **normalisation(images["train"], wanted),
    }
    if settings.data is not None:
        kept = [part.pixels for part in (parts["train"], parts["val"]) if isinstance(part, Files)]
        if kind_of(settings) == "crop" and random.mix is None:
            train = Cropped(parts["train"], size, SMALLEST_CROP)
        return Data(train, images["val"], images["test"], facts, in_memory=False, caches=kept)
    if size > MAX_HELD:
        return Data(random, images["val"], images["test"], facts, in_memory=True)
    shift = {"none": 0, "shift": margin(size)}.get(kind_of(settings))
    if shift is not None and random.mix is None:
        train = Held(images["train"], shift)
    return Data(train, Held(images["val"]), Held(images["test"]), facts, in_memory=True)


def fit(size: int, wanted: Preprocessing | None = None) -> Transform:
    """Resize, and cut the middle square: as pretrained weights were evaluated, if there are any."""
    shorter = round(size * wanted.resize_size / wanted.crop_size) if wanted else size
    transform: Transform = v2.Compose([v2.Resize(shorter, antialias=True), v2.CenterCrop(size)])
    return transform


def augmentation(settings: Hyperparameters, size: int) -> Transform:
    """The random transformation of a training image to (C, size, size)."""
    shift = v2.RandomCrop(size, padding=margin(size), padding_mode="edge")
    zoom = [
        v2.RandomResizedCrop(size, scale=(SMALLEST_CROP, 1), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
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
