"""The model as it is exported: images of any size to logits of a square of fixed size."""

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..engine.exporting import ExportForm
from . import reference
from .resizing import resize_images


class FromImages(nn.Module):
    """Resizes, pads and normalizes inside the graph."""

    def __init__(self, model: nn.Module, side: int) -> None:
        super().__init__()
        self.model, self.side = model, side

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) uint8 to logits (N, classes, side, side)."""
        logits: Tensor = self.model(resize_images(images, None, self.side) / 255)["out"]
        return logits


def segmenter_form(model: nn.Module, side: int) -> ExportForm:
    """What export needs of a model that finds a class for each pixel."""
    return ExportForm(
        task="image-segmentation",
        module=FromImages(model, side),
        inputs={"images": torch.zeros(2, 3, side, side + 1, dtype=torch.uint8)},
        dynamic={"images": {0: Dim("batch"), 2: Dim("height"), 3: Dim("width")}},
        outputs=["logits"],
        reference=reference,
        to_calls=lambda images: [{"images": images}],
        to_result=lambda outputs, images: {"out": outputs[0]["logits"]},
    )
