"""Step 3-1, utility functions that belong to no single step."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .text.vocabulary import PADDING, UNKNOWN

FACTOR, PRIME = 1_000_003, 2**31 - 1  # of hashes; their product fits into 64 bits


def drop_tokens(tokens: Tensor, share: float) -> Tensor:
    """Replace a share of the tokens by UNKNOWN at random; (N, L) to (N, L)."""
    dropped = torch.rand(tokens.shape, device=tokens.device) < share
    return torch.where(dropped & (tokens != PADDING), UNKNOWN, tokens)


def hash_ngrams(tokens: Tensor, longest: int, num_buckets: int) -> Tensor:
    """Numbers of all sequences of 1 to ``longest`` tokens: (N, L) to (N, longest * L).

    The same sequence has the same number everywhere, from 1 to num_buckets - 1; rarely another one
    has it, too. A sequence that would reach into the padding is PADDING.
    """
    padded = F.pad(tokens, (0, longest - 1), value=PADDING)
    hashed, found = torch.zeros_like(tokens), []
    for n in range(longest):
        last = padded[:, n : n + tokens.shape[1]]
        hashed = (hashed * FACTOR + last) % PRIME
        found.append(torch.where(last == PADDING, PADDING, 1 + hashed % (num_buckets - 1)))
    return torch.cat(found, dim=1)


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
