"""Step 2, the images as the model gets them: resized and augmented together with their masks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from .hyperparameters import Hyperparameters
from .images import statistics
from .loaders import Data
from .masks import IGNORED
from .pretrained import Preprocessing, preprocessing
from .sources import Files, Source, read_folder, read_scenes

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

FILL: dict[Any, int] = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORED}  # where images end
SCENE_SIZE, OWN_SIZE = 64, 256  # pixels, for the unet
SMALLEST_CROP = 0.25  # of an image's area
# Files are decoded to so many times the size that the model needs, enough for the smallest crop.
LARGEST = SMALLEST_CROP**-0.5


@dataclass(frozen=True)
class Images:
    """Images with masks.

    A sample is (image (3, S, S) uint8, mask (S, S) uint8: classes, 255 where there is none).
    """

    source: Source
    transform: Transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, classes = self.source.read(index)
        image, mask = self.transform(tv_tensors.Image(pixels), tv_tensors.Mask(classes))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)

    def describe(self, index: int) -> str:
        """The file of an image, or its place among the scenes."""
        return self.source.describe(index)


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test images as ``settings`` ask for them."""
    wanted = preprocessing(settings)
    parts: Mapping[str, Source]
    default_size = SCENE_SIZE if settings.data is None else OWN_SIZE
    size = settings.image_size or (wanted.size if wanted else default_size)
    if settings.data is None:
        parts, classes = read_scenes(settings)
    else:
        parts, classes = read_folder(settings.data, settings, side=math.ceil(size * LARGEST))
    return Data(
        train=Images(parts["train"], augmentation(settings, size)),
        val=Images(parts["val"], fit(size)),
        test=Images(parts["test"], fit(size)),
        facts={
            "classes": classes,
            "image_size": size,
            **normalisation(Images(parts["train"], fit(size)), wanted),
        },
        in_memory=settings.data is None,
        caches=[part.pixels for part in (parts["train"], parts["val"]) if isinstance(part, Files)],
    )


def pad(image: Tensor, mask: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Fill up to ``size`` × ``size`` pixels, at the right and below, with pixels of no class."""
    height, width = mask.shape
    missing = [0, 0, size - width, size - height]
    if not any(missing):
        return image, mask
    image, mask = (v2.functional.pad(x, missing, fill=FILL[type(x)]) for x in (image, mask))
    return image, mask


def fit(size: int) -> Transform:
    """Resize so that the longer side has ``size`` pixels, and fill up to a square."""
    transform: Transform = v2.Compose(
        [v2.Resize(None, max_size=size, antialias=True), partial(pad, size=size)]
    )
    return transform


def augmentation(settings: Hyperparameters, size: int) -> Transform:
    """The random transformation of a training image and its mask to ``size`` × ``size`` pixels."""
    kind = settings.augment
    if kind == "auto":
        kind = "shift" if settings.data is None else "crop"
    shift = v2.RandomCrop(size, padding=max(1, size // 8), fill=FILL)
    crop = [
        v2.RandomResizedCrop(size, scale=(SMALLEST_CROP, 1), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    steps: dict[str, list[Any]] = {
        "none": [fit(size)],
        "shift": [fit(size), shift],
        "crop": crop,
        "strong": [v2.RandomPhotometricDistort(), *crop],
    }
    transform: Transform = v2.Compose(steps[kind])
    return transform


def normalisation(images: Images, wanted: Preprocessing | None) -> dict[str, list[float]]:
    """Mean and spread of each channel: of the pretrained weights, else of the training images."""
    if wanted is not None and wanted.mean is not None and wanted.std is not None:
        return {"mean": wanted.mean, "std": wanted.std}
    return statistics(images)
