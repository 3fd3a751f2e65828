"""Step 3, define and load models: a small U-Net, and torchvision's segmentation models by name."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import Conv2dNormActivation

from .engine.exporting import ExportForm
from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .vision.exported import segmenter_form
from .vision.normalize import Normalized
from .vision.segmenters import build_segmenter

WIDTH_FACTORS = (1, 2, 4, 4)  # channels of each level; a level is half as large as the one above


class UNet(nn.Module):
    """A U-Net that adds the features of the way down to those of the way up.

    Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597), with the sums of Chaurasia and
    Culurciello 2017 (https://arxiv.org/abs/1707.03718). To save time, the first level has half the
    size of the image. Images of any size from 16 × 16 pixels; 0.5 million parameters at width 24.
    """

    def __init__(self, *, num_classes: int, width: int) -> None:
        super().__init__()
        channels = [factor * width for factor in WIDTH_FACTORS]
        self.stem = nn.Sequential(
            Conv2dNormActivation(3, width, stride=2), Conv2dNormActivation(width, width)
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool2d(2),
                Conv2dNormActivation(above, below),
                Conv2dNormActivation(below, below),
            )
            for above, below in pairwise(channels)
        )
        self.reduce = nn.ModuleList(
            nn.Conv2d(below, above, 1) for below, above in pairwise(reversed(channels))
        )
        self.up = nn.ModuleList(
            Conv2dNormActivation(above, above) for above in reversed(channels[:-1])
        )
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, 3, H, W) to logits "out" (N, classes, H, W), as torchvision's models do."""
        features = self.stem(images)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for reduce, up in zip(self.reduce, self.up, strict=True):
            skip = skips.pop()
            features = up(interpolate(reduce(features), size=skip.shape[2:]) + skip)
        return {"out": interpolate(self.head(features), size=images.shape[2:], mode="bilinear")}


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model: images (N, 3, H, W) to a dict of logits (N, classes, H, W).

    ``initialize=False`` loads no pretrained weights, for a model that a checkpoint will fill.
    """
    num_classes = len(info.classes)
    network: nn.Module
    if hparams.model == "unet":
        network = UNet(num_classes=num_classes, width=hparams.width)
    else:
        pretrained = hparams.pretrained and initialize
        network = build_segmenter(hparams.model, num_classes, pretrained=pretrained)
    frozen = network.get_submodule("backbone") if hparams.freeze_backbone else None
    return Normalized(network, mean=info.mean, std=info.std, frozen=frozen)


def make_export(model: nn.Module, hparams: Hyperparameters, info: DataInfo) -> ExportForm:
    """What export needs to know of the model."""
    return segmenter_form(model, info.image_size)
