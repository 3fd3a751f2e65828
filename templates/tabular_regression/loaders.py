"""Step 2, load data: the table, its splits, the data set, and the loaders."""

import sys
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .engine.data import BatchDataset, BatchIndex, Data
from .engine.errors import UserError
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .engine.splits import order_classes
from .hyperparameters import Hyperparameters
from .tabular.columns import (
    Statistics,
    bin_edges,
    select_columns,
    statistics,
    target_numbers,
)
from .tabular.embedded import breast_cancer, diabetes
from .tabular.splits import split_tables
from .tabular.tables import Table, read_tables
from .utils import parse_names

Batch = tuple[tuple[Tensor, Tensor], Tensor]
"""((numeric columns (N, F), category codes (N, K)), targets (N,)); a sample has no N."""


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know. Only training rows decide it."""

    num_rows: int
    target: str
    numeric: dict[str, Statistics]
    """Median, mean and standard deviation of each column, and whether cells are missing."""
    categorical: dict[str, list[str]]
    """The categories of each column; the first of them has code 1."""
    left_out: dict[str, str]
    """Columns that are not used, and why."""
    edges: dict[str, list[float]] = field(default_factory=dict)
    """Edges of the bins of each numeric column, in standard deviations from its mean."""
    target_mean: float = 0.0
    target_std: float = 1.0
    classes: list[str] = field(default_factory=list)
    """Names of the classes; empty in regression."""
    class_counts: list[int] = field(default_factory=list)


class TableDataset(Dataset[Batch]):
    """Rows as tensors.

    numeric is float32, NaN where a cell is empty. categories is int64, 0 where a cell is empty or
    its category unknown. target is a number (float32) or the number of a class (int64).
    """

    def __init__(self, table: Table, info: DataInfo) -> None:
        for column in (info.target, *info.numeric, *info.categorical):
            table.find(column, "the training file")
        num_rows = len(table.frame)
        numbers = [table.numbers(column) for column in info.numeric]
        # get_indexer gives -1 for what is not a known category.
        codes = [
            pd.Index(categories).get_indexer(table.frame[column]) + 1
            for column, categories in info.categorical.items()
        ]
        self.numeric = torch.tensor(np.array(numbers).reshape(-1, num_rows).T, dtype=torch.float32)
        self.categories = torch.tensor(np.array(codes).reshape(-1, num_rows).T, dtype=torch.int64)
        self.target = make_target(table, info)
        self.name = table.name
        self.row_numbers = table.frame.index.tolist()

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> Batch:
        return (self.numeric[index], self.categories[index]), self.target[index]

    def __getitems__(self, batch: BatchIndex) -> Batch:
        """A whole batch at once."""
        rows = torch.from_numpy(batch.indices)
        columns = (self.numeric, self.categories, self.target)
        numeric, categories, target = (column.index_select(0, rows) for column in columns)
        return (numeric, categories), target

    def describe(self, index: int) -> str:
        """The file, and the row in it."""
        return f"row {self.row_numbers[index]} of {self.name}"


def make_target(table: Table, info: DataInfo) -> Tensor:
    """The column to predict: numbers (N,) float32, or numbers of classes (N,) int64."""
    if not info.classes:
        return torch.tensor(table.numbers(info.target, required=True), dtype=torch.float32)
    labels = table.labels(info.target)
    numbers = pd.Index(info.classes).get_indexer(labels)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        raise UserError(
            f"{table.name}, row {table.frame.index[unknown[0]]}: no training row has the class "
            f"{labels[unknown[0]]!r} of {info.target!r}. Add training rows, or remove this one."
        )
    return torch.tensor(numbers, dtype=torch.int64)


def load_tables(hparams: Hyperparameters) -> tuple[dict[str, Table], str]:
    """The tables "train", "val" and "test", and the column to predict."""
    classify = hparams.objective == "classification"
    texts = parse_names(hparams.categorical_columns)
    if hparams.data is None:
        tables = {"train": breast_cancer() if classify else diabetes(texts)}
        target = tables["train"].find_target(hparams.target or tables["train"].frame.columns[-1])
    else:
        # Names of classes are texts, even if they look like numbers.
        texts += [hparams.target] if classify and hparams.target else []
        tables = read_tables(hparams.data, texts)
        target = tables["train"].find_target(hparams.target)
    return split_tables(tables, target, hparams, classify=classify), target


def make_info(train: Table, target: str, hparams: Hyperparameters) -> DataInfo:
    """Learn from the training rows how to read the columns."""
    drop = {train.find(name, "--drop-columns") for name in parse_names(hparams.drop_columns)}
    categorical = {
        train.find(name, "--categorical-columns")
        for name in parse_names(hparams.categorical_columns)
    }
    columns = select_columns(train, target, drop, categorical)
    edges = {name: bin_edges(train.numbers(name), hparams.num_bins) for name in columns[0]}
    info = DataInfo(len(train.frame), target, *columns, edges)
    if hparams.objective == "classification":
        counts = Counter(train.labels(target))
        classes = order_classes(counts)
        return replace(info, classes=classes, class_counts=[counts[name] for name in classes])
    numbers = statistics(target_numbers(train, target))
    return replace(info, target_mean=numbers["mean"], target_std=numbers["std"])


def make_data(hparams: Hyperparameters) -> Data:
    """The data sets that the hyperparameters name."""
    tables, target = load_tables(hparams)
    info = make_info(tables["train"], target, hparams)
    for column, reason in info.left_out.items():
        print(f"Left out: column {column!r}, which {reason}.", file=sys.stderr)
    train, val, test = (TableDataset(tables[name], info) for name in ("train", "val", "test"))
    return Data(train, val, test, info, in_memory=True)


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """Batches in random order, which follows from the seed."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """Batches in order."""
    return EvalLoader(dataset, data, run)
