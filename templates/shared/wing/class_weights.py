"""Weights of classes of unequal size."""

from collections.abc import Sequence

import torch
from torch import Tensor


def make_class_weights(kind: str, counts: Sequence[int]) -> Tensor | None:
    """The weight of each class in the loss, with a mean of 1 over the training samples.

    Args:
        kind: "balanced" (as in scikit-learn: inversely proportional to the counts), or "equal",
            which is None.
        counts: training samples of each class.
    """
    if kind == "equal":
        return None
    known = torch.tensor(counts, dtype=torch.float32).clamp(min=1)
    return known.sum() / (len(known) * known)
