"""Torchvision's segmentation models by name, with new last layers."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision import models

from .pretrained import build_with_weights, newest_weights

NUM_COCO_CLASSES = 21


@dataclass(frozen=True)
class Preprocessing:
    """How the images were resized and normalized when torchvision trained a model."""

    image_size: int
    statistics: dict[str, list[float]]
    """Mean and std of each channel."""


def preprocessing(name: str) -> Preprocessing:
    """The preprocessing of the model ``name``; a UserError if there is no such model."""
    transforms = _weights(name).transforms()
    statistics = {"mean": transforms.mean, "std": transforms.std}
    return Preprocessing(transforms.resize_size[0], statistics)


def build_segmenter(name: str, num_classes: int, *, pretrained: bool) -> nn.Module:
    """The model ``name``, with pretrained weights in all layers but the last.

    It maps images (N, 3, H, W) to a dict of logits (N, classes, H, W): "out", and "aux" from the
    auxiliary classifier, if the model has one. A UserError if there is no such model, or its
    weights can be neither found nor downloaded.
    """
    options: dict[str, Any] = {}
    if name.startswith(("fcn_", "deeplabv3_")):
        options["aux_loss"] = True
    model: nn.Module
    if not pretrained:
        model = models.get_model(
            name, weights=None, weights_backbone=None, num_classes=num_classes, **options
        )
        return model
    model = build_with_weights(name, _weights(name), **options)
    _replace_last_layers(model, num_classes)
    return model


def _replace_last_layers(model: nn.Module, num_classes: int) -> None:
    """Put new layers in place of those whose outputs are the classes of COCO."""
    for name, layer in list(model.named_modules()):
        is_last = isinstance(layer, nn.Conv2d) and layer.out_channels == NUM_COCO_CLASSES
        if is_last and name.startswith(("classifier.", "aux_classifier.")):
            model.set_submodule(name, nn.Conv2d(layer.in_channels, num_classes, 1))


def _weights(name: str) -> Any:
    return newest_weights(name, models.segmentation, own=["unet"])
