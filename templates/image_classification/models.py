"""Step 3, define and load models: a small CNN, and torchvision's classification models by name."""

import math

from torch import nn
from torchvision.ops import Conv2dNormActivation

from .engine.exporting import ExportForm
from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .vision.classifiers import build_classifier, middle_share, replace_head
from .vision.exported import classifier_form
from .vision.normalize import Normalized


class SmallCNN(nn.Sequential):
    """Blocks of two convolutions, each half as high and wide and twice as deep, then an average.

    Three blocks for images of about 32 pixels, with 288,000 parameters at ``width`` 32. Larger
    images first pass narrower blocks until they are as small, so they take only twice the time.
    """

    def __init__(
        self, *, channels: int, num_classes: int, image_size: int, width: int, dropout: float
    ) -> None:
        num_before = max(0, round(math.log2(image_size / 32)))
        narrow = [max(4, width // 2**n) for n in range(num_before, 0, -1)]
        layers: list[nn.Module] = []
        for out_channels in [*narrow, width, 2 * width, 4 * width]:
            layers += [conv_block(channels, out_channels), nn.MaxPool2d(2)]
            channels = out_channels
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        super().__init__(
            *layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes)
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
            image_size=info.image_size,
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


def make_export(model: nn.Module, hparams: Hyperparameters, info: DataInfo) -> ExportForm:
    """What export needs to know of the model."""
    share = 1.0 if hparams.model == "cnn" else middle_share(hparams.model)
    return classifier_form(model, info.channels, info.image_size, share)
