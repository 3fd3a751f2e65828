"""Intervals of predicted numbers, from how far those of the validation set were off.

Split conformal prediction (Papadopoulos et al. 2002; Lei et al. 2018,
https://arxiv.org/abs/1604.04173): whatever the model and the numbers are, 90 % of new samples lie
inside, if they are like those of the validation set.
"""

import math
from collections.abc import Mapping

import numpy as np

LEVEL = 0.9


def find_margin(outputs: Mapping[str, np.ndarray]) -> float | None:
    """How far an interval reaches from a prediction, from what ``evaluate`` gave for validation.

    None where numbers are not what is predicted, and for fewer than nine samples.
    """
    if "prediction" not in outputs:
        return None
    errors = np.sort(np.abs(outputs["prediction"] - outputs["target"]))
    rank = math.ceil(LEVEL * (len(errors) + 1))  # one more, for the new sample
    return float(errors[rank - 1]) if rank <= len(errors) else None


def with_bounds(outputs: Mapping[str, np.ndarray], margin: float | None) -> dict[str, np.ndarray]:
    """Outputs with "low" and "high" (N,) beside "prediction", if there is a margin."""
    if margin is None:
        return dict(outputs)
    prediction = outputs["prediction"]
    return {**outputs, "low": prediction - margin, "high": prediction + margin}


def judge_margin(outputs: Mapping[str, np.ndarray], margin: float) -> dict[str, float]:
    """How many samples of a set lie inside."""
    errors = np.abs(outputs["prediction"] - outputs["target"])
    return {"level": LEVEL, "margin": margin, "inside": float((errors <= margin).mean())}
