"""Torchvision's classification models by name: their weights, preprocessing and new heads."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision import models
from torchvision.transforms import v2

from ..engine.errors import UserError
from .pretrained import build_with_weights, newest_weights

OWN_MODELS = ("cnn",)  # not torchvision's; messages name them too


@dataclass(frozen=True)
class Preprocessing:
    """How images were resized, cropped and normalized when a model was trained."""

    resize_size: int
    crop_size: int
    statistics: dict[str, list[float]]
    """Mean and std of each channel."""


def preprocessing(name: str) -> Preprocessing:
    """The preprocessing of torchvision's model ``name``; a UserError if there is none."""
    own = newest_weights(name, models, OWN_MODELS).transforms()
    statistics = {"mean": own.mean, "std": own.std}
    return Preprocessing(own.resize_size[0], own.crop_size[0], statistics)


def resize(size: int, original: Preprocessing | None = None) -> v2.Transform:
    """Resize and cut out the middle square, as ``original`` says for a model of torchvision."""
    shorter = round(size * original.resize_size / original.crop_size) if original else size
    return v2.Compose([v2.Resize(shorter, antialias=True), v2.CenterCrop(size)])


def middle_share(name: str) -> float:
    """The share of the shorter side that torchvision's model ``name`` sees of an image."""
    original = preprocessing(name)
    return original.crop_size / original.resize_size


def build_classifier(
    name: str, image_size: int, *, pretrained: bool, initialize: bool = True
) -> Any:
    """Torchvision's model ``name`` with its 1000 ImageNet classes, for images of this size.

    ``initialize=False`` leaves out the pretrained weights, for a model that a checkpoint will fill.
    """
    family = name.partition("_")[0]
    if pretrained and initialize:
        required = preprocessing(name).crop_size
        if family in ("vit", "maxvit") and image_size != required:
            raise UserError(
                f"The weights of {name} are for images of {required} pixels. "
                f"Type --image-size {required}, or leave it out."
            )
        model = build_with_weights(name, newest_weights(name, models, OWN_MODELS))
    else:
        options: dict[str, dict[str, Any]] = {
            "vit": {"image_size": image_size},
            "maxvit": {"input_size": (image_size, image_size)},
            "googlenet": {"init_weights": True},
            "inception": {"init_weights": True},
        }
        model = models.get_model(name, weights=None, **options.get(family, {}))
    for branch in ("aux1", "aux2", "AuxLogits"):  # further losses of GoogLeNet and Inception
        if hasattr(model, branch):
            setattr(model, branch, None)
            model.aux_logits, model.transform_input = False, pretrained
    return model


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Replace the last layer, which has ImageNet's 1000 outputs. Returns the new one."""
    for name, layer in reversed(list(model.named_modules())):
        head: nn.Module
        if isinstance(layer, nn.Linear) and layer.out_features == 1000:
            head = nn.Linear(layer.in_features, num_classes, bias=layer.bias is not None)
        elif isinstance(layer, nn.Conv2d) and layer.out_channels == 1000:  # SqueezeNet
            head = nn.Conv2d(layer.in_channels, num_classes, 1)
        else:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, head)
        return head
    raise AssertionError("every classification model of torchvision ends in 1000 outputs")
