"""Which detections found which objects, and the precision and recall that follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from .utils import box_iou

MIN_IOU = 0.5  # from this overlap on an object counts as found

Predictions = Mapping[str, np.ndarray]
"""What ``Criterion.evaluate`` gave: rows of N images, with K detections and T objects at most."""


@dataclass(frozen=True)
class Found:
    """Predictions, and which of the detections (N, K) found which of the objects (N, T)."""

    predictions: Predictions
    right: np.ndarray
    """(N, K): whether a detection found an object that none with a higher score found."""
    scores: np.ndarray
    """(N, T): the score with which an object was found, 0 if it was not."""
    threshold: float
    """The score from which on detections have the highest F1, all classes together."""


def match(predictions: Predictions) -> Found:
    """Give each detection, those with the highest scores first, the object that it covers best.

    As in COCO's evaluation, it must be of the same class, and an object is given away only once
    (https://cocodataset.org/#detection-eval).
    """
    labels, true_labels = predictions["labels"], predictions["true_labels"]
    right, scores = np.zeros(labels.shape, dtype=bool), np.zeros(true_labels.shape)
    for n in range(len(labels)):
        overlap = overlaps(predictions, n)
        overlap[labels[n][:, None] != true_labels[n]] = 0
        for k in np.argsort(-predictions["scores"][n], kind="stable"):
            best = overlap[k].argmax()
            if overlap[k, best] >= MIN_IOU:
                right[n, k], scores[n, best] = True, predictions["scores"][n, k]
                overlap[:, best] = 0
    return Found(predictions, right, scores, best_threshold(predictions, right))


def overlaps(predictions: Predictions, n: int) -> np.ndarray:
    """(K, T): IoU of the detections and the objects of an image, 0 where there is none of them."""
    boxes, true_boxes = (torch.from_numpy(predictions[k][n]) for k in ("boxes", "true_boxes"))
    overlap: np.ndarray = box_iou(boxes, true_boxes).nan_to_num().numpy()
    overlap[predictions["labels"][n] < 0] = 0
    overlap[:, predictions["true_labels"][n] < 0] = 0
    return overlap


def best_threshold(predictions: Predictions, right: np.ndarray) -> float:
    """See ``Found``; 0.5 if nothing was found."""
    if not right.any():
        return 0.5
    real = predictions["labels"] >= 0
    scores = predictions["scores"][real]
    order = np.argsort(-scores, kind="stable")
    counts = np.arange(1, len(order) + 1) + (predictions["true_labels"] >= 0).sum()
    f1 = 2 * right[real][order].cumsum() / counts
    return float(scores[order][f1.argmax()])


@dataclass(frozen=True)
class Curve:
    """The quality of a class at IoU 0.5."""

    precisions: np.ndarray
    """(101,): the highest precision at a recall of at least 0, 0.01, ... 1; 0 if not reached."""
    num_objects: int

    @property
    def average_precision(self) -> float:
        """As COCO defines it."""
        return float(self.precisions.mean())


def make_curve(found: Found, number: int) -> Curve:
    """That of the class ``number``, all images together."""
    mine = found.predictions["labels"] == number
    order = np.argsort(-found.predictions["scores"][mine], kind="stable")
    right = found.right[mine][order].cumsum()
    num_objects = int((found.predictions["true_labels"] == number).sum())
    precision = right / np.arange(1, len(right) + 1)
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    places = np.searchsorted(right / max(1, num_objects), np.linspace(0, 1, 101))
    return Curve(highest[places], num_objects)
