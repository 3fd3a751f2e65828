"""Step 2, the texts as the model gets them: numbers of tokens, padded to the longest of a batch."""

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import Data
from .sources import Texts, read_texts

PADDING, UNKNOWN, FIRST = 0, 1, 2  # the vocabulary is counted from FIRST
NOTEWORTHY = 0.01  # share of unknown tokens


@dataclass(frozen=True)
class Sequences:
    """Texts as numbers of their tokens, all in one tensor, so that a batch is made at once.

    A sample is (tokens: (L,) int64, class: () int64). Text i has the tokens from ``starts[i]`` to
    ``starts[i + 1]``.
    """

    tokens: Tensor
    starts: Tensor
    labels: Tensor
    source: Texts
    num_cut: int
    """Texts that were longer than the limit."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        first, last = self.starts[index], self.starts[index + 1]
        return self.tokens[first:last].long(), self.labels[index]

    def fetch(self, indices: np.ndarray) -> tuple[Tensor, np.ndarray, Tensor]:
        """A whole batch at once: tokens (N, L), PADDING after the shorter texts; lengths; classes.

        The lengths (N,) are an array, because only tensors are moved to the GPU: reading them
        from there would make every step wait for the one before.
        """
        rows = torch.from_numpy(indices)
        starts = self.starts[rows]
        lengths = self.starts[rows + 1] - starts
        positions = torch.arange(int(lengths.max())).expand(len(rows), -1)
        inside = positions < lengths.unsqueeze(1)
        tokens = self.tokens[torch.where(inside, starts.unsqueeze(1) + positions, 0)].long()
        return torch.where(inside, tokens, PADDING), lengths.numpy(), self.labels[rows]

    def describe(self, index: int) -> str:
        """The row or the file of a text."""
        return self.source.places[index]

    def text(self, index: int) -> str:
        """The text as it was given."""
        return self.source.texts[index]

    @property
    def unknown_share(self) -> float:
        """Part of the tokens that the vocabulary does not have."""
        return (self.tokens == UNKNOWN).float().mean().item()


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test texts as ``settings`` ask for them."""
    parts, classes = read_texts(settings)
    split_up = {part: [tokenize(text, settings) for text in parts[part].texts] for part in parts}
    vocabulary = make_vocabulary(split_up["train"], settings)
    data = {
        part: encode(parts[part], split_up[part], vocabulary, settings.max_length) for part in parts
    }
    for note in notes(data, settings):
        print(note, file=sys.stderr)
    return Data(
        train=data["train"],
        val=data["val"],
        test=data["test"],
        facts={"classes": classes, "vocabulary": vocabulary},
        in_memory=True,
        train_lengths=data["train"].starts.diff().tolist(),
    )


def tokenize(text: str, settings: Hyperparameters) -> list[str]:
    """A text as characters or words; letters with accents are one character (NFC)."""
    text = unicodedata.normalize("NFC", text)
    if settings.lowercase:
        text = text.lower()
    return list(text) if settings.tokens == "characters" else _words().findall(text)


@functools.cache
def _words() -> re.Pattern[str]:
    """Words, or single signs. The vowel signs of Hindi, say, are letters here, not to Python."""
    marks = (chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n))[0] == "M")
    return re.compile(rf"[\w{''.join(marks)}]+|[^\w\s]")


def make_vocabulary(split_up: list[list[str]], settings: Hyperparameters) -> list[str]:
    """The tokens of the training texts that are not too rare, most frequent first."""
    counts = Counter(token for tokens in split_up for token in tokens[: settings.max_length])
    kept = [token for token, count in counts.items() if count >= settings.min_count]
    if not kept:
        raise UserError(
            f"No token is {settings.min_count} times in the training texts. Type a smaller "
            "--min-count."
        )
    return sorted(kept, key=lambda token: (-counts[token], token))


def encode(
    source: Texts, split_up: list[list[str]], vocabulary: list[str], max_length: int
) -> Sequences:
    """Texts that were split up, as numbers."""
    numbers = {token: number for number, token in enumerate(vocabulary, start=FIRST)}
    cut = [tokens[:max_length] for tokens in split_up]
    codes = [numbers.get(token, UNKNOWN) for tokens in cut for token in tokens]
    lengths = torch.tensor([0, *map(len, cut)])
    return Sequences(
        tokens=torch.tensor(codes, dtype=torch.int32),
        starts=lengths.cumsum(0),
        labels=torch.tensor(source.labels),
        source=source,
        num_cut=sum(len(tokens) > max_length for tokens in split_up),
    )


def notes(data: dict[str, Sequences], settings: Hyperparameters) -> Iterator[str]:
    """What the user should know of texts that the model does not see as they are."""
    num_cut = sum(part.num_cut for part in data.values())
    num_texts = sum(map(len, data.values()))
    if num_cut:
        yield (
            f"Cut: {num_cut:,} of {num_texts:,} texts have more than {settings.max_length} tokens. "
            "--max-length sets where they end."
        )
    share = data["val"].unknown_share
    if share > NOTEWORTHY:
        yield (
            f"Unknown: {share:.1%} of the {settings.tokens} of the validation texts are fewer than "
            f"{settings.min_count} times in the training texts (--min-count)."
        )
