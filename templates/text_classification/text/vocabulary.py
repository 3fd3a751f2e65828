"""Splitting texts into tokens, and the vocabulary of the training texts."""

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from ..engine.data_report import DataReport
from ..engine.errors import UserError

MANY_CHARACTERS, MANY_WORDS = 40, 6  # texts with more are sentences
PADDING, UNKNOWN, FIRST = 0, 1, 2  # the numbers of the vocabulary's tokens begin with FIRST


def tokenize(text: str, tokens: str, *, lowercase: bool) -> list[str]:
    """A text as characters or words; letters with accents are one character (NFC)."""
    text = unicodedata.normalize("NFC", text)
    if lowercase:
        text = text.lower()
    return list(text) if tokens == "characters" else _words().findall(text)


def choose_reading(
    texts: Sequence[str], model: str, tokens: str, report: DataReport
) -> tuple[str, str]:
    """The model and the tokens that are meant by "auto".

    ngrams for sentences; a network for names, where the order of all letters matters. A network
    reads sentences as words, if there are spaces between them.
    """
    length = median(len(text) for text in texts)
    num_words = median(len(text.split()) for text in texts)
    is_chosen, is_long = "auto" in (model, tokens), length > MANY_CHARACTERS
    if model == "auto":
        model = "ngrams" if is_long else "gru"
    if tokens == "auto":
        is_words = is_long and num_words > MANY_WORDS and model != "ngrams"
        tokens = "words" if is_words else "characters"
    if is_chosen and is_long:
        report.note(
            f"Half of the training texts have {length:.0f} or more characters and {num_words:.0f} "
            f"words. Chosen: --model {model} --tokens {tokens}."
        )
    return model, tokens


@functools.cache
def _words() -> re.Pattern[str]:
    """Words, or single punctuation marks. In words are marks, such as the vowel signs of Hindi."""
    marks = (chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n))[0] == "M")
    return re.compile(rf"[\w{''.join(marks)}]+|[^\w\s]")


def build_vocabulary(texts: Iterable[list[str]], min_count: int) -> list[str]:
    """The tokens that are at least ``min_count`` times in the texts, the most frequent first."""
    counts = Counter(token for tokens in texts for token in tokens)
    frequent = [token for token, count in counts.items() if count >= min_count]
    if not frequent:
        raise UserError(
            f"No token is {min_count} times in the training texts. Type a smaller --min-count."
        )
    return sorted(frequent, key=lambda token: (-counts[token], token))


def encode(texts: Iterable[list[str]], vocabulary: list[str]) -> list[int]:
    """The numbers of all tokens, one text after the other."""
    numbers = {token: number for number, token in enumerate(vocabulary, start=FIRST)}
    return [numbers.get(token, UNKNOWN) for tokens in texts for token in tokens]
