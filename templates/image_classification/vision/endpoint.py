"""What the server does with an image: its classes."""

from typing import Any

from ..engine.serving import (
    CLASS_SCHEMA,
    TOP,
    Arrays,
    Options,
    Prepared,
    Row,
    best_classes,
)
from .pictures import image_content, read_picture
from .reference import classes, prepare


class Endpoint:
    """See ``Endpoint`` in serving.py."""

    padding = None
    content = image_content()
    parameters = (TOP,)
    row_schema = CLASS_SCHEMA

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """The image as the graph gets it."""
        pixels, _ = read_picture(body, media_type, self.metadata)
        return Prepared({"images": prepare(pixels, self.metadata)}, options)

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The best classes."""
        return [best_classes(found, context) for found in classes(outputs, self.metadata)]
