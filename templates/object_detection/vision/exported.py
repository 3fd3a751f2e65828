"""The model as it is exported: images of any size to scores and boxes of all cells."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..engine.errors import UserError
from ..engine.exporting import ExportForm, Inputs, Outputs
from . import reference
from .resizing import image_size, resize_images, resized_size


class FromImages(nn.Module):
    """Resizes, pads and normalizes inside the graph. Boxes are chosen outside: see reference.py."""

    def __init__(self, model: Any, to_boxes: Callable[[Tensor], Tensor], image_side: int) -> None:
        super().__init__()
        self.model, self.to_boxes, self.image_side = model, to_boxes, image_side

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) uint8 to scores (N, classes, h, w), boxes (N, h, w, 4) in pixels."""
        model, lengths = self.model, image_size(images)
        resized = resized_size(lengths, None, self.image_side)
        pixels = resize_images(images, None, self.image_side) / 255
        margin = model.side - self.image_side
        pixels = nn.functional.pad(pixels, (0, margin, 0, margin))
        cells = torch.arange(model.side, device=images.device)
        is_row, is_column = (cells < length for length in resized)
        inside = is_row.unsqueeze(1) & is_column
        logits, distances = model.network((pixels - model.mean) / model.std * inside)
        stride = model.side // logits.shape[2]
        scores = logits.sigmoid() * inside[::stride, ::stride]
        scale = (lengths / resized).flip(0).repeat(2)
        return scores, self.to_boxes(distances) * scale


def detector_form(
    model: nn.Module,
    to_boxes: Callable[[Tensor], Tensor],
    image_side: int | None,
    options: Mapping[str, Any],
) -> ExportForm:
    """What export needs of a ``SmallDetector``; ``options`` are those of ``reference.detect``.

    Raises:
        UserError: it is one of torchvision's.
    """
    if image_side is None or not hasattr(model, "network"):
        # Tried with torch 2.14.1, torchvision 0.29.1, one image of a fixed size: torch.export stops
        # with GuardOnDataDependentSymNode in torchvision.ops.batched_nms, at `boxes.numel() == 0`.
        raise UserError(
            "Only the model small can be exported: the shapes inside torchvision's detectors "
            "depend on what is in the image."
        )

    def to_result(outputs: list[Outputs], images: list[Tensor], targets: Any = None) -> Any:
        detections = []
        for found, image in zip(outputs, images, strict=True):
            arrays = {name: value.cpu().numpy() for name, value in found.items()}
            detections += reference.detect(arrays, image.shape[1], image.shape[2], options)
        device = images[0].device
        tensors = [
            {name: torch.from_numpy(array).to(device) for name, array in each.items()}
            for each in detections
        ]
        no_loss = {"none": torch.zeros(len(images), device=device)}
        return tensors if targets is None else (no_loss, tensors)

    def to_calls(images: list[Tensor], targets: Any = None) -> list[Inputs]:
        return [{"images": image.unsqueeze(0)} for image in images]  # of different sizes

    return ExportForm(
        task="object-detection",
        module=FromImages(model, to_boxes, image_side),
        inputs={"images": torch.zeros(2, 3, image_side, image_side - 1, dtype=torch.uint8)},
        dynamic={"images": {0: Dim("batch"), 2: Dim("height"), 3: Dim("width")}},
        outputs=["scores", "boxes"],
        reference=reference,
        to_calls=to_calls,
        to_result=to_result,
    )
