"""Torchvision's detectors by name: their weights and new heads, behind the interface of small."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from .errors import UserError
from .hyperparameters import Hyperparameters
from .utils import seed_torch
from .zoo import build_with_weights, newest_weights

Losses = dict[str, Tensor]
Detection = dict[str, Tensor]
Target = dict[str, Tensor]


class TorchvisionDetector(nn.Module):
    """A detector of torchvision, which resizes and normalises images itself.

    It is called like ``models.SmallDetector``.
    """

    def __init__(self, detector: Any, *, first_label: int, frozen: bool = False) -> None:
        super().__init__()
        detector.backbone = Backbone(detector.backbone)
        self.detector = detector
        self.first_label = first_label
        self._frozen = frozen
        if frozen:
            detector.backbone.requires_grad_(False)

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> Losses | list[Detection] | tuple[Losses, list[Detection]]:
        """See ``models.SmallDetector``."""
        images = [image if image.is_floating_point() else image / 255 for image in images]
        if targets is not None:
            targets = [
                {"boxes": target["boxes"], "labels": target["labels"] + self.first_label}
                for target in targets
            ]
        kind = images[0].device.type
        self.detector.backbone.autocast = torch.is_autocast_enabled(kind)
        with torch.autocast(kind, enabled=False):  # boxes need more digits than half precision has
            if self.training:
                losses: Losses = self.detector(images, targets)
                return losses
            # One by one: images in a batch are padded to the same size, which changes the result.
            detections = [self._detect(image) for image in images]
            if targets is None:
                return detections
            return self._losses(images, targets), detections

    @property
    def compiled_part(self) -> nn.Module:
        """What --compile compiles: around it shapes differ from image to image."""
        backbone: nn.Module = self.detector.backbone
        return backbone

    def _detect(self, image: Tensor) -> Detection:
        """What is in an image, with labels from 0."""
        found: Detection = self.detector([image])[0]
        return found | {"labels": found["labels"] - self.first_label}

    def _losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Losses:
        """The losses of each image (N,), as in training but for dropout and batch norms.

        Torchvision gives losses in training mode only. Faster R-CNN then draws at random the boxes
        that it looks at; here the same ones every time.
        """
        with as_in_training(self.detector), seeded(images[0].device):
            each = [self.detector([i], [t]) for i, t in zip(images, targets, strict=True)]
        return {name: torch.stack([losses[name] for losses in each]) for name in each[0]}

    def train(self, mode: bool = True) -> "TorchvisionDetector":
        """A frozen backbone stays in evaluation mode: its batch norms must not learn either."""
        super().train(mode)
        if self._frozen:
            self.detector.backbone.eval()
        return self


class Backbone(nn.Module):
    """A backbone that may compute in half precision, but gives its features in full."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.autocast = False

    def forward(self, images: Tensor) -> Any:
        """Features by level, float32."""
        with torch.autocast(images.device.type, enabled=self.autocast):
            features = self.body(images)
        if isinstance(features, Tensor):
            return features.float()
        return {level: feature.float() for level, feature in features.items()}


@contextmanager
def as_in_training(detector: nn.Module) -> Iterator[None]:
    """Training mode for all that decides what a detector returns, not for norms and dropout."""
    kept = nn.modules.batchnorm._BatchNorm | nn.Dropout
    changed = [m for m in detector.modules() if not m.training and not isinstance(m, kept)]
    for module in changed:
        module.training = True
    try:
        yield
    finally:
        for module in changed:
            module.training = False


@contextmanager
def seeded(device: torch.device) -> Iterator[None]:
    """The same random numbers every time; whatever comes after is as random as without."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        seed_torch(0, device)
        yield


def torchvision_detector(
    settings: Hyperparameters, num_classes: int, image_size: int | None, initialize: bool
) -> TorchvisionDetector:
    """The detector ``settings.model`` for ``num_classes`` classes."""
    from torchvision import models

    name = settings.model
    weights = check_name(name)
    # Without a background among the classes, labels begin with 0.
    first_label = 0 if name.startswith(("fcos_", "retinanet_")) else 1
    detector = models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=num_classes + first_label,
        **_options(settings, image_size),
    )
    if settings.pretrained:
        freeze_norms(detector.backbone)
        if initialize:
            take_weights(detector, build_with_weights(name, weights))
    return TorchvisionDetector(detector, first_label=first_label, frozen=settings.freeze_backbone)


def _options(settings: Hyperparameters, image_size: int | None) -> dict[str, Any]:
    """How a detector is to choose among its boxes, and to what size it resizes images."""
    box = "box_" if settings.model.startswith("fasterrcnn_") else ""
    options: dict[str, Any] = {
        f"{box}score_thresh": settings.score_threshold,
        f"{box}nms_thresh": settings.nms_iou,
        f"{box}detections_per_img": settings.max_detections,
    }
    if image_size is not None and not settings.model.startswith("ssd"):
        options |= {"min_size": image_size, "max_size": image_size}
    return options


def freeze_norms(module: nn.Module) -> None:
    """Let the batch norms stay as they were trained: detectors see few images at a time."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=0))
        else:
            freeze_norms(child)


def take_weights(detector: nn.Module, trained: nn.Module) -> None:
    """Copy all weights but those of the layer that tells the classes apart, which stays new.

    Layers near the image that torchvision does not fine-tune are not trained here either.
    """
    state = trained.state_dict()
    for name, module in trained.named_modules():
        if isinstance(detector.get_submodule(name), FrozenBatchNorm2d):
            state[f"{name}.running_var"] += module.eps  # frozen norms have no eps of their own
    heads = ("box_predictor.", "cls_logits.", "classification_head.module_list.")
    own = detector.state_dict()
    for name, tensor in own.items():
        if not any(head in name for head in heads):
            tensor.copy_(state[name])
    for name, parameter in trained.named_parameters():
        if not parameter.requires_grad and name in dict(detector.named_parameters()):
            detector.get_parameter(name).requires_grad_(False)


def check_name(name: str) -> Any:
    """The weights of torchvision's detector ``name``; None for small.

    Raises:
        UserError: there is no such detector.
    """
    from torchvision import models

    if name == "small":
        return None
    weights = newest_weights(name, models.detection, own=["small"])
    if name.startswith(("maskrcnn", "keypointrcnn")):
        raise UserError(
            f"{name} must learn from more than boxes. Choose a detector without it, for example "
            "--model fasterrcnn_resnet50_fpn."
        )
    return weights
