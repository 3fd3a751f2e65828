"""Step 2, load data: texts as numbers of their tokens, the data set, and the loaders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .engine.data import BatchDataset, BatchIndex, Data
from .engine.data_report import DataReport
from .engine.inputs import OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .hyperparameters import Hyperparameters
from .text.inspection import note_duplicates
from .text.names import read_names
from .text.reading import group_inputs, read_inputs, read_texts
from .text.texts import Texts, split_texts
from .text.vocabulary import (
    PADDING,
    UNKNOWN,
    build_vocabulary,
    choose_reading,
    to_numbers,
    tokenize,
)

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
        self.tokens = torch.tensor(to_numbers(tokens, vocabulary), dtype=torch.int32)
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
    whole = {
        split: [tokenize(text, tokens, lowercase=hparams.lowercase) for text in source.texts]
        for split, source in sources.items()
    }
    cut = {split: [text[: hparams.max_length] for text in texts] for split, texts in whole.items()}
    vocabulary = build_vocabulary(cut["train"], hparams.min_count)
    train, val, test = (
        TextDataset(sources[split], cut[split], vocabulary) for split in ("train", "val", "test")
    )
    info = DataInfo(
        classes,
        train.labels.bincount(minlength=len(classes)).tolist(),
        model,
        tokens,
        vocabulary,
        num_cut=sum(len(text) > hparams.max_length for texts in whole.values() for text in texts),
        unknown_share=(val.tokens == UNKNOWN).float().mean().item(),
    )
    for note in describe_losses(info, len(train) + len(val) + len(test), hparams):
        report.note(note)
    for split, dataset in (("train", train), ("val", val), ("test", test)):
        report.count_classes(split, dataset.labels.tolist(), classes)
        lengths = np.array([len(text) for text in whole[split]])
        report.values.setdefault(f"{tokens} of a text", {})[split] = lengths
    return Data(
        train,
        val,
        test,
        info,
        in_memory=True,
        train_lengths=train.starts.diff().tolist(),
        report=report,
        inspect=partial(note_duplicates, sources, report),
    )


def make_inputs(
    files: Sequence[Path], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own texts as data sets without classes, for predict."""

    def open_texts(paths: Sequence[Path], failures: list[str]) -> TextDataset:
        source = read_inputs(paths, hparams.text_column, failures)
        tokens = [
            tokenize(text, info.tokens, lowercase=hparams.lowercase)[: hparams.max_length]
            for text in source.texts
        ]
        # Nothing is one unknown token, as the networks need one.
        return TextDataset(source, [text or [""] for text in tokens], info.vocabulary)

    return [partial(open_texts, paths) for paths in group_inputs(files)]


def describe_losses(info: DataInfo, num_texts: int, hparams: Hyperparameters) -> Iterator[str]:
    """What the user should know of texts that the model does not see as they are."""
    if info.num_cut:
        yield (
            f"Cut: {info.num_cut:,} of {num_texts:,} texts have more than {hparams.max_length} "
            "tokens. --max-length sets where they end."
        )
    if info.unknown_share > NOTEWORTHY:
        yield (
            f"Unknown: {info.unknown_share:.1%} of the {info.tokens} of the validation texts "
            f"are fewer than {hparams.min_count} times in the training texts (--min-count)."
        )


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """Batches in random order, which follows from the seed; texts of similar length together."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """Batches in order."""
    return EvalLoader(dataset, data, run)
