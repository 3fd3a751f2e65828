"""Step 2, the points as the model gets them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .hyperparameters import Hyperparameters
from .loaders import Data, split
from .sources import read_points


@dataclass(frozen=True)
class Points:
    """A sample is (x: (1,), y: ()), float32; a little noise is added to x in training."""

    points: Tensor
    numbers: list[int]
    noise: float = 0.0

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.points[index]
        return x + self.noise * torch.randn(1), y

    def describe(self, index: int) -> str:
        """The number of the point."""
        return f"point {self.numbers[index]}"


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test points as ``settings`` ask for them."""
    points = read_points(settings)
    parts = split(len(points), settings)
    train, val, test = (
        Points(points[numbers], numbers, 0.01 if part == "train" else 0.0)
        for part, numbers in parts.items()
    )
    return Data(train, val, test, facts={"num_points": len(points)}, in_memory=True)
