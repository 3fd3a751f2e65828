"""Step 3, define and load models: a small U-Net, and torchvision's segmentation models by name."""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import Conv2dNormActivation

from .hyperparameters import Hyperparameters
from .normalized import Normalized
from .pretrained import torchvision_model

DEPTHS = (1, 2, 4, 4)  # of the levels, in widths; each has images half as large as the one above


class UNet(nn.Module):
    """Down through levels that are half as large and mostly deeper, and up again.

    On the way up each level's features from the way down are added (Ronneberger et al. 2015,
    https://arxiv.org/abs/1505.04597, and as sums Chaurasia and Culurciello 2017,
    https://arxiv.org/abs/1707.03718). Already the first level halves the image: most of the time
    would otherwise go into its full size. It takes images of any size from 16 × 16 pixels; with
    ``width`` 24 it has 0.5 million parameters.
    """

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__()
        channels = [depth * width for depth in DEPTHS]
        self.top = nn.Sequential(
            Conv2dNormActivation(3, width, stride=2), Conv2dNormActivation(width, width)
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), block(above, below))
            for above, below in pairwise(channels)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(below, above, 1) for above, below in reversed(list(pairwise(channels)))
        )
        self.up = nn.ModuleList(
            Conv2dNormActivation(above, above) for above in reversed(channels[:-1])
        )
        self.last = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, 3, H, W) to logits "out" (N, classes, H, W), as torchvision's models do."""
        features = self.top(images)
        levels = []
        for down in self.down:
            levels.append(features)
            features = down(features)
        for narrow, up in zip(self.narrow, self.up, strict=True):
            level = levels.pop()
            features = up(interpolate(narrow(features), size=level.shape[2:]) + level)
        logits = interpolate(self.last(features), size=images.shape[2:], mode="bilinear")
        return {"out": logits}


def block(inputs: int, outputs: int) -> nn.Sequential:
    """(N, inputs, H, W) to (N, outputs, H, W)."""
    return nn.Sequential(
        Conv2dNormActivation(inputs, outputs), Conv2dNormActivation(outputs, outputs)
    )


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for data of which ``facts`` are known: images (N, 3, H, W) to a dict of logits.

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes = len(facts["classes"])
    network: nn.Module
    if settings.model == "unet":
        network = UNet(num_classes=num_classes, width=settings.width)
    else:
        network = torchvision_model(settings, num_classes, initialize)
    frozen = network.get_submodule("backbone") if settings.freeze_backbone else None
    return Normalized(network, mean=facts["mean"], std=facts["std"], frozen=frozen)
