"""Torchvision's detectors by name, with new heads, behind the interface of ``SmallDetector``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from ..engine.errors import UserError
from ..engine.seeding import seed_torch
from .pixels import require_pixels
from .pretrained import build_with_weights, newest_weights

Losses = dict[str, Tensor]
Detection = dict[str, Tensor]
"""boxes (k, 4), scores (k,) and labels (k,) of an image."""
Target = dict[str, Tensor]

NEW_LAYERS = ("box_predictor.", "cls_logits.", "classification_head.module_list.")
"""What tells the classes apart in the different detectors."""
KEEP_MODE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.Dropout,
)


def check_detector(name: str) -> Any:
    """The pretrained weights of the detector ``name``.

    A UserError if there is no such detector, or it needs more than boxes.
    """
    weights = newest_weights(name, models.detection, own=["small"])
    if name.startswith(("maskrcnn", "keypointrcnn")):
        raise UserError(
            f"{name} must learn from more than boxes. Choose another detector, for example "
            "--model fasterrcnn_resnet50_fpn."
        )
    return weights


def build_detector(
    name: str,
    *,
    num_classes: int,
    image_size: int | None,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
    pretrained: bool,
    freeze_backbone: bool,
    initialize: bool,
) -> "TorchvisionDetector":
    """The detector ``name`` for images of ``image_size``, None for the size it was made for.

    ``initialize=False`` loads no pretrained weights, for a model that a checkpoint will fill. A
    UserError if there is no such detector, or its weights can be neither found nor downloaded.
    """
    weights = check_detector(name)
    first_label = 0 if name.startswith(("fcos_", "retinanet_")) else 1  # others: 0 is background
    box = "box_" if name.startswith("fasterrcnn_") else ""
    options: dict[str, Any] = {
        f"{box}score_thresh": score_threshold,
        f"{box}nms_thresh": nms_iou,
        f"{box}detections_per_img": max_detections,
    }
    if image_size is not None and not name.startswith("ssd"):
        options |= {"min_size": image_size, "max_size": image_size}
    detector = models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=num_classes + first_label,
        **options,
    )
    if pretrained:
        freeze_batch_norms(detector.backbone)
        if initialize:
            copy_weights(detector, build_with_weights(name, weights))
    return TorchvisionDetector(detector, first_label=first_label, freeze_backbone=freeze_backbone)


class TorchvisionDetector(nn.Module):
    """A detector of torchvision, which resizes and normalizes images itself."""

    def __init__(self, detector: Any, *, first_label: int, freeze_backbone: bool) -> None:
        super().__init__()
        detector.backbone = Backbone(detector.backbone)
        self.detector = detector
        self.first_label = first_label
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            detector.backbone.requires_grad_(False)

    @property
    def compile_target(self) -> nn.Module:
        """The submodule that --compile compiles; the shapes around it change with each image."""
        backbone: nn.Module = self.detector.backbone
        return backbone

    def forward(
        self, images: list[Tensor], targets: list[Target] | None = None
    ) -> Losses | list[Detection] | tuple[Losses, list[Detection]]:
        """In training mode the losses, else detections, after losses if there are targets.

        Args:
            images: (3, H, W) each, uint8 or float in [0, 1].
            targets: boxes (k, 4) in pixels and labels (k,) of each image.
        """
        if not self.training:
            for image in images:
                require_pixels(image)
        images = [image if image.is_floating_point() else image / 255 for image in images]
        if targets is not None:
            targets = [
                {"boxes": target["boxes"], "labels": target["labels"] + self.first_label}
                for target in targets
            ]
        device = images[0].device.type
        self.detector.backbone.autocast = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False):  # boxes need more digits than half precision
            if self.training:
                losses: Losses = self.detector(images, targets)
                return losses
            # One by one: images in a batch are padded to the same size, which changes the result.
            detections = [self.detect(image) for image in images]
            return detections if targets is None else (self.losses(images, targets), detections)

    def detect(self, image: Tensor) -> Detection:
        """What is in an image, with labels from 0."""
        detection: Detection = self.detector([image])[0]
        return detection | {"labels": detection["labels"] - self.first_label}

    def losses(self, images: list[Tensor], targets: list[Target]) -> Losses:
        """The losses of each image (N,) in evaluation mode.

        Torchvision computes losses in training mode only, where Faster R-CNN takes a random sample
        of boxes. Here it is the same sample every time.
        """
        with training_mode(self.detector), fixed_seed(images[0].device):
            losses = [self.detector([i], [t]) for i, t in zip(images, targets, strict=True)]
        return {name: torch.stack([each[name] for each in losses]) for name in losses[0]}

    def train(self, mode: bool = True) -> "TorchvisionDetector":
        """A frozen backbone stays in evaluation mode, so that its batch norms do not learn."""
        super().train(mode)
        if self.freeze_backbone:
            self.detector.backbone.eval()
        return self


class Backbone(nn.Module):
    """A backbone that may compute in half precision but returns float32."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.autocast = False

    def forward(self, images: Tensor) -> Any:
        """The features, by level if there are several."""
        with torch.autocast(images.device.type, enabled=self.autocast):
            features = self.body(images)
        if isinstance(features, Tensor):
            return features.float()
        return {level: feature.float() for level, feature in features.items()}


@contextmanager
def training_mode(detector: nn.Module) -> Iterator[None]:
    """Training mode for everything but batch norms and dropout."""
    changed = [m for m in detector.modules() if not m.training and not isinstance(m, KEEP_MODE)]
    for module in changed:
        module.training = True
    try:
        yield
    finally:
        for module in changed:
            module.training = False


@contextmanager
def fixed_seed(device: torch.device) -> Iterator[None]:
    """The same random numbers every time; the random state afterwards is that of before."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        seed_torch(0, device)
        yield


def freeze_batch_norms(module: nn.Module) -> None:
    """Keep the pretrained statistics: a batch of a detector has too few images for better ones."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=0))
        else:
            freeze_batch_norms(child)


def copy_weights(detector: nn.Module, trained: nn.Module) -> None:
    """Copy all weights but those of the layers that tell the classes apart, which stay new.

    Layers near the image that torchvision does not fine-tune do not learn here either.
    """
    state = trained.state_dict()
    for name, module in trained.named_modules():
        if isinstance(detector.get_submodule(name), FrozenBatchNorm2d):
            state[f"{name}.running_var"] += module.eps  # these norms have no eps of their own
    for name, tensor in detector.state_dict().items():
        if not any(layer in name for layer in NEW_LAYERS):
            tensor.copy_(state[name])
    parameters = dict(detector.named_parameters())
    for name, parameter in trained.named_parameters():
        if not parameter.requires_grad and name in parameters:
            parameters[name].requires_grad_(False)
