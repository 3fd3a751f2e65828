"""What the server of an exported model and its tasks agree on: requests, refusals, options.

Like all that the server needs, this file goes along with the export, so it imports no torch.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np

PACKAGES = ("fastapi", "onnxruntime", "prometheus_client", "uvicorn")
MAX_SAMPLES = 1000  # in a request
MAX_SHOWN = 5  # names in a sentence
NO_TYPE, JSON_TYPE = "", "application/json"
Arrays = dict[str, np.ndarray]
Options = Mapping[str, float]
Row = dict[str, Any]

TOP = {
    "name": "top",
    "in": "query",
    "description": "How many classes to list, the most probable first.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_SAMPLES, "default": 5},
}
"""A parameter of requests, as OpenAPI writes it."""
CLASS_SCHEMA: Row = {
    "type": "object",
    "properties": {
        "class": {"type": "string"},
        "probability": {"type": "number"},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}


class Refused(Exception):
    """A request that gets no prediction: the status of HTTP, and a sentence for the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class Prepared:
    """A request that was understood."""

    inputs: Arrays
    """Of the graph; the first dimension of each counts the samples."""
    context: Any
    """What ``Endpoint.rows`` needs to know of the request."""


class Endpoint(Protocol):
    """How a task reads requests and writes answers: ``class Endpoint`` in endpoint.py."""

    padding: int | None
    """What fills shorter samples of a batch; with None only equal shapes are put together."""
    content: Mapping[str, Any]
    """The media types of a request with their schema, as OpenAPI writes them. Only JSON has an
    example, which must work."""
    parameters: Sequence[Mapping[str, Any]]
    """What may follow the ``?`` of the address: numbers."""
    row_schema: Mapping[str, Any]
    """The schema of a prediction."""

    def read(self, body: bytes, media_type: str, options: Options) -> Prepared:
        """What the graph gets; ``Refused`` if the body makes no sense."""

    def rows(self, outputs: Arrays, context: Any) -> list[Row]:
        """The prediction for each sample."""


def parse_options(
    prog: str, argv: Sequence[str] | None, more: Callable[[argparse.ArgumentParser], object]
) -> argparse.Namespace:
    """The flags of the server, and those that ``more`` adds."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve an exported model over HTTP.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    more(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every network")
    add("--port", type=number_from(int, 0, 65535), default=8000, help="0 for any that is free")
    add("--max-batch", type=number_from(int, 1), default=32, help="samples in a run of the model")
    add(
        "--max-wait-ms",
        type=number_from(float, 0),
        default=5.0,
        help="how long a batch waits for requests that are on their way",
    )
    add("--max-mb", type=number_from(float, 0), default=10.0, help="size of a request")
    add("--max-requests", type=number_from(int, 1), default=64, help="at a time; others get 503")
    add("--threads", type=number_from(int, 0), default=0, help="of the model; 0 for every core")
    return parser.parse_args(argv)


def number_from(
    kind: type[float], low: float, high: float = math.inf
) -> Callable[[str], int | float]:
    """A type for argparse: numbers in a range."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not low <= value <= high or math.isinf(value):
            raise ValueError
        return value

    return number


def read_query(
    parameters: Sequence[Mapping[str, Any]], query: Iterable[tuple[str, str]]
) -> dict[str, float]:
    """The numbers of a query, with defaults; ``Refused`` if there is anything else in it."""
    schemas = {item["name"]: item["schema"] for item in parameters}
    values = {name: schema["default"] for name, schema in schemas.items()}
    for name, text in query:
        if name not in schemas:
            known = f"Known: {', '.join(schemas)}." if schemas else "There are none."
            raise Refused(422, f"There is no parameter {shown([name])}. {known}")
        schema, kind = schemas[name], int if schemas[name]["type"] == "integer" else float
        low, high = schema["minimum"], schema["maximum"]
        try:
            values[name] = number_from(kind, low, high)(text)
        except ValueError:
            raise Refused(422, f"The parameter {name} is a number from {low} to {high}.") from None
    return values


def read_json(body: bytes) -> Any:
    """The value in a body; ``Refused`` if it is not JSON, or has numbers that JSON has not."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON; use null where there is none")

    try:
        return json.loads(body, parse_constant=refuse)
    except RecursionError:
        raise Refused(400, "The body is no JSON that can be read: it is nested too deep.") from None
    except ValueError as error:
        raise Refused(400, f"The body is no valid JSON: {error}.") from None


def read_list(body: bytes, media_type: str, key: str) -> list[Any]:
    """The samples in a JSON body {key: [...]}; ``Refused`` if it is something else."""
    if media_type not in (NO_TYPE, JSON_TYPE) and not media_type.endswith("+json"):
        raise Refused(415, f"Send JSON, with the header Content-Type: {JSON_TYPE}.")
    value = read_json(body)
    if not isinstance(value, dict) or set(value) != {key} or not isinstance(value[key], list):
        raise Refused(422, f'The body must be an object with one list, "{key}".')
    if not 1 <= len(value[key]) <= MAX_SAMPLES:
        raise Refused(422, f"{key} has {len(value[key]):,} elements; send 1 to {MAX_SAMPLES:,}.")
    samples: list[Any] = value[key]
    return samples


def json_content(key: str, items: Mapping[str, Any], example: Sequence[Any]) -> dict[str, Any]:
    """``Endpoint.content`` of bodies like ``read_list`` reads."""
    samples = {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_SAMPLES}
    schema: Row = {"type": "object", "required": [key], "properties": {key: samples}}
    schema["additionalProperties"] = False
    return {JSON_TYPE: {"schema": schema, "example": {key: list(example)}}}


def best_classes(probabilities: Mapping[str, float], options: Options) -> Row:
    """A prediction: the best class, and the probabilities of the ``top`` best ones."""
    ordered = sorted(probabilities.items(), key=lambda item: -item[1])[: int(options["top"])]
    name, probability = ordered[0]
    return {"class": name, "probability": probability, "probabilities": dict(ordered)}


def shown(names: Iterable[str]) -> str:
    """A few names in quotes, none too long, and how many there are beside them."""
    names = list(names)
    parts = [repr(name if len(name) <= 40 else f"{name[:40]}…") for name in names[:MAX_SHOWN]]
    more = f" and {len(names) - MAX_SHOWN:,} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(parts) + more
