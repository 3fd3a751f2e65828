"""Texts in, classes out, with numpy only.

To use the exported model:

    model = OnnxModel("model.onnx")
    outputs = model(tokens=prepare(["a text"], model.metadata))
    print(classes(outputs, model.metadata))
"""

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

PADDING, UNKNOWN, FIRST = 0, 1, 2


def number_tokens(metadata: dict[str, Any]) -> dict[str, int]:
    """The number of each token of the vocabulary."""
    return {token: number for number, token in enumerate(metadata["vocabulary"], start=FIRST)}


def prepare(
    texts: Sequence[str], metadata: dict[str, Any], numbers: Mapping[str, int] | None = None
) -> np.ndarray:
    """The numbers of the tokens of each text, filled with PADDING: (N, L) int64.

    Who calls this often keeps the ``numbers`` of ``number_tokens``.
    """
    numbers = number_tokens(metadata) if numbers is None else numbers
    options = metadata["hyperparameters"]
    rows = []
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        text = text.lower() if options["lowercase"] else text
        tokens = list(text) if metadata["tokens"] == "characters" else words(text)
        rows.append([numbers.get(token, UNKNOWN) for token in tokens[: options["max_length"]]])
    longest = max(1, *map(len, rows)) if rows else 1
    return np.array([[*(row or [UNKNOWN]), *[PADDING] * longest][:longest] for row in rows])


def words(text: str) -> list[str]:
    """Words, or single punctuation marks."""
    return word_pattern().findall(text)


@cache
def word_pattern() -> re.Pattern[str]:
    """In words are marks, such as the vowel signs of Hindi."""
    marks = (chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n))[0] == "M")
    return re.compile(rf"[\w{''.join(marks)}]+|[^\w\s]")


def classes(outputs: dict[str, np.ndarray], metadata: dict[str, Any]) -> list[dict[str, float]]:
    """For each text the probability of each class, the most probable first."""
    logits = outputs["logits"].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers = powers / powers.sum(axis=1, keepdims=True)
    names = metadata["classes"]
    return [{names[i]: float(row[i]) for i in np.argsort(-row)} for row in answers]
