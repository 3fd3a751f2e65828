"""Rows in, predictions out, with numpy only.

To use the exported model:

    model = OnnxModel("model.onnx")
    outputs = model(**prepare([{"age": 31, "city": "Oslo"}], model.metadata))
    print(answers(outputs, model.metadata))
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def prepare(rows: Sequence[Row], metadata: dict[str, Any]) -> dict[str, np.ndarray]:
    """Rows as the model takes them. A cell that is missing or None is empty.

    Numbers must be numbers: units, dates and decimal commas are read by the project only. The names
    of the columns are in the metadata, as "numeric" and "categorical". Categories that the training
    data has not are unknown: 0, like gaps.
    """
    gap = float("nan")
    numbers = [
        [gap if (cell := row.get(name)) is None else float(cell) for name in metadata["numeric"]]
        for row in rows
    ]
    known = metadata["categorical"].items()
    codes = [
        [names.index(row[name]) + 1 if row.get(name) in names else 0 for name, names in known]
        for row in rows
    ]
    inputs = {"numeric": np.array(numbers), "categories": np.array(codes, dtype=np.int64)}
    return {name: values for name, values in inputs.items() if values.size}


def answers(outputs: dict[str, np.ndarray], metadata: dict[str, Any]) -> list[Any]:
    """For each row the predicted number, or the probability of each class."""
    if not metadata["classes"]:
        return [float(number) for number in outputs["prediction"]]
    logits = outputs["logits"].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    return [dict(zip(metadata["classes"], map(float, row), strict=True)) for row in shares]
