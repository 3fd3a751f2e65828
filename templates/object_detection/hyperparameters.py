"""Step 1, set hyperparameters: what you change first when you train a detector of objects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .errors import UserError
from .settings import CommonHyperparameters, Count, Fraction, Positive, PositiveOrZero, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    data: Path | None = None
    """Folder of images with boxes around the objects, as COCO's JSON or as YOLO's text files.
    None: scenes of handwritten digits, which are made when they are needed."""
    image_size: Annotated[int, Range(32, 4096)] | None = None
    """Pixels of the longer side to which images are resized. None: for small 64 (the scenes) or 256
    (your own); torchvision's detectors then resize as they were made to."""
    cache: bool = True
    """Keep decoded images on the disk (.cache/images), where later epochs read them much faster."""
    cache_gib: Positive = 10.0
    """Most gigabytes (GiB) that they may take; what does not fit is decoded in every epoch."""
    augment: Literal["auto", "none", "shift", "crop", "strong"] = "auto"
    """Random changes of training images: shift moves them a little, crop cuts and mirrors, strong
    also shrinks and changes colours. auto: shift for the scenes, crop for your own."""

    model: str = "small"
    """small (trains from scratch), or a detector of torchvision: fasterrcnn_resnet50_fpn, ..."""
    pretrained: bool = False
    """Start from torchvision's weights (COCO) with a new layer for your classes."""
    freeze_backbone: bool = False
    """Keep the backbone with its feature pyramid as it is, and train the heads alone."""
    width: Annotated[int, Range(8, 1024)] = 24
    """Channels of the first stage of small; deeper stages have up to four times as many."""

    box_weight: PositiveOrZero = 2.0
    """Weight of the boxes' loss beside the classes' loss, in small."""
    score_threshold: Fraction = 0.01
    """Detections with a lower score are left out."""
    nms_iou: Fraction = 0.5
    """Of two boxes of a class that overlap more than this (IoU), the lower score is left out."""
    max_detections: Annotated[int, Range(1, 100)] = 100
    """Most detections kept in an image; COCO's mAP looks at 100."""
    monitor: Literal["map", "map50", "loss"] = "map"
    """Validation metric by which the best epoch is chosen: COCO's mAP, mAP at IoU 0.5, or loss."""

    epochs: Count = 6
    """Number of passes over the training samples."""
    batch_size: Count = 8
    """Samples per optimizer step, over all processes and accumulation steps together."""
    eval_batch_size: Count = 64
    """Samples per batch in validation and test; it has no influence on the result."""
    learning_rate: Positive = 5e-3
    """Highest learning rate of the schedule."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.25
    """Part of all steps in which the learning rate rises from near zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "small" and (self.pretrained or self.freeze_backbone):
            raise UserError(
                "The model small has no pretrained weights. Choose one of torchvision's with "
                "--pretrained, for example --model fasterrcnn_resnet50_fpn --pretrained."
            )
        if self.freeze_backbone and not self.pretrained:
            raise UserError(
                "--freeze-backbone keeps the weights as they are, so it needs trained ones. "
                "Add --pretrained."
            )
