"""Step 2, load data: images with a mask each, and how both are resized and augmented."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from .engine.data import BatchDataset, Data, SampleDataset
from .engine.data_report import DataReport
from .engine.errors import UserError
from .engine.inputs import InputKind, OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .vision.cache import find_caches
from .vision.images import SUFFIXES, channel_statistics
from .vision.legend import IGNORED
from .vision.mask_folder import (
    MaskedImages,
    inspect_mask_folder,
    masked_scenes,
    open_images,
    read_mask_folder,
)
from .vision.scenes import CLASSES
from .vision.segmenters import preprocessing

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, H, W) uint8, and masks (N, H, W) uint8: the class of each pixel, or IGNORED."""

INPUTS = InputKind("images", SUFFIXES)  # what predict takes
SCENE_SIZE, OWN_SIZE = 64, 256  # default image_size of the unet
MIN_CROP_AREA = 0.25  # of the image
DECODED_SCALE = 2  # files are decoded to twice the image_size, enough for the smallest crop
FILL: dict[Any, int] = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}  # outside of the image


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know about the data."""

    classes: list[str]
    image_size: int
    mean: list[float]
    """Of each channel, for values from 0 to 1."""
    std: list[float]
    pixel_range: list[float] | None = None
    """Values that became 0 and 255, in images with more than 8 bits."""


class SegmentationDataset(SampleDataset):
    """A sample is an image (3, S, S) uint8 and its mask (S, S) uint8."""

    def __init__(self, images: MaskedImages, transform: v2.Transform) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels = self.images.pixels[index]
        image, mask = self.transform(tv_tensors.Image(pixels[:3]), tv_tensors.Mask(pixels[3]))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)

    def describe(self, index: int) -> str:
        """The path of the image, or the name of the scene."""
        return self.images.names[index]


def make_data(hparams: Hyperparameters) -> Data:
    """The training, validation and test images, and what is known about them."""
    original = None if hparams.model == "unet" else preprocessing(hparams.model)
    size = hparams.image_size or (original.image_size if original else None)
    report = DataReport()
    if hparams.data is None:
        size = size or SCENE_SIZE
        splits, classes = masked_scenes(hparams), ["ground", *CLASSES]
    else:
        size = size or OWN_SIZE
        side = DECODED_SCALE * size
        splits, classes = read_mask_folder(hparams.data, hparams, report, side=side)
    fixed = {name: SegmentationDataset(images, resize(size)) for name, images in splits.items()}
    trained = original if hparams.pretrained else None
    statistics = trained.statistics if trained else channel_statistics(fixed["train"])
    return Data(
        train=SegmentationDataset(splits["train"], augmentation(hparams, size)),
        val=fixed["val"],
        test=fixed["test"],
        info=DataInfo(classes, size, **statistics, pixel_range=splits["train"].pixel_range),
        in_memory=hparams.data is None,
        caches=find_caches(splits["train"].pixels, splits["val"].pixels),
        report=report,
        inspect=partial(inspect_mask_folder, splits, report) if hparams.data else None,
    )


def make_inputs(
    inputs: Sequence[Any], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own images as a data set with empty masks, for predict."""
    images = open_images(inputs, DECODED_SCALE * info.image_size, info.pixel_range)
    return [lambda failures: SegmentationDataset(images, resize(info.image_size))]


def resize(size: int) -> v2.Transform:
    """Resize so that the longer side has ``size`` pixels, and pad to a square."""
    return v2.Compose([v2.Resize(None, max_size=size, antialias=True), partial(pad, size=size)])


def pad(image: Tensor, mask: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Pad at the right and at the bottom to ``size`` × ``size``; the mask ignores these pixels."""
    height, width = mask.shape
    padding = [0, 0, size - width, size - height]
    if any(padding):
        image = v2.functional.pad(image, padding, fill=FILL[tv_tensors.Image])
        mask = v2.functional.pad(mask, padding, fill=FILL[tv_tensors.Mask])
    return image, mask


def augmentation(hparams: Hyperparameters, size: int) -> v2.Transform:
    """The random transform of a training image and its mask to ``size`` × ``size`` pixels."""
    kind = hparams.augment
    if kind == "auto":
        kind = "shift" if hparams.data is None else "crop"
    shift = v2.RandomCrop(size, padding=max(1, size // 8), fill=FILL)
    crop = [
        v2.RandomResizedCrop(size, scale=(MIN_CROP_AREA, 1), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    steps: dict[str, list[Any]] = {
        "none": [resize(size)],
        "shift": [resize(size), shift],
        "crop": crop,
        "strong": [v2.RandomPhotometricDistort(), *crop],
    }
    return v2.Compose(steps[kind])


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """The training batches, in an order and with augmentation that follow from the seed."""
    num_pieces = run.settings.accumulation_steps * run.dist.world_size
    if hparams.model.startswith("deeplabv3_") and hparams.batch_size < 2 * num_pieces:
        raise UserError(
            f"{hparams.model} has a batch norm that needs two images at a time. "
            f"Use --batch-size {2 * num_pieces} or more."
        )
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """The batches of a validation or test set, in order."""
    return EvalLoader(dataset, data, run, max_batch=32)
