"""What the server does with rows of a table: the class or number of each."""

import math
from collections.abc import Iterator
from typing import Any

from ..engine.serving import (
    CLASS_SCHEMA,
    MAX_SHOWN,
    TOP,
    Arrays,
    Options,
    Prepared,
    Refused,
    Row,
    best_classes,
    json_content,
    read_list,
    shown,
)
from .reference import answers, prepare

UNKNOWN = {
    "type": "array",
    "items": {"type": "string"},
    "description": "columns with a category that the training data has not",
}


class Endpoint:
    """See ``Endpoint`` in serving.py."""

    padding = None

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata
        self.numeric, self.categories = metadata["numeric"], metadata["categorical"]
        self.columns = {*self.numeric, *self.categories}
        self.unused = {metadata["target"], *metadata["left_out"]}
        example = {name: known["median"] + known["offset"] for name, known in self.numeric.items()}
        example |= {name: next(iter(names), None) for name, names in self.categories.items()}
        kinds = {name: {"type": ["number", "null"]} for name in self.numeric}
        kinds |= {name: {"type": ["string", "null"]} for name in self.categories}
        item = {"type": "object", "properties": kinds, "required": list(kinds)}
        self.content = json_content("rows", item, [example])
        self.parameters = (TOP,) if metadata["classes"] else ()
        number = {metadata["target"]: {"type": "number"}}
        properties = CLASS_SCHEMA["properties"] if metadata["classes"] else number
        self.row_schema = {"type": "object", "properties": {**properties, "unknown": UNKNOWN}}

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """The rows as the graph gets them."""
        rows = read_list(body, media_type, "rows")
        problems = [text for number, row in enumerate(rows) for text in self.check(number, row)]
        if problems:
            more = len(problems) - MAX_SHOWN
            rest = f" And {more:,} more." if more > 0 else ""
            raise Refused(422, " ".join(problems[:MAX_SHOWN]) + rest)
        return Prepared(prepare(rows, self.metadata), (rows, options))

    def check(self, number: int, row: Any) -> Iterator[str]:
        """What is wrong with a row."""
        place = f"rows[{number}]"
        if not isinstance(row, dict):
            yield f"{place} is no object with the names of columns."
            return
        if missing := [name for name in self.columns if name not in row]:
            yield f"{place} has no {shown(sorted(missing))}; null is for what is not known."
        if strange := row.keys() - self.columns - self.unused:
            yield f"{place} has {shown(sorted(strange))}, which the model does not know."
        wrong = [name for name in self.numeric if not is_number(row.get(name))]
        if wrong:
            yield f"{place}: {shown(wrong)} must be a number or null."
        wrong = [name for name in self.categories if not isinstance(row.get(name), str | None)]
        if wrong:
            yield f"{place}: {shown(wrong)} must be a text or null."

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The class or number of each row."""
        rows, options = context
        found = answers(outputs, self.metadata)
        return [self.answer(*both, options) for both in zip(rows, found, strict=True)]

    def answer(self, row: Row, found: Any, options: Options) -> Row:
        """The class or number of a row, and which of its categories are not known."""
        classes, target = self.metadata["classes"], self.metadata["target"]
        answer = best_classes(found, options) if classes else {target: found}
        unknown = [
            name
            for name, names in self.categories.items()
            if row[name] is not None and row[name] not in names
        ]
        return answer | ({"unknown": unknown} if unknown else {})


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, or a gap; JSON may have numbers beyond those of computers."""
    if cell is None or isinstance(cell, bool):
        return cell is None
    try:
        return isinstance(cell, int | float) and math.isfinite(cell)
    except OverflowError:
        return False
