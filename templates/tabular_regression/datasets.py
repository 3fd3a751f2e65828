"""Step 2, the table as the model gets it: which columns are used, and how, as tensors."""

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .classes import order_classes
from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import Data
from .sources import Table, read_tables, split_names

Sample = tuple[tuple[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rows:
    """Rows as tensors.

    A sample is ((numeric columns: (F,) float32, NaN where missing; codes of the categories: (K,)
    int64, 0 where missing or unknown), target: () float32, or the number of a class: () int64).
    """

    numeric: Tensor
    categories: Tensor
    target: Tensor
    table: str
    numbers: list[int]

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int) -> Sample:
        return (self.numeric[index], self.categories[index]), self.target[index]

    def fetch(self, indices: np.ndarray) -> Sample:
        """A whole batch at once: the tensors of a sample, each with N in front."""
        rows = torch.from_numpy(indices)
        columns = (self.numeric, self.categories, self.target)
        numeric, categories, target = (column.index_select(0, rows) for column in columns)
        return (numeric, categories), target

    def describe(self, index: int) -> str:
        """The file and the row in it."""
        return f"row {self.numbers[index]} of {self.table}"


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test rows as ``settings`` ask for them."""
    tables, target = read_tables(settings)
    train = tables["train"]
    dropped, as_names = (
        {train.find(name, flag) for name in split_names(text)}
        for text, flag in (
            (settings.drop_columns, "--drop-columns"),
            (settings.categorical_columns, "--categorical-columns"),
        )
    )
    facts, left_out = _learn(train, target, dropped, as_names)
    classify = settings.objective == "classification"
    facts |= _learn_classes(train, target) if classify else _learn_target(train, target)
    for column, reason in left_out.items():
        print(f"Left out: column {column!r}, which {reason}.", file=sys.stderr)
    return Data(
        train=_to_tensors(tables["train"], facts),
        val=_to_tensors(tables["val"], facts),
        test=_to_tensors(tables["test"], facts),
        facts=facts,
        in_memory=True,
    )


def _learn(
    train: Table, target: str, dropped: set[str], as_names: set[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the model must know, from training rows only; and which columns are left out, and why.

    A category that is there only once teaches nothing but its own row, so it is left to code 0.
    """
    numeric: dict[str, dict[str, float | bool]] = {}
    categorical: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    for column in train.frame.columns.drop([target, *dropped]):
        cells = train.frame[column]
        if cells.nunique(dropna=False) < 2:
            left_out[column] = "is empty or the same in all training rows"
        elif column not in as_names and _is_numeric(cells):
            numeric[column] = _statistics(train.numbers(column))
        else:
            counts = cells.value_counts()
            categorical[column] = sorted(counts.index[counts > 1])
            if counts[counts > 1].sum() < 0.5 * counts.sum():
                del categorical[column]
                left_out[column] = "has a text of its own in most training rows"
    if train.frame[target].nunique() < 2:
        raise UserError(f"The target {target!r} is the same in all training rows of {train.name}.")
    if not numeric and not categorical:
        raise UserError(f"{train.name} has no column from which {target!r} could be predicted.")
    facts = {
        "num_rows": len(train.frame),
        "target": target,
        "numeric": numeric,
        "categorical": categorical,
    }
    return facts, left_out


def _learn_target(train: Table, target: str) -> dict[str, Any]:
    """Of the numbers to be predicted."""
    if not _is_numeric(train.frame[target]):
        raise UserError(
            f"The column {target!r} of {train.name} holds texts, and a target must be numbers. "
            "Type --objective classification if they are classes, or --target with another column, "
            "or write the values as numbers."
        )
    statistics = _statistics(train.targets(target))
    return {"target_mean": statistics["mean"], "target_std": statistics["std"]}


def _learn_classes(train: Table, target: str) -> dict[str, Any]:
    """Of the classes to be predicted."""
    counts = Counter(train.classes(target))
    names = order_classes(counts)
    return {"classes": names, "class_counts": [counts[name] for name in names]}


def _is_numeric(cells: pd.Series) -> bool:
    """Whether a column is numbers; a few texts in a tenth of it are mistakes, which are named."""
    if not pd.api.types.is_string_dtype(cells):
        return True
    numbers = pd.to_numeric(cells, errors="coerce")
    return bool(numbers.notna().sum() >= 0.9 * cells.notna().sum())


def _statistics(values: np.ndarray) -> dict[str, float | bool]:
    known = values[~np.isnan(values)].astype(np.float32).astype(np.float64)
    return {
        "median": float(np.median(known)),
        "mean": float(known.mean()),
        "std": float(known.std()) or 1.0,
        "missing": len(known) < len(values),
    }


def _to_tensors(table: Table, facts: dict[str, Any]) -> Rows:
    """The columns that ``facts`` name, with the codes of ``facts``."""
    for column in (facts["target"], *facts["numeric"], *facts["categorical"]):
        table.find(column, "the training file")
    rows = len(table.frame)
    numeric = [table.numbers(column) for column in facts["numeric"]]
    codes = [
        pd.Index(vocabulary).get_indexer(table.frame[column]) + 1  # -1 + 1 for what is not in it
        for column, vocabulary in facts["categorical"].items()
    ]
    return Rows(
        numeric=torch.tensor(np.array(numeric).reshape(-1, rows).T, dtype=torch.float32),
        categories=torch.tensor(np.array(codes).reshape(-1, rows).T, dtype=torch.int64),
        target=_targets(table, facts),
        table=table.name,
        numbers=table.frame.index.tolist(),
    )


def _targets(table: Table, facts: dict[str, Any]) -> Tensor:
    """The column to predict: numbers as float32, or numbers of classes as int64."""
    column = facts["target"]
    if "classes" not in facts:
        return torch.tensor(table.targets(column), dtype=torch.float32)
    names = table.classes(column)
    numbers = pd.Index(facts["classes"]).get_indexer(names)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        raise UserError(
            f"{table.name}, row {table.frame.index[unknown[0]]}: no training row has the class "
            f"{names[unknown[0]]!r} of {column!r}. Add training rows, or remove this one."
        )
    return torch.tensor(numbers, dtype=torch.int64)
