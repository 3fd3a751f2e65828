"""Step 1, set hyperparameters: what you change first when you train to label every pixel."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .errors import UserError
from .settings import CommonHyperparameters, Count, Positive, PositiveOrZero, Range


@dataclass(frozen=True)
class Hyperparameters(CommonHyperparameters):
    """Every number that decides the result. What all tasks share stands in settings.py."""

    data: Path | None = None
    """Folder with images/ and masks/, with or without train/, val/ and test/.
    None: scenes of handwritten digits, which are made when they are needed."""
    image_size: Annotated[int, Range(16, 4096)] | None = None
    """Height and width in pixels. None: for unet 64 (the scenes) or 256 (your own); for models of
    torchvision what they were made for."""
    augment: Literal["auto", "none", "shift", "crop", "strong"] = "auto"
    """Random changes of training images: shift moves them a little, crop zooms, moves and mirrors,
    strong also changes colours. auto: shift for the scenes, crop for your own."""

    model: str = "unet"
    """unet (small), or any segmentation model of torchvision: deeplabv3_resnet50, ..."""
    pretrained: bool = False
    """Start from torchvision's weights (COCO) with new last layers."""
    freeze_backbone: bool = False
    """Train only what comes after the backbone."""
    width: Annotated[int, Range(4, 1024)] = 24
    """Channels of the first level of the unet; deeper levels have up to four times as many."""

    dice_weight: PositiveOrZero = 2.0
    """Weight of the Dice loss beside the cross-entropy; 0 leaves it out."""
    aux_weight: PositiveOrZero = 0.4
    """Weight of the loss of the side branch that torchvision's fcn and deeplabv3 have."""
    monitor: Literal["miou", "pixel_accuracy", "loss"] = "miou"
    """Validation metric by which the best epoch is chosen."""

    epochs: Count = 4
    """Number of passes over the training samples."""
    batch_size: Count = 8
    """Samples per optimizer step, over all processes and accumulation steps together."""
    eval_batch_size: Count = 32
    """Samples per batch in validation and test; it has no influence on the result."""
    learning_rate: Positive = 5e-3
    """Highest learning rate of the schedule."""
    warmup_fraction: Annotated[float, Range(0, 0.9)] = 0.25
    """Part of all steps in which the learning rate rises from near zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "unet" and (self.pretrained or self.freeze_backbone):
            raise UserError(
                "The model unet has no pretrained weights. Choose one of torchvision's with "
                "--pretrained, for example --model deeplabv3_resnet50 --pretrained."
            )
        if self.freeze_backbone and not self.pretrained:
            raise UserError(
                "--freeze-backbone keeps the weights as they are, so it needs trained ones. "
                "Add --pretrained."
            )
        if self.model.startswith("deeplabv3_") and self.batch_size < 2 * self.accumulation_steps:
            raise UserError(
                f"{self.model} has a batch norm that needs two images at a time. "
                f"Type --batch-size {2 * self.accumulation_steps} or more."
            )
