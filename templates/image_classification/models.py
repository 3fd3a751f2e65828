"""Step 3, define and load models: a small CNN, and torchvision's classification models by name."""

from torch import nn
from torchvision.ops import Conv2dNormActivation

from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .vision.classifiers import build_classifier, replace_head
from .vision.normalize import Normalized


class SmallCNN(nn.Sequential):
    """Three blocks of two convolutions, each half as wide and twice as deep, then an average.

    It has 288,000 parameters at ``width`` 32 and takes images of any size from 4 × 4 pixels.
    """

    def __init__(self, *, channels: int, num_classes: int, width: int, dropout: float) -> None:
        super().__init__(
            conv_block(channels, width),
            nn.MaxPool2d(2),
            conv_block(width, 2 * width),
            nn.MaxPool2d(2),
            conv_block(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, num_classes),
        )


def conv_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """(N, in_channels, H, W) to (N, out_channels, H, W)."""
    return nn.Sequential(
        Conv2dNormActivation(in_channels, out_channels),
        Conv2dNormActivation(out_channels, out_channels),
    )


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model: images (N, C, H, W), uint8 or float in [0, 1], to logits (N, num_classes).

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes, channels = len(info.classes), info.channels
    network: nn.Module
    head: nn.Module
    if hparams.model == "cnn":
        network = head = SmallCNN(
            channels=channels,
            num_classes=num_classes,
            width=hparams.width,
            dropout=hparams.dropout,
        )
    else:
        channels = 3  # gray images are repeated
        network = build_classifier(
            hparams.model, info.image_size, pretrained=hparams.pretrained, initialize=initialize
        )
        head = replace_head(network, num_classes)
    return Normalized(
        network,
        mean=info.mean,
        std=info.std,
        channels=channels,
        frozen=network if hparams.freeze_backbone else None,
        head=head,
    )
