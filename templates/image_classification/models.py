"""Step 3, define and load models: a small CNN, and torchvision's classification models by name."""

import difflib
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError
from .hyperparameters import Hyperparameters


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
        backbone = _torchvision_model(settings, facts["image_size"], initialize)
        head = _replace_head(backbone, num_classes)
    return Classifier(
        backbone,
        head,
        mean=facts["mean"],
        std=facts["std"],
        channels=channels,
        frozen=settings.freeze_backbone,
    )


def _torchvision_model(settings: Hyperparameters, image_size: int, initialize: bool) -> nn.Module:
    """A model of torchvision with its 1000 ImageNet classes."""
    from torchvision import models

    name, weights = settings.model, _weights(settings.model)
    pretrained = settings.pretrained and initialize
    options = _size_options(settings, image_size, weights.transforms().crop_size[0])
    if name in ("googlenet", "inception_v3") and not pretrained:
        options["init_weights"] = initialize
    try:
        model: nn.Module = models.get_model(
            name, weights=weights if pretrained else None, **options
        )
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"The weights of {name} are not on this machine and cannot be downloaded ({error}). "
            f"Put {weights.url} into {torch.hub.get_dir()}/checkpoints, or leave out --pretrained."
        ) from None
    for side_branch in ("aux1", "aux2", "AuxLogits"):  # losses of 2014, of no use to this loop
        if hasattr(model, side_branch):
            setattr(model, side_branch, None)
            model.aux_logits = False  # type: ignore[assignment]
            model.transform_input = settings.pretrained  # type: ignore[assignment]
    return model


def _size_options(settings: Hyperparameters, image_size: int, made_for: int) -> dict[str, Any]:
    """What the two families that are built for one image size must be told."""
    family = settings.model.partition("_")[0]
    if image_size == made_for or family not in ("vit", "maxvit"):
        return {}
    if settings.pretrained:
        raise UserError(
            f"The weights of {settings.model} are for images of {made_for} pixels. "
            f"Type --image-size {made_for}, or leave it out."
        )
    return {"image_size": image_size} if family == "vit" else {"input_size": (image_size,) * 2}


def _replace_head(model: nn.Module, num_classes: int) -> nn.Module:
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
    """The newest weights of a classification model of torchvision.

    Raises:
        UserError: torchvision has no such model.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        close = difflib.get_close_matches(name, ["cnn", *known], n=3)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise UserError(
            f"There is no model {name!r}.{hint} Choose cnn, or one of torchvision's: "
            f"{', '.join(known)}."
        )
    return models.get_model_weights(name).DEFAULT
