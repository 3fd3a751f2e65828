"""What the server does with an image: a mask for each class in it."""

from typing import Any

import numpy as np

from ..engine.serving import Arrays, Options, Prepared, Row
from .pictures import image_content, read_picture
from .reference import masks, prepare
from .run_lengths import to_runs

NUMBERS = {"type": "array", "items": {"type": "integer"}}
MASK = {
    "type": "object",
    "description": "uncompressed run lengths, as COCO has them: down the columns, False first",
    "properties": {"class": {"type": "string"}, "size": NUMBERS, "counts": NUMBERS},
}
ROW = {
    "type": "object",
    "properties": {
        "shares": {"type": "object", "additionalProperties": {"type": "number"}},
        "masks": {"type": "array", "items": MASK},
    },
}


class Endpoint:
    """See ``Endpoint`` in serving.py."""

    padding = None
    content = image_content()
    parameters = ()
    row_schema = ROW

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.names: list[str] = metadata["classes"]
        self.metadata = metadata

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """The image as the graph gets it."""
        pixels, size = read_picture(body, media_type, self.metadata)
        return Prepared({"images": prepare(pixels)}, size)

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The classes in the image: their shares of the pixels, and masks of the file's size."""
        mask = masks(outputs, *context)[0]
        found = np.unique(mask).tolist()
        shares = {self.names[c]: float((mask == c).mean()) for c in found}
        runs = [
            {"class": self.names[c], "size": list(context), "counts": to_runs(mask == c)}
            for c in found
        ]
        return [{"shares": shares, "masks": runs}]
