"""Ours: the ``train`` of a rendered project, in whose folder this process runs.

The workload enters as a user would bring it, by another loaders.py, models.py and criterion.py: the
names ``make_data``, ``make_model`` and ``Criterion`` in the project's train.py are replaced.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from ..child import Referee
from ..files import MEAN, STD, Files
from ..plan import BATCH, LEARNING_RATE
from ..workloads import Pictures, Table, Workload, load_module, table_hparams

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
    training = load_module("train")
    device, distributed, runs, settings_module, directories = (
        load_module(f"engine.{name}")
        for name in ("device", "distributed", "run", "settings", "run_directory")
    )
    model = replace_steps(workload, training)
    add_clock(training, referee)
    changes = COMMON | {"epochs": referee.rounds} | options
    if isinstance(workload, Files):
        changes["num_workers"] = workload.workers
    names = {field.name for field in fields(settings_module.RunSettings)}
    settings = settings_module.RunSettings(**{k: v for k, v in changes.items() if k in names})
    hparams = make_hparams(workload, {k: v for k, v in changes.items() if k not in names})
    hardware = device.resolve(settings, frozenset({"device", "precision", "num_workers"}))
    plain = settings_module.to_plain(hparams), settings_module.to_plain(settings)
    with (
        distributed.process_group(hardware.backend) as dist,
        directories.open_run(None, None, *plain, dist) as directory,
    ):
        training.train(hparams, runs.Run(directory, settings, hardware, dist))
    referee.finish(workload.quality(model(), settings.precision))


def make_hparams(workload: Workload, changes: dict[str, Any]) -> Any:
    """The hyperparameters of the project's task."""
    if isinstance(workload, Table):
        return table_hparams(workload.path, **changes)
    if isinstance(workload, Files):
        changes = changes | {"data": workload.folder, "image_size": workload.SIZE}
        changes = changes | {"augment": "crop", "mirror": "yes"}
    return load_module("hyperparameters").Hyperparameters(label_smoothing=0.0, **changes)


def replace_steps(workload: Workload, training: Any) -> Callable[[], nn.Module]:
    """Replace the three names; returns what gives the model after the training."""
    made: list[nn.Module] = []

    def make_model(hparams: Any, info: Any) -> nn.Module:
        model = workload.make_model()
        if isinstance(workload, Files):  # its images come as bytes, and the model normalizes them
            normalize = load_module("vision.normalize")
            model = normalize.Normalized(model, mean=list(MEAN), std=list(STD))
        made.append(model)
        return model

    training.make_model = make_model
    if isinstance(workload, Table):
        training.Criterion = counting_table(training.Criterion, workload)
    else:
        training.Criterion = counting(training.Criterion, workload)
    if isinstance(workload, Pictures):
        training.make_data = lambda hparams: in_memory(workload)
    return lambda: made[-1]


def add_clock(training: Any, referee: Referee) -> None:
    """Time each epoch, from before its first batch is asked for until its sums are known."""
    make_train_loader = training.make_train_loader

    def make_timed_loader(*arguments: Any) -> Any:
        loader = make_train_loader(*arguments)
        make_steps = loader.steps

        def steps(epoch: int, start: int = 0) -> Iterator[Any]:
            referee.start()  # only now do workers begin with the epoch
            result: Iterator[Any] = make_steps(epoch, start)
            return result

        loader.steps = steps
        return loader

    class TimedLog(training.MetricLog):  # type: ignore[misc]
        def progress_bar(self, steps: Iterable[Any]) -> Iterator[Any]:
            first = self.progress.step
            yield from super().progress_bar(steps)
            referee.stop(self.progress.step - first)

    training.make_train_loader = make_timed_loader
    training.MetricLog = TimedLog


def counting(criterion: Any, workload: Workload) -> Any:
    """The project's criterion with the workload's loss, and the sum that the others keep too."""

    class Counting(criterion):  # type: ignore[misc]
        def __init__(self, hparams: Any, info: Any) -> None:
            super().__init__(hparams, info)
            self.right = torch.zeros(())

        def loss(self, model: nn.Module, batch: Any) -> Tensor:
            loss, outputs = workload.forward(model, batch)
            self.right += workload.count(outputs, batch)
            return loss

    return Counting


def counting_table(criterion: Any, workload: Table) -> Any:
    """The project's criterion as it is, and the sum that the others keep too."""

    class Counting(criterion):  # type: ignore[misc]
        def __init__(self, hparams: Any, info: Any) -> None:
            super().__init__(hparams, info)
            self.errors = torch.zeros(())

        def sample_losses(self, output: Tensor, target: Tensor) -> Tensor:
            if output.requires_grad:  # not in validation
                self.errors += workload.count(output, (target,))
            losses: Tensor = super().sample_losses(output, target)
            return losses

    return Counting


class Samples:
    """Tensors from which whole batches are taken, as CONTRIBUTING.md asks of a data set."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, batch: Any) -> tuple[Tensor, ...]:
        rows = torch.from_numpy(batch.indices)
        return tuple(tensor.index_select(0, rows) for tensor in self.tensors)

    def describe(self, index: int) -> str:
        return f"sample {index}"


def in_memory(workload: Pictures) -> Any:
    """What ``make_data`` of the project returns."""
    channels, size = workload.held[0].shape[1:3]
    held = Samples(workload.held)
    info = load_module("loaders").DataInfo(
        classes=[str(digit) for digit in range(10)],
        class_counts=[1] * 10,  # for balanced weights, which are off
        channels=channels,
        image_size=size,
        mean=[0.0] * channels,  # the workload's models do not ask for them
        std=[1.0] * channels,
    )
    data: Any = load_module("engine.data").Data(
        train=Samples(workload.train), val=held, test=held, info=info, in_memory=True
    )
    return data
