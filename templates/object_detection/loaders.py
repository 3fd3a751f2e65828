"""Step 2, load data: images with boxes, and how both are resized and augmented."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from .engine.data import BatchDataset, Data, SampleDataset
from .engine.data_report import DataReport
from .engine.inputs import InputKind, OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .vision.box_folder import (
    BoxedImages,
    boxed_scenes,
    inspect_boxed_images,
    open_images,
    read_box_folder,
)
from .vision.cache import find_caches
from .vision.detectors import check_detector
from .vision.images import SUFFIXES, channel_statistics
from .vision.scenes import CLASSES

Target = dict[str, Tensor]
"""boxes (k, 4): x1, y1, x2, y2 in pixels; labels (k,) int64. An image may have none."""
Sample = tuple[Tensor, Target]
Batch = tuple[list[Tensor], list[Target]]
"""Images (3, H, W) uint8 of different sizes, and the target of each."""

INPUTS = InputKind("images", SUFFIXES)  # what predict takes
SCENE_SIZE, OWN_SIZE = 64, 256  # default image_size of the model small
DECODED_SCALE = 2  # files are decoded to twice the image_size, because crops are enlarged


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know about the data."""

    classes: list[str]
    image_size: int | None
    max_boxes: int
    """Most boxes in an image."""
    mean: list[float] = field(default_factory=list)
    """Of each channel, for values from 0 to 1. Torchvision's detectors have their own."""
    std: list[float] = field(default_factory=list)
    pixel_range: list[float] | None = None
    """Values that became 0 and 255, in images with more than 8 bits."""


class DetectionDataset(SampleDataset):
    """A sample is an image (3, H, W) uint8 and its target."""

    def __init__(self, images: BoxedImages, transform: v2.Transform) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.names)

    def __getitem__(self, index: int) -> Sample:
        pixels = self.images.pixels[index]
        height, width = pixels.shape[1:]
        boxes = torch.tensor(self.images.boxes[index], dtype=torch.float32)
        boxes = boxes * torch.tensor([width, height, width, height])
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": torch.tensor(self.images.labels[index], dtype=torch.int64),
        }
        image, target = self.transform(tv_tensors.Image(pixels), target)
        target = {name: value.as_subclass(Tensor) for name, value in target.items()}
        return image.as_subclass(Tensor), target

    def collate(self, samples: list[Sample]) -> Batch:
        """Lists, because images have different sizes and different numbers of boxes."""
        return [image for image, _ in samples], [target for _, target in samples]

    def describe(self, index: int) -> str:
        """The path of the image, or the name of the scene."""
        return self.images.names[index]


def make_data(hparams: Hyperparameters) -> Data:
    """The training, validation and test images, and what is known about them."""
    is_small, size = hparams.model == "small", hparams.image_size
    if not is_small:
        check_detector(hparams.model)
    elif size is None:
        size = OWN_SIZE if hparams.data else SCENE_SIZE
    report = DataReport()
    if hparams.data is None:
        splits, classes = boxed_scenes(hparams), CLASSES
    else:
        side = DECODED_SCALE * size if size else None
        splits, classes = read_box_folder(hparams.data, hparams, report, size=size, side=side)
    train, val, test = (splits[name] for name in ("train", "val", "test"))
    statistics = channel_statistics(DetectionDataset(train, resize(size))) if is_small else {}
    max_boxes = max(len(boxes) for images in splits.values() for boxes in images.boxes)
    return Data(
        train=DetectionDataset(train, augmentation(hparams, size)),
        val=DetectionDataset(val, resize(size)),
        test=DetectionDataset(test, resize(size)),
        info=DataInfo(classes, size, max_boxes, **statistics, pixel_range=train.pixel_range),
        in_memory=hparams.data is None,
        caches=find_caches(train.pixels, val.pixels),
        report=report,
        inspect=partial(inspect_boxed_images, splits, report) if hparams.data else None,
    )


def make_inputs(
    inputs: Sequence[Any], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own images as a data set without boxes, for predict."""
    size = info.image_size
    images = open_images(inputs, DECODED_SCALE * size if size else None, info.pixel_range)
    return [lambda failures: DetectionDataset(images, resize(size))]


def resize(size: int | None) -> v2.Transform:
    """Resize so that the longer side has ``size`` pixels; None leaves images as they are."""
    return v2.Resize(None, max_size=size, antialias=True) if size else v2.Identity()


def augmentation(hparams: Hyperparameters, size: int | None) -> v2.Transform:
    """The random transform of a training image; boxes that end up outside are removed."""
    kind = hparams.augment
    if kind == "auto":
        kind = "shift" if hparams.data is None else "crop"
    if kind == "none":
        return resize(size)
    crop = [v2.RandomIoUCrop(), v2.RandomHorizontalFlip()]
    steps: dict[str, list[Any]] = {
        "shift": [v2.RandomAffine(degrees=0, translate=(0.1, 0.1), scale=(0.85, 1.15))],
        "crop": crop,
        "strong": [v2.RandomPhotometricDistort(), v2.RandomZoomOut(side_range=(1, 3)), *crop],
    }
    return v2.Compose([*steps[kind], resize(size), v2.SanitizeBoundingBoxes()])


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """The training batches, in an order and with augmentation that follow from the seed."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """The batches of a validation or test set, in order."""
    return EvalLoader(dataset, data, run, max_batch=64)
