"""Probabilities of classes that can be believed: temperature, calibration error, thresholds."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import UserError
from .files import read_text, write_json

NUM_BINS = 10


class Calibrated(nn.Module):
    """A classifier whose logits are divided by a temperature, which changes no answer.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, *inputs: Any) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.model(*inputs)
        return logits / self.temperature


def describe_temperature(model: nn.Module) -> str:
    """What its logits were divided by, for the card of an exported model; mostly nothing."""
    if not isinstance(model, Calibrated):
        return ""
    return (
        f"\n\nThe graph divides its logits by the temperature {model.temperature:.4g}, which was "
        "fitted to the validation\nset: probabilities are closer to how often they are right."
    )


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """The temperature with the lowest cross-entropy, from logits (N, C) and classes (N,).

    Between 0.05 and 20: without a mistake among the samples, the best would be 0.
    """
    outputs, classes = torch.from_numpy(logits).double(), torch.from_numpy(target)
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)  # -log(temperature)
    optimizer = torch.optim.LBFGS([scale], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(outputs * scale.exp(), classes)
        value.backward()
        return value

    optimizer.step(loss)
    return float((-scale.detach()).exp().clamp(0.05, 20))


def calibration_error(logits: np.ndarray, target: np.ndarray) -> float:
    """ECE: the mean difference between the probability of an answer and how often it is right."""
    from torchmetrics.functional.classification import multiclass_calibration_error  # slow

    probabilities = torch.from_numpy(logits).softmax(dim=1)
    error = multiclass_calibration_error(
        probabilities, torch.from_numpy(target), logits.shape[1], NUM_BINS
    )
    return float(error)


def save_temperature(run: Path, predictions: Mapping[str, np.ndarray], epoch: int) -> float:
    """Fit the temperature to the validation set, and keep it with the model of this epoch.

    Raises:
        UserError: the model does not answer with one class.
    """
    if "logits" not in predictions:
        raise UserError("--calibrate is for models that choose a class. Leave it out.")
    temperature = fit_temperature(predictions["logits"], predictions["target"])
    write_json(run / "calibration.json", {"temperature": temperature, "epoch": epoch})
    return temperature


def load_temperature(run: Path, epoch: int) -> float | None:
    """What ``save_temperature`` kept; None if there is nothing for the model of this epoch."""
    path = run / "calibration.json"
    try:
        kept: dict[str, float] = json.loads(read_text(path)) if path.exists() else {}
        temperature, of_epoch = (kept["temperature"], kept["epoch"]) if kept else (1.0, None)
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path} is damaged. Delete it, or type evaluate --calibrate.") from None
    if of_epoch not in (None, epoch):
        print(
            f"Warning: {path} is of epoch {of_epoch}, but epoch {epoch} is the best one now, so it "
            "is not used. Type evaluate --calibrate, or delete it.",
            file=sys.stderr,
        )
    return float(temperature) if of_epoch == epoch else None


def choose_thresholds(logits: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Probabilities of the second of two classes from which on it is the answer.

    The one with the best F1, and the highest that finds 95 % of the class.
    """
    from torchmetrics.functional.classification import binary_precision_recall_curve  # slow

    probability = torch.from_numpy(logits).softmax(dim=1)[:, 1]
    curve = binary_precision_recall_curve(probability, torch.from_numpy(target))
    precision, recall, thresholds = (np.asarray(part)[: len(curve[2])] for part in curve)
    f1 = 2 * precision * recall / (precision + recall).clip(min=1e-12)
    finds_most = thresholds[recall >= 0.95]
    return {
        "as trained": 0.5,
        "best F1": float(thresholds[f1.argmax()]),
        "recall of 95 %": float(finds_most.max()) if len(finds_most) else 0.0,
    }


def judge_threshold(logits: np.ndarray, target: np.ndarray, threshold: float) -> dict[str, float]:
    """What a threshold gives on a set: precision, recall, specificity and F1 of the second class.

    NaN where there is nothing to divide by.
    """
    is_class = target == 1
    says = torch.from_numpy(logits).softmax(dim=1)[:, 1].numpy() >= threshold
    correct = float((says & is_class).sum())
    rejected = float((~says & ~is_class).sum())
    return {
        "threshold": threshold,
        "precision": divide(correct, says.sum()),
        "recall": divide(correct, is_class.sum()),
        "specificity": divide(rejected, (~is_class).sum()),
        "f1": divide(2 * correct, says.sum() + is_class.sum()),
    }


def divide(part: float, whole: float) -> float:
    """part / whole; NaN without a whole."""
    return float(part / whole) if whole else float("nan")
