"""Random numbers as a function of where a run is: (seed, epoch, sample) or (seed, step).

Nothing depends on what happened before, so a resumed run draws the same numbers.
"""

import os
from typing import Any

import numpy as np
import torch

MASK = 0xFFFFFFFFFFFFFFFF


def mix_seed(*numbers: int) -> int:
    """One seed from several numbers, such as (seed, epoch, index); neighbors give unrelated seeds.

    It chains the finalizer of SplitMix64 (Steele, Lea and Flood 2014,
    https://doi.org/10.1145/2660193.2660195).
    """
    state = 0
    for number in numbers:
        state = _mix(state, number)
    return state & 0x7FFFFFFFFFFFFFFF


def mix_seeds(*numbers: int, last: np.ndarray) -> np.ndarray:
    """``mix_seed(*numbers, n)`` for every n in ``last`` (uint64), at once."""
    state: Any = 0
    for number in (*numbers, last):
        state = _mix(state, number)
    seeds: np.ndarray = state & 0x7FFFFFFFFFFFFFFF
    return seeds


def uniform(seeds: np.ndarray, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1) from each of the seeds (N,): (N, count) float64."""
    bits = _mix(seeds.astype(np.uint64)[:, None], np.arange(count, dtype=np.uint64))
    numbers: np.ndarray = (bits >> 11) * 2.0**-53
    return numbers


def _mix(state: Any, number: Any) -> Any:
    """64-bit numbers, or arrays of them."""
    state = (state + number + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def seed_torch(seed: int, device: torch.device | None = None) -> None:
    """Seed the generators of the CPU and of ``device``.

    ``torch.manual_seed`` does the same in about 90 µs, because it visits every kind of device; this
    takes about 1 µs.
    """
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device is not None and device.type in ("mps", "xpu"):
        torch.get_device_module(device).manual_seed(seed)


def make_deterministic() -> None:
    """Let torch refuse every operation that may give other bits the next time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
