"""Ours: the ``train`` of a rendered project, in whose folder this process runs.

The workload enters as a user would bring it, by other datasets.py and models.py: the names
``make_data``, ``make_model`` and ``Criterion`` in the project's train.py are replaced.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..child import Referee
from ..files import MEAN, STD, Files
from ..plan import BATCH, LEARNING_RATE
from ..workloads import Pictures, Table, Workload, package_here, table_settings

# The others do none of what is switched off here.
COMMON = {
    "batch_size": BATCH,
    "learning_rate": LEARNING_RATE,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup_fraction": 0.0,
    "clip_norm": 0.0,
    "ema_decay": 0.0,
    "device": "cpu",
}


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    package = package_here()
    training: Any = importlib.import_module(f"{package}.train")
    runtime_of, distributed, runs = (
        importlib.import_module(f"{package}.{name}") for name in ("runtime", "distributed", "runs")
    )
    model = put_in(workload, training)
    training.train_epoch = timed(training.train_epoch, referee)
    changes = COMMON | {"epochs": referee.rounds} | options
    settings = settings_for(workload, package, changes)
    runtime = runtime_of.prepare(settings, frozenset({"device", "precision", "num_workers"}))
    with (
        distributed.group(runtime.backend) as world,
        runs.opened(None, None, settings, world) as folder,
    ):
        training.train(settings, folder, runtime, world)
    referee.finish(workload.quality(model(), settings.precision))


def settings_for(workload: Workload, package: str, changes: dict[str, Any]) -> Any:
    """The hyperparameters of the project's task."""
    if isinstance(workload, Table):
        return table_settings(package, workload.path, **changes)
    if isinstance(workload, Files):
        changes = changes | {"num_workers": workload.workers, "image_size": workload.SIZE}
        changes["data"] = workload.folder
    hyperparameters = importlib.import_module(f"{package}.hyperparameters")
    return hyperparameters.Hyperparameters(label_smoothing=0.0, **changes)


def put_in(workload: Workload, training: Any) -> Callable[[], nn.Module]:
    """Replace the three names; returns what gives the model after the training."""
    made: list[nn.Module] = []

    def make_model(settings: Any, facts: dict[str, Any]) -> nn.Module:
        model = workload.make_model()
        if isinstance(workload, Files):  # its images come as bytes, and the model normalises them
            normalized = importlib.import_module(f"{package_here()}.normalized")
            model = normalized.Normalized(model, mean=list(MEAN), std=list(STD))
        made.append(model)
        return model

    training.make_model = make_model
    if isinstance(workload, Table):
        training.Criterion = counting_table(training.Criterion, workload)
    else:
        training.Criterion = counting(training.Criterion, workload)
    if isinstance(workload, Pictures):
        training.make_data = lambda settings: in_memory(workload, training.Data)
    return lambda: made[-1]


def timed(train_epoch: Callable[..., Any], referee: Referee) -> Callable[..., Any]:
    """The project's function for an epoch, when it is its turn."""
    steps = 0

    def timed_epoch(*arguments: Any, **named: Any) -> Any:
        nonlocal steps
        referee.start()
        row = train_epoch(*arguments, **named)
        referee.stop(row["step"] - steps)
        steps = row["step"]
        return row

    return timed_epoch


def counting(criterion: Any, workload: Workload) -> Any:
    """The project's criterion with the workload's loss, and the sum that the others keep too."""

    class Counting(criterion):  # type: ignore[misc]
        def __init__(self, settings: Any, facts: dict[str, Any]) -> None:
            super().__init__(settings, facts)
            self.right = torch.zeros(())

        def loss(self, model: nn.Module, batch: Any) -> Tensor:
            loss, outputs = workload.forward(model, batch)
            self.right += workload.count(outputs, batch)
            return loss

    return Counting


def counting_table(criterion: Any, workload: Table) -> Any:
    """The project's criterion as it is, and the sum that the others keep too."""

    class Counting(criterion):  # type: ignore[misc]
        def __init__(self, settings: Any, facts: dict[str, Any]) -> None:
            super().__init__(settings, facts)
            self.errors = torch.zeros(())
            self.of_outputs = self.objective.training_loss
            self.objective.training_loss = self.count

        def count(self, outputs: Tensor, target: Tensor) -> Tensor:
            self.errors += workload.count(outputs, (target,))
            loss: Tensor = self.of_outputs(outputs, target)
            return loss

    return Counting


class Samples:
    """Tensors from which whole batches are taken, as CONTRIBUTING.md asks of a data set."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def fetch(self, indices: Any) -> tuple[Tensor, ...]:
        rows = torch.as_tensor(indices)
        return tuple(tensor.index_select(0, rows) for tensor in self.tensors)

    def describe(self, index: int) -> str:
        return f"sample {index}"


def in_memory(workload: Pictures, data: Any) -> Any:
    """What ``make_data`` of the project returns."""
    channels, size = workload.held[0].shape[1:3]
    held = Samples(workload.held)
    return data(
        train=Samples(workload.train),
        val=held,
        test=held,
        facts={
            "classes": [str(digit) for digit in range(10)],
            "channels": channels,
            "image_size": size,
        },
        in_memory=True,
    )
