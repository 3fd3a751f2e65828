"""Step 2, the images as the model gets them: resized and augmented together with their boxes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from .hyperparameters import Hyperparameters
from .images import statistics
from .loaders import Data
from .pretrained import check_name
from .sources import Files, Source, read_folder, read_scenes

Target = dict[str, Tensor]
"""boxes (k, 4): x1, y1, x2, y2 in pixels; labels (k,) int64. An image may have none."""
Sample = tuple[Tensor, Target]
Transform = Callable[[tv_tensors.Image, dict[str, Any]], tuple[Tensor, dict[str, Any]]]

SCENE_SIZE, OWN_SIZE = 64, 256  # pixels of the longer side, for the model small
LARGEST = 2  # times that size a file is decoded to; crops are enlarged


@dataclass(frozen=True)
class Images:
    """Images with boxes. A sample is (image (3, H, W) uint8, target), boxes in that image."""

    source: Source
    transform: Transform

    def __len__(self) -> int:
        return len(self.source.labels)

    def __getitem__(self, index: int) -> Sample:
        pixels, boxes, labels = self.source.read(index)
        size = (pixels.shape[1], pixels.shape[2])
        framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
        target = {"boxes": framed, "labels": labels}
        image, target = self.transform(tv_tensors.Image(pixels), target)
        return image.as_subclass(Tensor), {
            name: value.as_subclass(Tensor) for name, value in target.items()
        }

    def describe(self, index: int) -> str:
        """The file of an image, or its place among the scenes."""
        return self.source.describe(index)


def collate(samples: list[Sample]) -> tuple[list[Tensor], list[Target]]:
    """Images of different sizes and with different numbers of boxes stay apart in a batch."""
    return [image for image, _ in samples], [target for _, target in samples]


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test images as ``settings`` ask for them."""
    check_name(settings.model)
    small, size = settings.model == "small", settings.image_size
    if small and size is None:
        size = OWN_SIZE if settings.data else SCENE_SIZE
    parts: Mapping[str, Source]
    if settings.data is None:
        parts, classes = read_scenes(settings)
    else:
        side = None if size is None else math.ceil(LARGEST * size)
        parts, classes = read_folder(settings.data, settings, side)
    counts = [len(labels) for part in parts.values() for labels in part.labels]
    return Data(
        train=Images(parts["train"], augmentation(settings, size)),
        val=Images(parts["val"], fit(size)),
        test=Images(parts["test"], fit(size)),
        facts={
            "classes": classes,
            "image_size": size,
            "max_boxes": max(counts),
            **(statistics(Images(parts["train"], fit(size))) if small else {}),
        },
        in_memory=settings.data is None,
        collate=collate,
        caches=[part.pixels for part in (parts["train"], parts["val"]) if isinstance(part, Files)],
    )


def fit(size: int | None) -> Any:
    """Resize so that the longer side has ``size`` pixels; None leaves images as they are."""
    return v2.Resize(None, max_size=size, antialias=True) if size else v2.Identity()


def augmentation(settings: Hyperparameters, size: int | None) -> Any:
    """The random transformation of a training image; boxes that it cuts off are left out."""
    kind = settings.augment
    if kind == "auto":
        kind = "shift" if settings.data is None else "crop"
    if kind == "none":
        return fit(size)
    shift = [v2.RandomAffine(degrees=0, translate=(0.1, 0.1), scale=(0.85, 1.15))]
    crop = [v2.RandomIoUCrop(), v2.RandomHorizontalFlip()]
    steps: dict[str, list[Any]] = {
        "shift": shift,
        "crop": crop,
        "strong": [v2.RandomPhotometricDistort(), v2.RandomZoomOut(side_range=(1, 3)), *crop],
    }
    return v2.Compose([*steps[kind], fit(size), v2.SanitizeBoundingBoxes()])
