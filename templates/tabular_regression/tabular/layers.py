"""Layers for tables: linear effects, embeddings of categories, and an encoding of numbers."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """A weight for every feature, every category and each output, all zero at first.

    The weights are vectors, which have neither weight decay nor the ridge penalty. So these pull
    a network beside it to the linear model, not to zero. AdamW moves all weights equally fast, and
    a network has many for the same output: ``speed`` times as fast, the linear part is learned
    first, and the network only what is left.
    """

    first_codes: Tensor
    effects: nn.Parameter | None

    def __init__(
        self, num_features: int, num_categories: list[int], num_outputs: int, speed: float = 10.0
    ) -> None:
        super().__init__()
        self.num_outputs, self.speed = num_outputs, speed
        self.weights = nn.Parameter(torch.zeros(num_features * num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        # One row of effects for code 0 of the first column, its categories, the next column, ...
        sizes = [count + 1 for count in num_categories]
        effects = nn.Parameter(torch.zeros(sum(sizes) * num_outputs))
        self.register_parameter("effects", effects if sizes else None)
        first_codes = [sum(sizes[:column]) for column in range(len(sizes))]
        self.register_buffer("first_codes", torch.tensor(first_codes, dtype=torch.int64))

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, outputs)."""
        weights = self.weights.view(-1, self.num_outputs)
        output = torch.addmm(self.bias, features, weights, alpha=self.speed)
        if self.effects is None:
            return output
        effects = self.effects.view(-1, self.num_outputs)[categories + self.first_codes]
        return output + self.speed * effects.sum(1)


class PiecewiseLinear(nn.Module):
    """How far a number has come through each of its bins: 0 before a bin, 1 behind it.

    A linear layer on this is a line with a knee at every edge, so it learns steps and curves of a
    column quickly, and extreme numbers count no more than large ones. Edges are quantiles of the
    training rows. Gorishniy et al. 2022, https://arxiv.org/abs/2203.05556.
    """

    columns: Tensor
    start: Tensor
    width: Tensor

    def __init__(self, edges: list[list[float]]) -> None:
        super().__init__()
        # Columns with a single bin are already linear.
        bins = [
            (column, left, right - left)
            for column, known in enumerate(edges)
            if len(known) > 2
            for left, right in pairwise(known)
        ]
        columns, start, width = zip(*bins, strict=True) if bins else ((), (), ())
        self.size = len(bins)
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64))
        self.register_buffer("start", torch.tensor(start, dtype=torch.float32))
        self.register_buffer("width", torch.tensor(width, dtype=torch.float32))

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, F) to (N, bins of all columns), from -0.5 to 0.5."""
        inside = (numbers[:, self.columns] - self.start) / self.width
        return inside.clamp(0, 1) - 0.5


class Embeddings(nn.Module):
    """Numbers for each category, which are learned, behind the features."""

    def __init__(self, num_categories: list[int], sizes: list[int]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(map(make_embedding, num_categories, sizes))
        self.size = sum(sizes)

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, features + size)."""
        embedded = [table(categories[:, k]) for k, table in enumerate(self.tables)]
        return torch.cat([features, *embedded], dim=1)


def make_embedding(num_categories: int, size: int) -> nn.Embedding:
    """One-hot at first, or random where the size is smaller than the number of categories.

    Code 0 starts at zero, so a category that training rows do not have changes nothing.
    """
    embedding = nn.Embedding(num_categories + 1, size)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    nn.init.zeros_(embedding.weight[0])
    if size == num_categories:
        nn.init.eye_(embedding.weight[1:])
    return embedding


def make_blocks(depth: int, width: int, dropout: float) -> nn.ModuleList:
    """Residual blocks, without the addition: each (..., width) to (..., width)."""
    return nn.ModuleList(
        nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        for _ in range(depth)
    )
