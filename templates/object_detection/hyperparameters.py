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
    """Folder of images with boxes around the objects, as COCO JSON or as YOLO text files.
    None: scenes made of handwritten digits."""
    image_size: Annotated[int, Interval(ge=32, le=4096)] | None = None
    """Pixels of the longer side to which images are resized. None: for small 64 (the scenes) or 256
    (your own images); for torchvision's detectors the size that they were made for."""
    cache_gib: NonNegativeFloat = 10.0
    """Disk space in GiB for decoded images (.cache/images), which later epochs read much faster;
    0: no cache."""
    augment: Literal["auto", "none", "shift", "crop", "strong"] = "auto"
    """Random changes of training images: shift moves them a little; crop cuts and mirrors; strong
    also shrinks and changes colors. auto: shift for the scenes, crop for your own images."""
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
    model: str = "small"
    """small (trains from scratch), or a detector of torchvision: fasterrcnn_resnet50_fpn, ..."""
    pretrained: bool = False
    """Start from torchvision's weights (COCO), with a new layer for your classes."""
    freeze_backbone: bool = False
    """Keep the backbone with its feature pyramid as it is, and train only the heads."""
    width: Annotated[int, Interval(ge=8, le=1024)] = 24
    """Channels of the first stage of small. Deeper stages have up to four times as many."""
    score_threshold: Fraction = 0.01
    """Detections with a lower score are left out."""
    nms_iou: Fraction = 0.5
    """Of two boxes of a class that overlap more than this (IoU), the lower score is left out."""
    max_detections: Annotated[int, Interval(ge=1, le=100)] = 100
    """Most detections in an image. COCO's mAP counts at most 100."""

    # Loss
    box_weight: NonNegativeFloat = 2.0
    """Weight of the box loss of small, which is added to its class loss."""

    # Optimizer and schedule
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Optimizer; sgd uses Nesterov momentum."""
    learning_rate: PositiveFloat = 5e-3
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
    """Number of passes over the training samples. None: 6; for little data as many as make
    600 steps, at most 100."""
    batch_size: Count = 8
    """Samples per optimizer step, over all processes and micro-batches together."""
    monitor: Literal["map", "map50", "loss"] = "map"
    """Validation metric by which the best epoch is chosen: COCO's mAP, mAP at IoU 0.5, or loss."""
    patience: CountOrZero = 0
    """Stop after this many epochs without a better one; 0: never."""

    def num_epochs(self, num_samples: int) -> int:
        """Passes over so many training samples."""
        return self.epochs or max(6, min(100, math.ceil(600 * self.batch_size / num_samples)))

    def __post_init__(self) -> None:
        if self.model == "small" and (self.pretrained or self.freeze_backbone):
            raise UserError(
                "The model small has no pretrained weights. Choose one of torchvision's with "
                "--pretrained, for example --model fasterrcnn_resnet50_fpn --pretrained."
            )
        if self.freeze_backbone and not self.pretrained:
            raise UserError(
                "--freeze-backbone keeps the weights as they are, so it needs pretrained ones. "
                "Add --pretrained."
            )
