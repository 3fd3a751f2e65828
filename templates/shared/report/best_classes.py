"""The most probable classes of a sample, as columns of a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def best_classes(logits: np.ndarray, names: Sequence[str], top: int) -> list[dict[str, Any]]:
    """For each sample its ``top`` classes: class and probability, class_2 and probability_2, ...

    Args:
        logits: (N, classes).
        names: of the classes.
        top: how many; at most all.
    """
    probabilities = torch.from_numpy(logits).softmax(dim=1)
    found = probabilities.topk(min(top, len(names)), dim=1)
    rows = []
    for numbers, shares in zip(found.indices.tolist(), found.values.tolist(), strict=True):
        row: dict[str, Any] = {}
        for place, (number, share) in enumerate(zip(numbers, shares, strict=True), start=1):
            end = f"_{place}" if place > 1 else ""
            row |= {f"class{end}": names[number], f"probability{end}": share}
        rows.append(row)
    return rows
