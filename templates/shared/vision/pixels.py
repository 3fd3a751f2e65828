"""What a model for images takes."""

import torch
from torch import Tensor

from ..engine.errors import UserError


def require_pixels(images: Tensor) -> None:
    """Refuse floats far outside of [0, 1], such as pixels up to 255: the answer would be wrong.

    Raises:
        UserError: the message says what a model takes.
    """
    if not images.is_floating_point() or torch.compiler.is_compiling() or images.numel() == 0:
        return
    low, high = images.min().item(), images.max().item()
    if not (low >= -0.5 and high <= 1.5):  # resizing may overshoot a little
        raise UserError(
            f"The pixels are from {low:.3g} to {high:.3g}. The model takes floats from 0 to 1, or "
            "uint8 from 0 to 255, and normalizes them itself."
        )
