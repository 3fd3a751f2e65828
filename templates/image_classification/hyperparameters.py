"""Step 1, set hyperparameters: every number that decides the result of a training."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from .engine.errors import UserError
from .engine.settings import Count, CountOrZero, Fraction, NonNegativeFloat, PositiveFloat


@dataclass(frozen=True)
class Hyperparameters:
    """Each one is a flag: ``python train.py --batch-size 16``."""

    # Data
    data: Path | None = None
    """Folder of images, one folder per class, with or without train/, val/ and test/ above them.
    None: 1,797 handwritten digits that come with scikit-learn."""
    image_size: Annotated[int, Interval(ge=4, le=4096)] | None = None
    """Height and width in pixels. None: what the model was made for; with the cnn, what is near to
    the size of most of your images, at most 128."""
    cache_gib: NonNegativeFloat = 10.0
    """Disk space in GiB for decoded images (.cache/images), which later epochs read much faster;
    0: no cache."""
    augment: Literal["auto", "none", "shift", "crop", "strong"] = "auto"
    """Random changes of training images: shift moves them a little, crop zooms and moves, strong
    adds colors and more (TrivialAugment). auto: shift, and crop with --pretrained."""
    mirror: Literal["auto", "yes", "no"] = "auto"
    """Whether shift, crop and strong also mirror images, left and right. auto: not the digits;
    yours if a short trial shows that it is harmless (for letters and arrows it is not)."""
    mixup_alpha: NonNegativeFloat = 0.0
    """Strength of mixup, which blends two images and their classes; 0: off."""
    cutmix_alpha: NonNegativeFloat = 0.0
    """Strength of cutmix, which pastes a part of one image into another; 0: off."""
    val_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the samples for validation, if the data has no validation set."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.9)] = 0.15
    """Share of the samples for the test, if the data has no test set."""
    split_seed: CountOrZero = 0
    """Seed of that split. Keep it when you change --seed, so that the test set stays unseen."""
    group_by: str | None = None
    """Images that belong together stay in one split: folder (those of a folder), or a regular
    expression for their path, such as "(patient\\d+)"."""
    fold: str | None = None
    """Cross-validation: 2/5 tests on the second of five parts and trains on the others."""

    # Model
    model: str = "cnn"
    """cnn (small), or any classification model of torchvision: resnet18, vit_b_16, ..."""
    pretrained: bool = False
    """Start from torchvision's weights (ImageNet) with a new last layer."""
    freeze_backbone: bool = False
    """Train only the new last layer."""
    width: Annotated[int, Interval(ge=4, le=1024)] = 32
    """Channels of the first block of the cnn; each later block has twice as many."""
    dropout: Annotated[float, Interval(ge=0, le=0.95)] = 0.1
    """Probability that the cnn drops a feature before its last layer."""

    # Loss
    label_smoothing: Fraction = 0.05
    """Share of the target's probability that is spread over all classes."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """balanced: rare classes count as much as frequent ones in the training loss."""

    # Optimizer and schedule
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: PositiveFloat = 2e-3
    """Highest learning rate of the schedule."""
    weight_decay: NonNegativeFloat = 0.05
    """Weight decay; norms and biases have none."""
    momentum: Annotated[float, Interval(ge=0, le=0.999)] = 0.9
    """Momentum of sgd."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate after the warm-up: a cosine down to zero, or constant."""
    warmup_fraction: Annotated[float, Interval(ge=0, le=0.9)] = 0.25
    """Share of all steps in which the learning rate rises from near zero."""
    clip_norm: NonNegativeFloat = 1.0
    """Longest gradient: longer ones are scaled down to it; 0: no clipping."""
    ema_decay: Annotated[float, Interval(ge=0, le=0.99999)] = 0.0
    """Decay of the moving average of the weights, which is then evaluated; 0: no average."""

    # Training
    seed: CountOrZero = 0
    """Seed of the weights, the order of the samples, augmentation and dropout."""
    epochs: Count | None = None
    """Number of passes over the training samples. None: 12; for little data as many as make
    400 steps, at most 100."""
    batch_size: Count = 32
    """Samples per optimizer step, over all processes and micro-batches together."""
    monitor: Literal["accuracy", "balanced_accuracy", "f1", "loss"] = "accuracy"
    """Validation metric by which the best epoch is chosen."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better one; 0: never."""

    def num_epochs(self, num_samples: int) -> int:
        """Passes over so many training samples."""
        return self.epochs or max(12, min(100, math.ceil(400 * self.batch_size / num_samples)))

    def __post_init__(self) -> None:
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
