"""Normalization inside the model, so that training, evaluation and export cannot disagree."""

from typing import Any

import torch
from torch import Tensor, nn

from .pixels import require_pixels


class Normalized(nn.Module):
    """A network for images (N, channels, H, W), with the normalization of its input."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: list[float],
        std: list[float],
        channels: int = 3,
        frozen: nn.Module | None = None,
        head: nn.Module | None = None,
    ) -> None:
        """Mean and std are those of each channel, for pixels in [0, 1].

        ``frozen`` is the part of the network that does not learn, except for ``head`` inside it.
        """
        super().__init__()
        self.network, self.channels = network, channels
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self._frozen = [frozen] if frozen is not None else []  # a list: not registered twice
        for module in self._frozen:
            module.requires_grad_(False)
        if head is not None:
            head.requires_grad_(True)

    def forward(self, images: Tensor) -> Any:
        """Images (N, C, H, W), uint8 or float in [0, 1]; one channel is repeated if need be."""
        if not self.training:  # looking at them would delay each step on a GPU
            require_pixels(images)
        white = 1 if images.is_floating_point() else 255
        # In place: on a CPU, allocating another tensor takes longer than filling it.
        normalized = images.to(self.mean.dtype, copy=True)
        normalized.sub_(white * self.mean).div_(white * self.std)
        return self.network(normalized.expand(-1, self.channels, -1, -1))

    def train(self, mode: bool = True) -> "Normalized":
        """Frozen parts stay in evaluation mode, so that their batch norms do not learn either."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self
