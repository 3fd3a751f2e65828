"""Step 3, define models."""

from typing import Any

from torch import nn

from .hyperparameters import Hyperparameters


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """A network from (N, 1) to (N, 1)."""
    return nn.Sequential(
        nn.Linear(1, settings.width),
        nn.Tanh(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.width, 1),
    )
