"""Where points come from: a sine, or a text file of your own with x and y in each line."""

import torch
from torch import Tensor

from .errors import UserError
from .hyperparameters import Hyperparameters
from .utils import read_text

NUM_POINTS = 600


def read_points(settings: Hyperparameters) -> Tensor:
    """(N, 2) float32: x and y.

    Raises:
        UserError: a line does not hold two numbers.
    """
    if settings.data is None:
        x = torch.linspace(-3, 3, NUM_POINTS)
        return torch.stack([x, x.sin()], dim=1)
    points = list[tuple[float, float]]()
    for number, line in enumerate(read_text(settings.data).splitlines(), start=1):
        try:
            first, second = map(float, line.split())
        except ValueError:
            raise UserError(f"{settings.data}, line {number}: write two numbers.") from None
        points.append((first, second))
    return torch.tensor(points)
