"""COCO's mean average precision of any choice of images, without matching their boxes again."""

from collections.abc import Callable

import numpy as np

from .matching import Predictions, pairwise_iou

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def average_precision_scorer(predictions: Predictions) -> Callable[[np.ndarray], dict[str, float]]:
    """Gives ``map`` and ``map50`` (see ``AveragePrecision``) of images by their indices.

    An image counts as often as its index is there.
    """
    labels, true_labels = predictions["labels"], predictions["true_labels"]
    image, place = np.nonzero(labels >= 0)
    order = np.argsort(-predictions["scores"][image, place], kind="stable")
    image, place = image[order], place[order]
    is_correct, label = match_at_thresholds(predictions)[image, place], labels[image, place]
    classes = np.unique(true_labels[true_labels >= 0])
    num_objects = (true_labels[:, :, None] == classes).sum(axis=1)  # (N, classes)
    found = [(image[label == c], is_correct[label == c]) for c in classes]

    def score(indices: np.ndarray) -> dict[str, float]:
        weights = np.bincount(indices, minlength=len(labels))
        totals = weights @ num_objects
        areas = [
            average_precision(weights[images], correct, total)
            for (images, correct), total in zip(found, totals, strict=True)
            if total
        ]
        means = np.mean(areas, axis=0) if areas else np.full(len(IOU_THRESHOLDS), np.nan)
        return {"map": float(means.mean()), "map50": float(means[0])}

    return score


def match_at_thresholds(predictions: Predictions) -> np.ndarray:
    """(N, K, 10): whether a detection found an object, for each of ``IOU_THRESHOLDS``."""
    labels, scores = predictions["labels"], predictions["scores"]
    is_correct = np.zeros((*labels.shape, len(IOU_THRESHOLDS)), dtype=bool)
    for n in range(len(labels)):
        iou = pairwise_iou(predictions, n)
        iou[labels[n][:, None] != predictions["true_labels"][n]] = 0
        is_free = np.ones((len(IOU_THRESHOLDS), iou.shape[1]), dtype=bool)
        for k in np.argsort(-scores[n], kind="stable"):
            if iou[k].max(initial=0) < IOU_THRESHOLDS[0]:
                continue
            free_iou = np.where(is_free, iou[k], 0)
            best = free_iou.argmax(axis=1)
            is_correct[n, k] = free_iou.max(axis=1) >= IOU_THRESHOLDS
            is_free[is_correct[n, k], best[is_correct[n, k]]] = False
    return is_correct


def average_precision(weights: np.ndarray, is_correct: np.ndarray, total: int) -> np.ndarray:
    """(10,): the average precision of a class at each IoU threshold.

    Args:
        weights: (D,) how often the image of a detection counts; the highest scores first.
        is_correct: (D, 10) whether a detection found an object.
        total: how many objects there are, at least 1.
    """
    num_correct = np.cumsum(weights[:, None] * is_correct, axis=0)
    precision = num_correct / np.cumsum(weights).clip(min=1)[:, None]
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    highest = np.append(highest, np.zeros((1, highest.shape[1])), axis=0)
    positions = [np.searchsorted(column / total, RECALLS) for column in num_correct.T]
    return np.array([highest[p, t].mean() for t, p in enumerate(positions)])
