"""What the server does with an image: boxes around objects."""

from typing import Any

import numpy as np

from ..engine.serving import Arrays, Options, Prepared, Row
from .pictures import image_content, read_picture
from .reference import detect, prepare

MIN_SCORE = {
    "name": "min_score",
    "in": "query",
    "description": "Boxes with a lower score are left out.",
    "schema": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.3},
}
OBJECT = {
    "type": "object",
    "properties": {
        "class": {"type": "string"},
        "score": {"type": "number"},
        "box": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "x1, y1, x2, y2 in pixels of the file",
        },
    },
}
ROW = {"type": "object", "properties": {"objects": {"type": "array", "items": OBJECT}}}


class Endpoint:
    """See ``Endpoint`` in serving.py."""

    padding = None
    content = image_content()
    parameters = (MIN_SCORE,)
    row_schema = ROW

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """The image as the graph gets it."""
        pixels, size = read_picture(body, media_type, self.metadata)
        return Prepared({"images": prepare(pixels)}, (pixels.shape[:2], size, options["min_score"]))

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The objects, the most certain first."""
        (rows, columns), (height, width), min_score = context
        found = detect(outputs, rows, columns, self.metadata["hyperparameters"])[0]
        scale = np.array([width / columns, height / rows] * 2)
        names = self.metadata["classes"]
        objects = [
            {"class": names[label], "score": score, "box": box}
            for label, score, box in zip(
                found["labels"].tolist(),
                found["scores"].tolist(),
                (found["boxes"] * scale).tolist(),
                strict=True,
            )
            if score >= min_score
        ]
        return [{"objects": objects}]
