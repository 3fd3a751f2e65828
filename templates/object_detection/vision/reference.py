"""Pixels in, boxes out, with numpy only.

To use the exported model:

    model = OnnxModel("model.onnx")
    outputs = model(images=prepare(pixels))
    found = detect(outputs, *pixels.shape[:2], model.metadata["hyperparameters"])[0]
    # found["boxes"], found["scores"], found["labels"]: numbers of model.metadata["classes"]
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def prepare(pixels: np.ndarray) -> np.ndarray:
    """One image (H, W) or (H, W, 3), uint8, as the model takes it: (1, 3, H, W).

    The graph resizes, pads and normalizes. Several images of the same size can be put together.
    """
    color = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels[:, :, :3]
    return color.transpose(2, 0, 1)[None]


def detect(outputs: Arrays, height: int, width: int, options: Mapping[str, Any]) -> list[Arrays]:
    """For each image, which all have this size, the boxes, scores and labels: the best first.

    Args:
        outputs: of the graph, scores (N, classes, h, w) and boxes (N, h, w, 4).
        height: of the images.
        width: of the images.
        options: score_threshold, nms_iou and max_detections.
    """
    both = zip(outputs["scores"], outputs["boxes"], strict=True)
    return [choose(scores, boxes, (height, width), options) for scores, boxes in both]


def choose(
    scores: np.ndarray, boxes: np.ndarray, size: tuple[int, int], options: Mapping[str, Any]
) -> Arrays:
    """The peaks of the scores (classes, h, w) of an image, but for those that better ones cover."""
    most = int(options["max_detections"])
    flat = np.where(scores == neighbors_max(scores), scores, 0).ravel()
    best = np.argsort(-flat, kind="stable")[: 4 * most]
    best = best[flat[best] > options["score_threshold"]]
    labels, cells = best // scores[0].size, best % scores[0].size
    chosen = boxes.reshape(-1, 4)[cells].clip(0, [size[1], size[0], size[1], size[0]])
    kept = not_covered(chosen, labels, options["nms_iou"])[:most]
    found = {"boxes": chosen, "scores": flat[best], "labels": labels}
    return {name: values[kept] for name, values in found.items()}


def neighbors_max(scores: np.ndarray) -> np.ndarray:
    """The largest of the 3 × 3 cells around each cell."""
    padded = np.pad(scores, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    largest: np.ndarray = windows.max((3, 4))
    return largest


def not_covered(boxes: np.ndarray, labels: np.ndarray, limit: float) -> list[int]:
    """The boxes whose IoU with each better box of their class is at most ``limit``."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for n in range(len(boxes)):
        low, high = boxes[kept, :2], boxes[kept, 2:]
        sides = (np.minimum(high, boxes[n, 2:]) - np.maximum(low, boxes[n, :2])).clip(0)
        common = sides[:, 0] * sides[:, 1]
        covered = common > limit * (areas[kept] + areas[n] - common)
        if not (covered & (labels[kept] == labels[n])).any():
            kept.append(n)
    return kept
