"""Step 2, load data: the table, its splits, the data set, and the loaders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from .tabular.columns import Statistics, bin_edges, select_columns, statistics, to_codes, to_numbers
from .tabular.embedded import breast_cancer, diabetes
from .tabular.encodings import SUFFIXES
from .tabular.inspection import describe_tables, note_contradictions
from .tabular.splits import count_classes, split_table, target_numbers
from .tabular.table_files import Table
from .tabular.table_splits import cells_of, read_splits
from .tabular.tables import TEXT, ReadOptions, read_inputs, read_other_table, read_training_table
from .utils import parse_names

INPUTS = InputKind("tables", {*SUFFIXES, ".gz"}, data_in_stdin=True)  # what predict takes
Batch = tuple[tuple[Tensor, Tensor], Tensor]
"""((numeric columns (N, F), category codes (N, K)), targets (N,)); a sample has no N."""


@dataclass(frozen=True)
class DataInfo:
    """What the model, the criterion and the figures must know. Only training rows decide it."""

    num_rows: int
    target: str
    numeric: dict[str, Statistics]
    """Each column's offset, which is subtracted, and the statistics of the rest."""
    categorical: dict[str, list[str]]
    """The categories of each column; the first of them has code 1."""
    left_out: dict[str, str]
    """Columns that are not used, and why."""
    formats: dict[str, str] = field(default_factory=dict)
    """How each column of a file is read (see tabular/tables.py)."""
    target_offset: float = 0.0
    """Subtracted from the target in float64; the model and target_mean know the rest."""
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
        shape = (-1, len(table.frame))
        numbers = np.array(to_numbers(table, info.numeric)).reshape(shape)
        codes = np.array(to_codes(table, info.categorical)).reshape(shape)
        self.numeric = torch.tensor(numbers.T, dtype=torch.float32)
        self.categories = torch.tensor(codes.T, dtype=torch.int64)
        target = target_numbers(table, info.target, info.classes) - info.target_offset
        self.target = torch.tensor(target, dtype=torch.int64 if info.classes else torch.float32)
        self.table = table

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
        return self.table.place(index)


def load_files(hparams: Hyperparameters, report: DataReport) -> dict[str, Table]:
    """The table of each split that the data has, at least "train", with the cells as written."""
    classify = hparams.objective == "classification"
    names = parse_names(hparams.categorical_columns)
    if hparams.data is None:
        return {"train": breast_cancer() if classify else diabetes(names)}
    # Names of classes are texts, even if they look like numbers.
    names += [hparams.target] if classify and hparams.target else []
    return read_splits(hparams.data, names, hparams.target, report)


def make_options(hparams: Hyperparameters, target: str) -> ReadOptions:
    """Which columns are there for what."""
    return ReadOptions(
        target=target,
        classify=hparams.objective == "classification",
        categorical=parse_names(hparams.categorical_columns),
        dropped=parse_names(hparams.drop_columns),
        group=hparams.group_column,
        decimal=hparams.decimal,
        date_order=hparams.date_order,
    )


def make_info(
    train: Table, formats: Mapping[str, str], target: str, num_bins: int, report: DataReport
) -> DataInfo:
    """Learn from the training rows how to read the columns."""
    columns = select_columns(train, target, formats, report)
    edges = {name: bin_edges(train.numbers(name), num_bins) for name in columns[0]}
    info = DataInfo(len(train.frame), target, *columns, edges=edges)
    if formats[target] == TEXT:
        counts = count_classes(train, target)
        return replace(info, classes=list(counts), class_counts=list(counts.values()))
    known = statistics(train.numbers(target))
    offset, mean, std = known["offset"], known["mean"], known["std"]
    return replace(info, target_offset=offset, target_mean=mean, target_std=std)


def make_data(hparams: Hyperparameters) -> Data:
    """The data sets that the hyperparameters name."""
    report = DataReport()
    files = load_files(hparams, report)
    last = files["train"].frame.columns[-1] if hparams.data is None else ""
    options = make_options(hparams, hparams.target or last)
    table, formats = read_training_table(files["train"], options, report)
    tables = split_table(table, files, options, hparams, report)
    info = make_info(tables["train"], formats, options.target, hparams.num_bins, report)
    for split in files.keys() - {"train"}:
        tables[split] = read_other_table(files[split], info.formats, options, report)
    train, val, test = (TableDataset(tables[name], info) for name in ("train", "val", "test"))
    describe_tables(tables, info.target, info.categorical, info.classes, report)
    inspect = partial(note_contradictions, tables, info.target, report)
    test_column = partial(cells_of, files.get("test", files["train"]), tables["test"].frame.index)
    return Data(
        train,
        val,
        test,
        info,
        in_memory=True,
        report=report,
        inspect=inspect,
        test_column=test_column,
    )


def make_inputs(
    inputs: Sequence[Any], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """The user's own tables as data sets without targets, for predict."""
    options = make_options(hparams, info.target)

    def open_table(given: Any, failures: list[str]) -> TableDataset:
        return TableDataset(read_inputs(given, info.formats, options), info)

    return [partial(open_table, given) for given in inputs]


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """Batches in random order, which follows from the seed."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """Batches in order."""
    return EvalLoader(dataset, data, run)
