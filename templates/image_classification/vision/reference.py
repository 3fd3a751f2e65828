"""Pixels in, classes out, with numpy only.

To use the exported model:

    model = OnnxModel("model.onnx")
    outputs = model(images=prepare(pixels, model.metadata))
    print(classes(outputs, model.metadata))
"""

from typing import Any

import numpy as np


def prepare(pixels: np.ndarray, metadata: dict[str, Any]) -> np.ndarray:
    """One image (H, W) or (H, W, 3), uint8, as the model takes it: (1, C, H, W).

    The middle is cut out; the graph resizes and normalizes. Images of the same size can be put
    together.
    """
    color = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels[:, :, :3]
    if metadata["channels"] == 1:
        gray = color @ np.array([0.2989, 0.587, 0.114])
        color = np.floor(gray).astype(np.uint8)[:, :, None]
    side = round(min(color.shape[:2]) * metadata["middle"])
    top, left = ((n - side) // 2 for n in color.shape[:2])
    return color[top : top + side, left : left + side].transpose(2, 0, 1)[None]


def classes(outputs: dict[str, np.ndarray], metadata: dict[str, Any]) -> list[dict[str, float]]:
    """For each image the probability of each class, the most probable first."""
    logits = outputs["logits"].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers = powers / powers.sum(axis=1, keepdims=True)
    names = metadata["classes"]
    return [{names[i]: float(row[i]) for i in np.argsort(-row)} for row in answers]
