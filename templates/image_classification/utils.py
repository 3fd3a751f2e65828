"""Step 3-1, utility functions: names of classes."""

import torch
from torch import Tensor


def describe_label(label: int | Tensor, classes: list[str]) -> list[str]:
    """The class of an image; of a mixed one, its two largest classes with their shares.

    Args:
        label: a class number, or probabilities (num_classes,).
        classes: the names of all classes.
    """
    label = torch.as_tensor(label)
    if label.ndim == 0:
        return [classes[int(label)]]
    shares, numbers = (values.tolist() for values in label.topk(min(2, len(label))))
    pairs = zip(shares, numbers, strict=True)
    return [f"{share:.0%} {classes[number]}" for share, number in pairs if share >= 0.005]
