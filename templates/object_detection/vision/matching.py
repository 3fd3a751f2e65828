"""Which detections found which objects, and the precision and recall of each class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from ..engine.files import shorten

MIN_IOU = 0.5  # an object counts as found from this overlap on

Predictions = Mapping[str, np.ndarray]
"""Of N images, each with K detections and T objects at most (label -1 where it has fewer):
boxes (N, K, 4), scores and labels (N, K), true_boxes (N, T, 4), true_labels (N, T)."""


@dataclass(frozen=True)
class Matches:
    """Predictions, and which of the detections found which of the objects."""

    predictions: Predictions
    is_correct: np.ndarray
    """(N, K): whether a detection found an object that none with a higher score found."""
    found_scores: np.ndarray
    """(N, T): the score of the detection that found an object; 0 if none did."""
    threshold: float
    """The lowest score that counts: with it F1 over all classes is highest."""


def match(predictions: Predictions) -> Matches:
    """Match detections, highest scores first, with the object of their class that they fit best.

    As in COCO's evaluation (https://cocodataset.org/#detection-eval), an object is found once.
    """
    labels, true_labels = predictions["labels"], predictions["true_labels"]
    is_correct, found_scores = np.zeros(labels.shape, dtype=bool), np.zeros(true_labels.shape)
    for n in range(len(labels)):
        iou = pairwise_iou(predictions, n)
        iou[labels[n][:, None] != true_labels[n]] = 0
        for k in np.argsort(-predictions["scores"][n], kind="stable"):
            best = iou[k].argmax()
            if iou[k, best] >= MIN_IOU:
                is_correct[n, k], found_scores[n, best] = True, predictions["scores"][n, k]
                iou[:, best] = 0
    threshold = best_threshold(predictions, is_correct)
    return Matches(predictions, is_correct, found_scores, threshold)


def pairwise_iou(predictions: Predictions, n: int) -> np.ndarray:
    """(K, T): IoU of the detections and the objects of image n; 0 where one of them is missing."""
    boxes, true_boxes = (torch.from_numpy(predictions[k][n]) for k in ("boxes", "true_boxes"))
    iou: np.ndarray = box_iou(boxes, true_boxes).nan_to_num().numpy()
    iou[predictions["labels"][n] < 0] = 0
    iou[:, predictions["true_labels"][n] < 0] = 0
    return iou


def best_threshold(predictions: Predictions, is_correct: np.ndarray) -> float:
    """See ``Matches``; 0.5 if nothing was found."""
    if not is_correct.any():
        return 0.5
    exists = predictions["labels"] >= 0
    scores = predictions["scores"][exists]
    order = np.argsort(-scores, kind="stable")
    num_objects = (predictions["true_labels"] >= 0).sum()
    f1 = 2 * is_correct[exists][order].cumsum() / (np.arange(1, len(order) + 1) + num_objects)
    return float(scores[order][f1.argmax()])


@dataclass(frozen=True)
class PrecisionCurve:
    """The precision of a class by recall, at IoU 0.5."""

    precisions: np.ndarray
    """(101,): the highest precision at a recall of at least 0, 0.01, ... 1; 0 if not reached."""
    num_objects: int

    @property
    def average_precision(self) -> float:
        """As COCO defines it; NaN for a class without objects."""
        return float(self.precisions.mean()) if self.num_objects else float("nan")


def precision_curve(matches: Matches, label: int) -> PrecisionCurve:
    """The curve of the class ``label`` over all images."""
    is_class = matches.predictions["labels"] == label
    order = np.argsort(-matches.predictions["scores"][is_class], kind="stable")
    num_correct = matches.is_correct[is_class][order].cumsum()
    num_objects = int((matches.predictions["true_labels"] == label).sum())
    precision = num_correct / np.arange(1, len(num_correct) + 1)
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    positions = np.searchsorted(num_correct / max(1, num_objects), np.linspace(0, 1, 101))
    return PrecisionCurve(highest[positions], num_objects)


def lowest(values: np.ndarray, mask: np.ndarray, most: int) -> np.ndarray:
    """(M, 2): where the lowest of the ``values`` (N, K) are, among those that ``mask`` selects."""
    positions = np.argwhere(mask)
    return positions[np.argsort(values[mask], kind="stable")][:most]


def describe_wrong(predictions: Predictions, n: int, k: int, names: list[str]) -> str:
    """What detection k of image n says, and what is there."""
    iou = pairwise_iou(predictions, n)[k]
    best = int(iou.argmax())
    true = f"{names[predictions['true_labels'][n, best]]}, IoU {iou[best]:.2f}"
    name = shorten(names[predictions["labels"][n, k]], 17)
    text = f"predicted: {name} ({predictions['scores'][n, k]:.2f})"
    return f"{text}\ntrue: {true if iou[best] > 0.1 else 'nothing'}"
