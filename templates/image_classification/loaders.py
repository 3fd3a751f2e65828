"""Step 2, load data: images with their classes, how they are augmented, and the loaders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torchvision.transforms import v2

from .engine.data import BatchDataset, Data, SampleDataset
from .engine.data_report import DataReport
from .engine.inputs import InputKind, OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .vision.batches import MixedImages, augment_fast, keep_small
from .vision.cache import find_caches
from .vision.classifiers import preprocessing, resize
from .vision.digits import read_digits
from .vision.image_folder import (
    LabeledImages,
    find_images,
    inspect_all,
    open_images,
    read_images,
    typical_size,
)
from .vision.images import SUFFIXES, channel_statistics
from .vision.mirroring import decide_mirroring

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W), and classes: numbers (N,), or probabilities (N, num_classes) when mixed."""

INPUTS = InputKind("images", SUFFIXES)  # what predict takes
DIGIT_SIZE, MIN_CROP_AREA = 8, 0.35  # pixels, share of the image


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
    """A sample is an image (C, H, W) uint8 and its class number."""

    def __init__(self, images: LabeledImages, transform: v2.Transform) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
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
        files, classes = find_images(hparams.data, hparams, report)
        size = size or typical_size(files["train"].paths, report)
        report.note(f"Training images are changed as --augment {augmentation_kind(hparams)} says.")
        splits = read_images(files, hparams.cache_gib, report, side=decoded_side(hparams, size))
    for name, images in splits.items():
        report.count_classes(name, images.labels, classes)
    fixed = {name: ImageDataset(images, resize(size, original)) for name, images in splits.items()}
    trained = original if hparams.pretrained else None
    statistics = trained.statistics if trained else channel_statistics(fixed["train"])
    counts = [report.classes["train"][name] for name in classes]
    channels, scale = 1 if hparams.data is None else 3, splits["train"].pixel_range
    info = DataInfo(classes, counts, channels, size, **statistics, pixel_range=scale)
    return Data(
        train=make_train_set(hparams, fixed["train"], info, report),
        val=keep_small(fixed["val"]),
        test=keep_small(fixed["test"]),
        info=info,
        in_memory=hparams.data is None,
        caches=find_caches(splits["train"].pixels, splits["val"].pixels),
        report=report,
        inspect=partial(inspect_all, splits, classes, report) if hparams.data else None,
    )


def make_train_set(
    hparams: Hyperparameters, fixed: ImageDataset, info: DataInfo, report: DataReport
) -> BatchDataset:
    """The augmented training images."""
    kind, size, mirror = augmentation_kind(hparams), info.image_size, hparams.mirror == "yes"
    if hparams.mirror == "auto" and hparams.data is not None and kind != "none":
        mirror = decide_mirroring(fixed, hparams.pretrained, report)
    train: BatchDataset
    if kind == "strong":
        flips = [v2.RandomHorizontalFlip()] if mirror else []
        crop = v2.RandomResizedCrop(size, scale=(MIN_CROP_AREA, 1), antialias=True)
        train = ImageDataset(fixed.images, v2.Compose([crop, *flips, v2.TrivialAugmentWide()]))
    else:  # the same as with transforms for shift and crop, but faster
        train = augment_fast(fixed, kind, size, max(1, size // 8), MIN_CROP_AREA, mirror)
    mix = mixing(hparams, len(info.classes))
    return MixedImages(train, mix) if mix else train


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
