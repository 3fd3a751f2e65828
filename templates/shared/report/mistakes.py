"""The most confident mistakes of a classifier."""

import numpy as np
from matplotlib.figure import Figure


def confident_mistakes(target: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Where predictions are wrong, most confident first: target (N,), probabilities (N, C)."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != target)
    confidence = probabilities.max(axis=1)[wrong]
    return wrong[np.argsort(-confidence, kind="stable")][:most]


def draw_no_mistakes(num_samples: int, noun: str) -> Figure:
    """A sentence in place of the figure."""
    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, f"No mistakes on {num_samples} {noun}.", ha="center", va="center")
    return figure
