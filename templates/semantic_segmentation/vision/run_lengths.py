"""Masks as run lengths, which is how COCO writes masks into JSON."""

from collections.abc import Sequence

import numpy as np


def to_runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of False, True, False, ... down the columns of a mask (H, W).

    COCO's uncompressed RLE: the first run may have length 0.
    """
    pixels = mask.flatten(order="F").astype(bool)
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate([[0], ends, [pixels.size]])).tolist()
    return [0, *runs] if pixels[0] else runs


def from_runs(runs: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The mask (H, W) bool with these runs."""
    values = np.arange(len(runs)) % 2 == 1
    mask: np.ndarray = np.repeat(values, runs).reshape(tuple(size), order="F")
    return mask
