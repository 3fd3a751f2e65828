"""Torchvision's segmentation models by name: their weights, preprocessing and new heads."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from .hyperparameters import Hyperparameters
from .zoo import build_with_weights, newest_weights


def torchvision_model(settings: Hyperparameters, num_classes: int, initialize: bool) -> Any:
    """A model of torchvision with new last layers for ``num_classes`` classes.

    Called with images (N, 3, H, W) it returns a dict of logits (N, classes, H, W): "out", and
    "aux" from its side branch, if it has one.

    Raises:
        UserError: there is no such model, or its weights cannot be had.
    """
    from torchvision import models

    name = settings.model
    weights = _weights(name)
    side_branch = {"aux_loss": True} if name.startswith(("fcn_", "deeplabv3_")) else {}
    if settings.pretrained and initialize:
        model = build_with_weights(name, weights, **side_branch)
        for part in ("classifier", "aux_classifier"):
            replace_last(getattr(model, part, None), num_classes)
        return model
    return models.get_model(
        name, weights=None, weights_backbone=None, num_classes=num_classes, **side_branch
    )


def replace_last(part: nn.Module | None, num_classes: int) -> None:
    """Put new layers in the place of those with the 21 outputs of the weights' own classes."""
    layers = dict(part.named_modules()) if part is not None else {}
    for name, layer in layers.items():
        if part is not None and isinstance(layer, nn.Conv2d) and layer.out_channels == 21:
            parent, _, attribute = name.rpartition(".")
            new = nn.Conv2d(layer.in_channels, num_classes, 1)
            setattr(part.get_submodule(parent), attribute, new)


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a model were resized and normalised when it was trained."""

    size: int
    mean: list[float] | None
    std: list[float] | None


def preprocessing(settings: Hyperparameters) -> Preprocessing | None:
    """The preprocessing of a model of torchvision; None for the unet, which takes what comes.

    Mean and spread are given only with pretrained weights; otherwise the training images tell them.
    """
    if settings.model == "unet":
        return None
    made_for = _weights(settings.model).transforms()
    statistics = (made_for.mean, made_for.std) if settings.pretrained else (None, None)
    return Preprocessing(made_for.resize_size[0], *statistics)


def _weights(name: str) -> Any:
    from torchvision.models import segmentation

    return newest_weights(name, segmentation, own=["unet"])
