"""Step 3, define and load models: a small CNN, and torchvision's classification models by name."""

from typing import Any

from torch import nn
from torchvision.ops import Conv2dNormActivation

from .hyperparameters import Hyperparameters
from .normalized import Normalized
from .pretrained import replace_head, torchvision_model


class SmallCNN(nn.Sequential):
    """Three blocks of two convolutions, each half as wide and twice as deep, then an average.

    It has 288,000 parameters at ``width`` 32 and takes images of any size from 4×4 pixels.
    """

    def __init__(self, *, channels: int, num_classes: int, width: int, dropout: float) -> None:
        super().__init__(
            _block(channels, width),
            nn.MaxPool2d(2),
            _block(width, 2 * width),
            nn.MaxPool2d(2),
            _block(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, num_classes),
        )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """(N, inputs, H, W) to (N, outputs, H, W)."""
    return nn.Sequential(
        Conv2dNormActivation(inputs, outputs), Conv2dNormActivation(outputs, outputs)
    )


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for data of which ``facts`` are known: images (N, C, H, W) to logits (N, classes).

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes, channels = len(facts["classes"]), facts["channels"]
    network: nn.Module
    head: nn.Module
    if settings.model == "cnn":
        network = head = SmallCNN(
            channels=channels,
            num_classes=num_classes,
            width=settings.width,
            dropout=settings.dropout,
        )
    else:
        channels = 3  # torchvision's models see a grey image three times
        network = torchvision_model(settings, facts["image_size"], initialize)
        head = replace_head(network, num_classes)
    return Normalized(
        network,
        mean=facts["mean"],
        std=facts["std"],
        channels=channels,
        frozen=network if settings.freeze_backbone else None,
        head=head,
    )
