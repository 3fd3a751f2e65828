"""Step 1, set hyperparameters: what you change first when you train on images by class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .errors import UserError
from .settings import CommonHyperparameters, Count, Fraction, Positive, PositiveOrZero, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    data: Path | None = None
    """Folder of images, one folder a class, with or without train/, val/ and test/ above them.
    None: 1,797 handwritten digits that come with scikit-learn."""
    image_size: Annotated[int, Range(4, 4096)] | None = None
    """Height and width in pixels. None: what the model was made for; 8 for the digits."""
    cache: bool = True
    """Keep decoded images on the disk (.cache/images), where later epochs read them much faster."""
    cache_gib: Positive = 10.0
    """Most gigabytes (GiB) that they may take; what does not fit is decoded in every epoch."""
    augment: Literal["auto", "none", "shift", "crop", "strong"] = "auto"
    """Random changes of training images: shift moves them a little, crop zooms, moves and mirrors,
    strong adds colours and more (TrivialAugment). auto: shift for the digits, crop for your own."""
    mixup_alpha: PositiveOrZero = 0.0
    """Strength of mixup, which blends two images and their classes; 0: off."""
    cutmix_alpha: PositiveOrZero = 0.0
    """Strength of cutmix, which pastes a part of one image into another; 0: off."""

    model: str = "cnn"
    """cnn (small), or any classification model of torchvision: resnet18, vit_b_16, ..."""
    pretrained: bool = False
    """Start from torchvision's weights (ImageNet) with a new last layer."""
    freeze_backbone: bool = False
    """Train only the new last layer."""
    width: Annotated[int, Range(4, 1024)] = 32
    """Channels of the first block of the cnn; each later block has twice as many."""
    dropout: Annotated[float, Range(0, 0.95)] = 0.1
    """Part of the features that the cnn leaves out at random before its last layer."""

    label_smoothing: Fraction = 0.05
    """Part of the target's probability that is spread over all classes."""
    monitor: Literal["accuracy", "f1", "loss"] = "accuracy"
    """Validation metric by which the best epoch is chosen."""

    epochs: Count = 12
    """Number of passes over the training samples."""
    batch_size: Count = 32
    """Samples per optimizer step, over all processes and accumulation steps together."""
    learning_rate: Positive = 2e-3
    """Highest learning rate of the schedule."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.25
    """Part of all steps in which the learning rate rises from near zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "cnn" and (self.pretrained or self.freeze_backbone):
            raise UserError(
                "The model cnn has no pretrained weights. Choose one of torchvision's with "
                "--pretrained, for example --model resnet18 --pretrained."
            )
        if self.freeze_backbone and not self.pretrained:
            raise UserError(
                "--freeze-backbone keeps the weights as they are, so it needs trained ones. "
                "Add --pretrained."
            )
