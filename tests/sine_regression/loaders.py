"""Step 2, load data: points, their splits, the data set, and the loaders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .engine.data import BatchDataset, Data, SampleDataset
from .engine.data_report import DataReport
from .engine.errors import UserError
from .engine.files import read_text
from .engine.inputs import OpenInputs
from .engine.loading import EvalLoader, TrainLoader
from .engine.run import Run
from .engine.splits import split_indices
from .hyperparameters import Hyperparameters
from .utils import parse_point

NUM_POINTS = 600

Batch = tuple[Tensor, Tensor]
"""x (N, 1) and y (N,)."""


@dataclass(frozen=True)
class DataInfo:
    """What the model must know about the data."""

    num_points: int


class Points(SampleDataset):
    """A sample is (x: (1,), y: ()), float32; a little noise is added to x in training."""

    def __init__(self, points: Tensor, numbers: list[int], noise: float) -> None:
        self.points, self.numbers, self.noise = points[numbers], numbers, noise

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.points[index]
        return x + self.noise * torch.randn(1), y

    def describe(self, index: int) -> str:
        """The number of the point."""
        return f"point {self.numbers[index]}"


def read_points(path: Path) -> Tensor:
    """(N, 2) float32: x and y. A UserError if a line does not hold two numbers."""
    points = [parse_point(line) for line in read_text(path).splitlines()]
    if None in points:
        raise UserError(f"{path}, line {points.index(None) + 1}: write two numbers.")
    return torch.tensor(points)


def make_data(hparams: Hyperparameters) -> Data:
    """The data sets that the hyperparameters name."""
    x = torch.linspace(-3, 3, NUM_POINTS)
    points = torch.stack([x, x.sin()], dim=1) if hparams.data is None else read_points(hparams.data)
    train, val, test = (
        Points(points, numbers, noise=0.01 if split == "train" else 0.0)
        for split, numbers in split_indices(len(points), hparams).items()
    )
    report = DataReport()
    splits = {"train": train, "val": val, "test": test}
    report.values["x"] = {name: split.points[:, 0].numpy() for name, split in splits.items()}
    return Data(train, val, test, DataInfo(len(points)), in_memory=True, report=report)


def make_inputs(
    files: Sequence[Path], hparams: Hyperparameters, info: DataInfo
) -> list[OpenInputs]:
    """Files of points, whose y means nothing."""

    def open_points(path: Path, failures: list[str]) -> Points:
        points = read_points(path)
        return Points(points, list(range(len(points))), noise=0.0)

    return [partial(open_points, path) for path in files]


def make_train_loader(data: Data, hparams: Hyperparameters, run: Run) -> TrainLoader:
    """Batches in random order, which follows from the seed."""
    return TrainLoader(data, hparams.batch_size, hparams.seed, run)


def make_eval_loader(dataset: BatchDataset, data: Data, run: Run) -> EvalLoader:
    """Batches in order."""
    return EvalLoader(dataset, data, run)
