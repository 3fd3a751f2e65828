"""What the user has as inputs of a model, without targets: files, standard input, objects."""

import glob
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from .data import BatchDataset, BatchIndex, SampleDataset
from .errors import UserError
from .evaluation import Criterion, to_numpy
from .files import list_all_files
from .run import Run

STDIN = Path("standard input")
"""Stands for the data in standard input; compared with ``is``."""


@dataclass(frozen=True)
class InputKind:
    """What a task predicts for."""

    noun: str
    """images, tables or texts."""
    suffixes: Collection[str]
    """Of the files that are taken from folders, in small letters."""
    data_in_stdin: bool = False
    """Whether - means the data itself; else it means the names of files."""
    takes_texts: bool = False
    """Whether a str in a program is a text; else it is the path of a file."""


class PredictOptions(Protocol):
    """What the user can choose of the rows that predict writes."""

    @property
    def top(self) -> int: ...
    @property
    def min_score(self) -> float: ...


OpenInputs = Callable[[list[str]], BatchDataset]
"""Reads some inputs as a data set like a validation set, whose targets mean nothing.

Why some of them could not be read is added to the list. If none could, it is a UserError.
"""


def find_inputs(words: Sequence[str], kind: InputKind, notes: list[str]) -> list[Path]:
    """What was typed as files: files, folders (at any depth), and patterns such as "*.png".

    Files in folders that are of another kind are left aside, and counted in ``notes``.

    Raises:
        UserError: some of the words name nothing.
    """
    found = {word: _find(word, kind, notes) for word in words}
    nothing = [word for word, files in found.items() if not files]
    if nothing:
        raise UserError(f"There are no {kind.noun} at {', '.join(nothing[:5])}. Check the path.")
    return list(dict.fromkeys(file for files in found.values() for file in files))


def _find(word: str, kind: InputKind, notes: list[str]) -> list[Path]:
    path = Path(word)
    if word == "-":
        lines = [] if kind.data_in_stdin else sys.stdin.read().splitlines()
        return [STDIN] if kind.data_in_stdin else [Path(line) for line in lines if line.strip()]
    if path.is_file():
        return [path]
    if path.is_dir():
        files = list_all_files(path)
        others = [file for file in files if file.suffix.lower() not in kind.suffixes]
        if others:
            count = f"{len(others):,} of {len(files):,} files in {path}"
            notes.append(f"Left aside: {count} are no {kind.noun}, for example {others[0]}.")
        return [file for file in files if file.suffix.lower() in kind.suffixes]
    return sorted(Path(name) for name in glob.glob(word, recursive=True) if Path(name).is_file())


class TolerantInputs:
    """Batches without the samples that cannot be read, and why they could not."""

    def __init__(self, dataset: BatchDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def describe(self, index: int) -> str:
        """The file, and the place in it."""
        return self.dataset.describe(index)

    def __getitems__(self, batch: BatchIndex) -> tuple[Any, list[int], list[str]]:
        """The batch (None if no sample is left), which samples it has, and what failed."""
        indices = batch.indices.tolist()
        if not isinstance(self.dataset, SampleDataset):
            return self.dataset.__getitems__(batch), indices, []
        samples, read, failures = [], list[int](), list[str]()
        for index in indices:
            try:
                samples.append(self.dataset[index])
                read.append(index)
            except UserError as error:
                failures.append(str(error))
        return self.dataset.collate(samples) if samples else None, read, failures


@torch.inference_mode()
def predict(
    model: nn.Module, criterion: Criterion, batches: Iterable[Any], run: Run
) -> Iterator[tuple[list[int], dict[str, np.ndarray], list[str]]]:
    """Of each batch: its samples, the criterion's outputs for them, and why others failed.

    ``batches`` is a loader of ``TolerantInputs``.
    """
    for batch, indices, failures in batches:
        outputs: dict[str, np.ndarray] = {}
        if batch is not None:
            with run.autocast():
                found = criterion.evaluate(model, batch)
            outputs = {name: to_numpy([value]) for name, value in found.items()}
        yield indices, outputs, failures
