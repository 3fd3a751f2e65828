"""Torchvision's classification models by name: their weights, preprocessing and new heads."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from .errors import UserError
from .hyperparameters import Hyperparameters
from .zoo import build_with_weights, newest_weights


def torchvision_model(settings: Hyperparameters, image_size: int, initialize: bool) -> Any:
    """A model of torchvision with its 1000 ImageNet classes."""
    from torchvision import models

    name = settings.model
    if settings.pretrained and initialize:
        model = _pretrained(name, image_size)
    else:
        model = models.get_model(name, weights=None, **_build_options(name, image_size))
    for side_branch in ("aux1", "aux2", "AuxLogits"):  # losses of 2014, of no use to this loop
        if hasattr(model, side_branch):
            setattr(model, side_branch, None)
            model.aux_logits = False
            model.transform_input = settings.pretrained
    return model


def _pretrained(name: str, image_size: int) -> Any:
    """A model with torchvision's newest weights.

    Raises:
        UserError: they cannot be had, or are not for images of this size.
    """
    weights = _weights(name)
    made_for = weights.transforms().crop_size[0]
    if name.startswith(("vit_", "maxvit_")) and image_size != made_for:
        raise UserError(
            f"The weights of {name} are for images of {made_for} pixels. "
            f"Type --image-size {made_for}, or leave it out."
        )
    return build_with_weights(name, weights)


def _build_options(name: str, image_size: int) -> dict[str, Any]:
    """What a few models must be told when they are built without weights."""
    if name.startswith("vit_"):
        return {"image_size": image_size}
    if name.startswith("maxvit_"):
        return {"input_size": (image_size, image_size)}
    return {"init_weights": True} if name in ("googlenet", "inception_v3") else {}


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Put a new layer in the place of the last one, the one with ImageNet's 1000 outputs."""
    for name, layer in reversed(list(model.named_modules())):
        new: nn.Module
        if isinstance(layer, nn.Linear) and layer.out_features == 1000:
            new = nn.Linear(layer.in_features, num_classes, bias=layer.bias is not None)
        elif isinstance(layer, nn.Conv2d) and layer.out_channels == 1000:  # SqueezeNet
            new = nn.Conv2d(layer.in_channels, num_classes, 1)
        else:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
        return new
    raise AssertionError("every classification model of torchvision ends in 1000 outputs")


@dataclass(frozen=True)
class Preprocessing:
    """How the images of a model were resized, cropped and normalised when it was trained."""

    resize_size: int
    crop_size: int
    mean: list[float] | None
    std: list[float] | None


def preprocessing(settings: Hyperparameters) -> Preprocessing | None:
    """The preprocessing of a model of torchvision; None for the cnn, which takes what comes.

    Mean and spread are given only with pretrained weights; otherwise the training images tell them.
    """
    if settings.model == "cnn":
        return None
    made_for = _weights(settings.model).transforms()
    statistics = (made_for.mean, made_for.std) if settings.pretrained else (None, None)
    return Preprocessing(made_for.resize_size[0], made_for.crop_size[0], *statistics)


def _weights(name: str) -> Any:
    from torchvision import models

    return newest_weights(name, models, own=["cnn"])
