"""What the server does with texts: their classes."""

from typing import Any

from ..engine.serving import (
    CLASS_SCHEMA,
    TOP,
    Arrays,
    Options,
    Prepared,
    Refused,
    Row,
    best_classes,
    json_content,
    read_list,
)
from .reference import PADDING, classes, number_tokens, prepare

EXAMPLES = ["I would buy it again.", "It broke after a week."]


class Endpoint:
    """See ``Endpoint`` in serving.py."""

    padding = PADDING
    content = json_content("texts", {"type": "string"}, EXAMPLES)
    parameters = (TOP,)
    row_schema = CLASS_SCHEMA

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.numbers = number_tokens(metadata)

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """The texts as the graph gets them."""
        texts = read_list(body, media_type, "texts")
        wrong = [number for number, text in enumerate(texts) if not isinstance(text, str)]
        if wrong:
            kind = type(texts[wrong[0]]).__name__
            raise Refused(422, f"texts[{wrong[0]}] is no text but {kind}; {len(wrong):,} are none.")
        return Prepared({"tokens": prepare(texts, self.metadata, self.numbers)}, options)

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The best classes of each text."""
        return [best_classes(found, context) for found in classes(outputs, self.metadata)]
