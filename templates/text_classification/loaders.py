"""Step 2, load data: texts as numbers of their tokens, the data set, and the loaders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .engine.data import BatchDataset, BatchIndex, Data
from .engine.data_report import DataReport
from .engine.inputs import InputKind, OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .text.encodings import SUFFIXES
from .text.inspection import note_duplicates
from .text.names import read_names
from .text.reading import group_inputs, read_inputs, read_texts
from .text.texts import Texts, split_texts
from .text.vocabulary import PADDING, UNKNOWN, build_vocabulary, choose_reading, encode, tokenize

INPUTS = InputKind("texts", {*SUFFIXES, ".gz"}, data_in_stdin=True, takes_texts=True)
NOTEWORTHY = 0.01  # share of unknown tokens
Batch = tuple[Tensor, np.ndarray, Tensor]
"""Tokens (N, L), each text with PADDING after its end; lengths (N,); numbers of classes (N,)."""


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know."""

    classes: list[str]
    class_counts: list[int]
    """Training samples of each class."""
    model: str
    """What --model auto means for these texts."""
    tokens: str
    """What the texts are cut into: "characters" or "words"."""
    vocabulary: list[str]
    """Tokens of the training texts, the most frequent first."""
    num_cut: int
    """Texts that are longer than max_length."""
    unknown_share: float
    """Share of the tokens of the validation texts that the vocabulary does not have."""


class TextDataset(Dataset[tuple[Tensor, Tensor]]):
    """Texts as numbers of their tokens, all in one tensor, so that a batch is made at once.

    A sample is (tokens: (L,) int64, class: () int64). Text i has the tokens from starts[i] to
    starts[i + 1].
    """

    def __init__(self, source: Texts, tokens: list[list[str]], vocabulary: list[str]) -> None:
        self.source = source
        self.tokens = torch.tensor(encode(tokens, vocabulary), dtype=torch.int32)
        self.starts = torch.tensor([0, *map(len, tokens)]).cumsum(0)
        self.labels = torch.tensor(source.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        first, last = self.starts[index], self.starts[index + 1]
        return self.tokens[first:last].long(), self.labels[index]

    def __getitems__(self, batch: BatchIndex) -> Batch:
        """A whole batch at once, padded to its longest text.

        The lengths are an array, because only tensors are moved to the GPU: reading them from
        there would make every step wait for the one before.
        """
        rows = torch.from_numpy(batch.indices)
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


def load_texts(hparams: Hyperparameters, report: DataReport) -> tuple[dict[str, Texts], list[str]]:
    """The texts of "train", "val" and "test", and the names of the classes."""
    if hparams.data is None:
        names, classes = read_names()
        return split_texts({"train": names}, classes, hparams), classes
    columns = hparams.text_column, hparams.label_column, hparams.group_column
    return read_texts(hparams.data, columns, hparams, report)


def make_data(hparams: Hyperparameters) -> Data:
    """The data sets that the hyperparameters name."""
    report = DataReport()
    sources, classes = load_texts(hparams, report)
    train_texts = sources["train"].texts
    model, tokens = choose_reading(train_texts, hparams.model, hparams.tokens, report)
    to_tokens = partial(tokenize, tokens=tokens, lowercase=hparams.lowercase)
    whole = {split: [*map(to_tokens, source.texts)] for split, source in sources.items()}
    cut = {split: [text[: hparams.max_length] for text in texts] for split, texts in whole.items()}
    vocabulary = build_vocabulary(cut["train"], hparams.min_count)
    train, val, test = (
        TextDataset(sources[split], cut[split], vocabulary) for split in ("train", "val", "test")
    )
    counts = train.labels.bincount(minlength=len(classes)).tolist()
    lengths = {split: np.array([*map(len, texts)]) for split, texts in whole.items()}
    is_cut = np.concatenate([*lengths.values()]) > hparams.max_length
    unknown_share = (val.tokens == UNKNOWN).float().mean().item()
    num_cut = int(is_cut.sum())
    info = DataInfo(classes, counts, model, tokens, vocabulary, num_cut, unknown_share)
    if info.num_cut:
        report.note(
            f"Cut: {num_cut:,} of {len(is_cut):,} texts have more than {hparams.max_length} "
            "tokens. --max-length sets where they end."
        )
    if info.unknown_share > NOTEWORTHY:
        report.note(
            f"Unknown: {info.unknown_share:.1%} of the {tokens} of the validation texts "
            f"are fewer than {hparams.min_count} times in the training texts (--min-count)."
        )
    for split, dataset in (("train", train), ("val", val), ("test", test)):
        report.count_classes(split, dataset.labels.tolist(), classes)
    report.values[f"{tokens} of a text"] = lengths
    inspect, sizes = partial(note_duplicates, sources, report), train.starts.diff().tolist()
    return Data(
        train,
        val,
        test,
        info,
        in_memory=True,
        train_lengths=sizes,
        report=report,
        inspect=inspect,
        test_column=sources["test"].column,
    )


def make_inputs(
    inputs: Sequence[Any], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own texts as data sets without classes, for predict."""

    def open_texts(some: Sequence[Any], failures: list[str]) -> TextDataset:
        source = read_inputs(some, hparams.text_column, failures)
        to_tokens = partial(tokenize, tokens=info.tokens, lowercase=hparams.lowercase)
        tokens = [to_tokens(text)[: hparams.max_length] for text in source.texts]
        # Nothing is one unknown token, as the networks need one.
        return TextDataset(source, [text or [""] for text in tokens], info.vocabulary)

    return [partial(open_texts, some) for some in group_inputs(inputs)]


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """Batches in random order, which follows from the seed; texts of similar length together."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """Batches in order."""
    return EvalLoader(dataset, data, run)
