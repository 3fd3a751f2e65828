"""Step 3, define and load models: a small CNN, and torchvision's classification models by name."""

from typing import Any

import torch
from torch import Tensor, nn

from .hyperparameters import Hyperparameters
from .pretrained import replace_head, torchvision_model


class Classifier(nn.Module):
    """A network together with the normalisation of its images, so that no user can forget it."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        mean: list[float],
        std: list[float],
        channels: int,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self._frozen = frozen
        if frozen:
            backbone.requires_grad_(False)
            head.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8 or float in [0, 1], to logits (N, classes)."""
        if not images.is_floating_point():
            images = images / 255
        normalized = (images - self.mean) / self.std
        logits: Tensor = self.backbone(normalized.expand(-1, self.channels, -1, -1))
        return logits

    def train(self, mode: bool = True) -> "Classifier":
        """A frozen backbone stays in evaluation mode: its batch norms must not learn either."""
        super().train(mode)
        if self._frozen:
            self.backbone.eval()
        return self


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
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for data of which ``facts`` are known.

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes, channels = len(facts["classes"]), facts["channels"]
    backbone: nn.Module
    head: nn.Module
    if settings.model == "cnn":
        backbone = head = SmallCNN(
            channels=channels,
            num_classes=num_classes,
            width=settings.width,
            dropout=settings.dropout,
        )
    else:
        channels = 3  # torchvision's models see a grey image three times
        backbone = torchvision_model(settings, facts["image_size"], initialize)
        head = replace_head(backbone, num_classes)
    return Classifier(
        backbone,
        head,
        mean=facts["mean"],
        std=facts["std"],
        channels=channels,
        frozen=settings.freeze_backbone,
    )
