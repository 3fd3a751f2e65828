"""The model as it is exported: images of any size to logits."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..engine.exporting import ExportForm
from . import reference
from .resizing import resize_images


class FromImages(nn.Module):
    """Resizes and normalizes inside the graph."""

    def __init__(self, model: nn.Module, side: int) -> None:
        super().__init__()
        self.model, self.side = model, side

    def forward(self, images: Tensor) -> Any:
        """Images (N, C, H, W) uint8 to logits (N, classes)."""
        return self.model(resize_images(images, self.side, self.side) / 255)


def as_bytes(images: Tensor) -> Tensor:
    """Images as uint8; those that were mixed for training have values from 0 to 1."""
    return (images * 255).round().to(torch.uint8) if images.is_floating_point() else images


def classifier_form(model: nn.Module, channels: int, side: int, middle: float) -> ExportForm:
    """What export needs of a classifier of images; ``middle`` is the share that it sees of them."""
    sizes = {0: Dim("batch"), 2: Dim("height"), 3: Dim("width")}
    return ExportForm(
        task="image-classification",
        module=FromImages(model, side),
        inputs={"images": torch.zeros(2, channels, side, side + 1, dtype=torch.uint8)},
        dynamic={"images": sizes},
        outputs=["logits"],
        reference=reference,
        to_calls=lambda images: [{"images": as_bytes(images)}],
        to_result=lambda outputs, images: outputs[0]["logits"],
        metadata={"middle": middle},
    )
