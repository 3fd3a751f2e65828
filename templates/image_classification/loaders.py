"""Step 2, load data: images with their classes, how they are augmented, and the loaders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from .engine.data import BatchDataset, Data, SampleDataset
from .engine.data_report import DataReport
from .engine.inputs import InputKind, OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .vision.batches import augment_fast, keep_small
from .vision.cache import PixelCache
from .vision.classifiers import preprocessing, resize
from .vision.digits import read_digits
from .vision.image_folder import (
    LabeledImages,
    inspect_image_folder,
    open_images,
    read_image_folder,
)
from .vision.images import SUFFIXES, channel_statistics
from .vision.mirroring import decide_mirroring
from .vision.sizes import typical_size

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W), and classes: numbers (N,), or probabilities (N, num_classes) when mixed."""

INPUTS = InputKind("images", SUFFIXES)  # what predict takes
DIGIT_SIZE = 8
MIN_CROP_AREA = 0.35  # share of the image


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know about the data."""

    classes: list[str]
    class_counts: list[int]
    """Training samples of each class."""
    channels: int
    image_size: int
    mean: list[float]
    """Of each channel, for values from 0 to 1."""
    std: list[float]
    pixel_range: list[float] | None = None
    """Values that became 0 and 255, in images with more than 8 bits."""


class ImageDataset(SampleDataset):
    """A sample is an image (C, H, W) uint8 and its class number.

    With ``mix``, it is an image with values from 0 to 1, and a probability for each class.
    """

    def __init__(
        self, images: LabeledImages, transform: v2.Transform, mix: v2.Transform | None = None
    ) -> None:
        self.images, self.transform, self.mix = images, transform, mix

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        if self.mix is None:
            return self._load(index)
        partner = int(torch.randint(len(self), ()))  # follows from the sample's own seed
        (image, label), (other_image, other_label) = self._load(index), self._load(partner)
        images = torch.stack([image, other_image]) / 255
        mixed, labels = self.mix(images, torch.tensor([label, other_label]))
        return mixed[0], labels[0]

    def _load(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images.pixels[index]), self.images.labels[index]

    def describe(self, index: int) -> str:
        """The path of the image, or the number of the digit."""
        return str(self.images.names[index])


def make_data(hparams: Hyperparameters) -> Data:
    """The training, validation and test images, and what is known about them."""
    report = DataReport()
    original = None if hparams.model == "cnn" else preprocessing(hparams.model)
    size = hparams.image_size or (original.crop_size if original else None)
    if hparams.data is None:
        size = size or DIGIT_SIZE
        splits, classes = read_digits(hparams)
    else:
        size = size or typical_size(hparams.data, report)
        kind = augmentation_kind(hparams)
        report.note(f"Training images are changed at random as --augment {kind} says.")
        side = decoded_side(hparams, size)
        splits, classes = read_image_folder(hparams.data, hparams, report, side=side)
    for name, images in splits.items():
        report.count_classes(name, images.labels, classes)
    fixed = {name: ImageDataset(images, resize(size, original)) for name, images in splits.items()}
    if original and hparams.pretrained:
        statistics = {"mean": original.mean, "std": original.std}
    else:
        statistics = channel_statistics(fixed["train"])
    counts = np.bincount(splits["train"].labels, minlength=len(classes)).tolist()
    channels, pixel_range = 1 if hparams.data is None else 3, splits["train"].pixel_range
    info = DataInfo(classes, counts, channels, size, **statistics, pixel_range=pixel_range)
    caches = [splits[name].pixels for name in ("train", "val")]
    return Data(
        train=make_train_set(hparams, fixed["train"], info, report),
        val=keep_small(fixed["val"]),
        test=keep_small(fixed["test"]),
        info=info,
        in_memory=hparams.data is None,
        caches=[cache for cache in caches if isinstance(cache, PixelCache)],
        report=report,
        inspect=partial(inspect_image_folder, splits, classes, report) if hparams.data else None,
    )


def make_train_set(
    hparams: Hyperparameters, fixed: ImageDataset, info: DataInfo, report: DataReport
) -> BatchDataset:
    """The augmented training images. Shifts and crops have a faster implementation."""
    kind = augmentation_kind(hparams)
    size, mix = info.image_size, mixing(hparams, len(info.classes))
    mirror = hparams.mirror == "yes"
    if hparams.mirror == "auto" and hparams.data is not None and kind != "none":
        mirror = decide_mirroring(fixed, hparams.pretrained, report)
    if mix is None and kind != "strong":
        return augment_fast(fixed, kind, size, margin(size), MIN_CROP_AREA, mirror)
    return ImageDataset(fixed.images, augmentation(kind, size, mirror), mix)


def make_inputs(
    inputs: Sequence[Any], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own images as a data set without classes, for predict."""
    original = None if hparams.model == "cnn" else preprocessing(hparams.model)
    images = open_images(inputs, decoded_side(hparams, info.image_size), info.pixel_range)
    to_gray = [v2.Grayscale()] if info.channels == 1 else []
    transform = v2.Compose([*to_gray, resize(info.image_size, original)])
    return [lambda failures: ImageDataset(images, transform)]


def augmentation_kind(hparams: Hyperparameters) -> str:
    """What "auto" means: from scratch, larger changes cost more than they bring."""
    auto = "crop" if hparams.pretrained else "shift"
    return auto if hparams.augment == "auto" else hparams.augment


def decoded_side(hparams: Hyperparameters, size: int) -> int:
    """Pixels of the shorter side with which files are decoded; crops need more of them."""
    is_cropped = augmentation_kind(hparams) in ("crop", "strong")
    return math.ceil(size * (MIN_CROP_AREA**-0.5 if is_cropped else 1.2))


def augmentation(kind: str, size: int, mirror: bool) -> v2.Transform:
    """The random transform of a training image to (C, size, size)."""
    flips = [v2.RandomHorizontalFlip()] if mirror else []
    shift = v2.RandomCrop(size, padding=margin(size), padding_mode="edge")
    crop = v2.RandomResizedCrop(size, scale=(MIN_CROP_AREA, 1), antialias=True)
    transforms: dict[str, list[Any]] = {
        "none": [resize(size)],
        "shift": [resize(size), shift, *flips],
        "crop": [crop, *flips],
        "strong": [crop, *flips, v2.TrivialAugmentWide()],
    }
    return v2.Compose(transforms[kind])


def margin(size: int) -> int:
    """Pixels by which an image is shifted at most."""
    return max(1, size // 8)


def mixing(hparams: Hyperparameters, num_classes: int) -> v2.Transform | None:
    """Mixup, cutmix, one of the two at random, or None."""
    kinds = [(v2.MixUp, hparams.mixup_alpha), (v2.CutMix, hparams.cutmix_alpha)]
    choices = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha]
    return v2.RandomChoice(choices) if choices else None


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """The training batches; their order and augmentation follow from the seed."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """The batches of a validation or test set, in order."""
    return EvalLoader(dataset, data, run)
