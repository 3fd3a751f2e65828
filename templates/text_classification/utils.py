"""Step 3-1, utility functions that belong to no single step."""

import math

import torch
from torch import Tensor


def mean_and_max(features: Tensor, is_token: Tensor) -> Tensor:
    """Mean and maximum over the tokens of each text: (N, L, F) and (N, L) bool to (N, 2F)."""
    inside = is_token.unsqueeze(2)
    mean = features.masked_fill(~inside, 0).sum(1) / inside.sum(1)
    largest = features.masked_fill(~inside, -math.inf).amax(1)
    return torch.cat([mean, largest], dim=1)


def positional_encoding(num_positions: int, width: int) -> Tensor:
    """(num_positions, width): sines and cosines of the position, from fast to slow."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(num_positions).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
