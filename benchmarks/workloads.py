"""The work: data, model, loss and count of right answers, the same for every contender.

    python -m benchmarks.workloads FOLDER SHARE tiny cnn ...

writes the data into FOLDER, so that every contender reads the same and pays nothing for making it.
"""

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from .plan import BATCH, SEED

Batch = Any
"""Inputs, one tensor or several, and what is to be learned."""


class Workload(Protocol):
    """What a contender needs to know of its work."""

    num_steps: int
    """In an epoch; no data set has samples for a part of one."""

    def make_model(self) -> nn.Module:
        """The model with the weights that all start from."""
        ...

    def loader(self, style: str = "bare") -> DataLoader[Any]:
        """What a hand-written loop of that style iterates over."""
        ...

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the model's outputs."""
        ...

    def count(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Right answers in a batch (of a table: the sum of the absolute errors), a scalar."""
        ...

    def quality(self, model: nn.Module, precision: str = "fp32") -> float | None:
        """How good the model is on held-out data."""
        ...


class Pictures:
    """Images in memory: (N, C, H, W) float, and their classes (N,)."""

    def __init__(self, name: str, folder: Path, times: int = 1) -> None:
        """``times``: the training data is so many times as large."""
        content = torch.load(folder / f"{name}.pt")
        self.name = name
        self.train: tuple[Tensor, ...] = content["train"]
        self.held: tuple[Tensor, ...] = content["held"]
        if times > 1:
            images, classes = self.train
            self.train = (images.repeat(times, 1, 1, 1), classes.repeat(times))
        self.num_steps = len(self.train[1]) // BATCH

    def make_model(self) -> nn.Module:
        torch.manual_seed(SEED)
        return MODELS[self.name]()

    def loader(self, style: str = "bare") -> DataLoader[Any]:
        return DataLoader(TensorDataset(*self.train), batch_size=BATCH, shuffle=True)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        images, classes = batch
        logits = model(images)
        return functional.cross_entropy(logits, classes), logits

    def count(self, outputs: Tensor, batch: Batch) -> Tensor:
        right: Tensor = (outputs.detach().argmax(1) == batch[1]).sum()
        return right

    @torch.no_grad()
    def quality(self, model: nn.Module, precision: str = "fp32") -> float | None:
        """Accuracy."""
        model.eval()
        images, classes = self.held
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = torch.cat([model(part) for part in images.split(256)])
        return float((logits.argmax(1) == classes).float().mean())


class Table:
    """A CSV file, split as the tabular task splits it, and the model of that task.

    The loss is that of the task, as one would write it down.
    """

    def __init__(self, folder: Path) -> None:
        content = torch.load(folder / "table.pt")
        self.path = folder / "table.csv"
        self.info, self.penalty = content["info"], content["penalty"]
        self.rows: dict[str, Tensor] = content["rows"]
        self.num_steps = len(self.rows["train"]) // BATCH

    def read(self, part: str) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers (N, F), codes of no categories (N, 0) and targets (N,) of "train" or "held"."""
        import pandas as pd

        table = torch.from_numpy(pd.read_csv(self.path).to_numpy("float32"))[self.rows[part]]
        return table[:, :-1], torch.zeros(len(table), 0, dtype=torch.int64), table[:, -1]

    def make_model(self) -> nn.Module:
        hparams = table_hparams(self.path)
        info = load_module("loaders").DataInfo(**self.info)
        torch.manual_seed(SEED)
        model: nn.Module = load_module("models").make_model(hparams, info)
        return model

    def loader(self, style: str = "bare") -> DataLoader[Any]:
        dataset = TensorDataset(*self.read("train"))
        return DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        numeric, categories, target = batch
        outputs = model(numeric, categories)
        mean = ((outputs - target) / self.info["target_std"]).square().mean()
        matrices = [weight.flatten() for weight in model.parameters() if weight.ndim > 1]
        return mean + self.penalty * torch.cat(matrices).square().sum(), outputs

    def count(self, outputs: Tensor, batch: Batch) -> Tensor:
        errors: Tensor = (outputs.detach() - batch[-1]).abs().sum()
        return errors

    @torch.no_grad()
    def quality(self, model: nn.Module, precision: str = "fp32") -> float | None:
        """Explained part of the variance."""
        model.eval()
        numeric, categories, target = self.read("held")
        errors = model(numeric, categories) - target
        return 1 - float(errors.square().sum() / (target - target.mean()).square().sum())


def load_module(name: str) -> Any:
    """A module of the rendered project in whose folder this process runs."""
    package = Path.cwd().name.replace("-", "_")
    return importlib.import_module(f"{package}.{name}")


def load(name: str, folder: Path, workers: int = 0, times: int = 1) -> Workload:
    """The workload of that name, from the files in ``folder``."""
    if name == "table":
        return Table(folder)
    if name == "jpeg":
        from .files import Files

        return Files(folder / "jpeg", workers)
    return Pictures(name, folder, times)


def tiny_model() -> nn.Module:
    """An MLP on 64 pixels."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def cnn_model() -> nn.Module:
    """Three convolutions on one channel."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def resnet_model() -> nn.Module:
    """torchvision's ResNet-18."""
    from torchvision.models import resnet18

    model: nn.Module = resnet18(num_classes=10)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "tiny": tiny_model,
    "cnn": cnn_model,
    "resnet": resnet_model,
}


def make_pictures(name: str, folder: Path, share: float) -> None:
    """Digits of scikit-learn, enlarged and covered with noise; no digit is in both parts."""
    num_train, num_held, size, noise = {
        "tiny": (512 * BATCH, 397, 8, 0.0),
        "cnn": (128 * BATCH, 1191, 28, 0.3),
        "resnet": (12 * BATCH, 397, 64, 0.3),
    }[name]
    num_train = max(2, round(num_train * share / BATCH)) * BATCH
    pixels, classes = digits()
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(classes), generator=generator)
    content = {}
    for part, known, number in (("train", order[397:], num_train), ("held", order[:397], num_held)):
        rows = known.repeat(-(-number // len(known)))[:number]
        images = functional.interpolate(pixels[rows], (size, size), mode="bilinear")
        if name == "resnet":
            images = images * torch.rand(number, 3, 1, 1, generator=generator)
        images = images + noise * torch.randn(images.shape, generator=generator)
        content[part] = (images, classes[rows])
    torch.save(content, folder / f"{name}.pt")


def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits (N, 1, 8, 8) in [0, 1] and their classes."""
    import numpy as np

    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32))
    return table[:, :64].view(-1, 1, 8, 8) / 16, table[:, 64].long()


def make_table(folder: Path, share: float) -> None:
    """A CSV file; and what the tabular task of the project in this folder makes of it."""
    import numpy as np

    random = np.random.default_rng(SEED)
    rows = random.normal(size=(round(100_000 * share), 20))
    weights = random.normal(size=(20, 8))
    target = rows[:, 0] * 2 + np.tanh(rows @ weights).sum(1) + random.normal(size=len(rows))
    header = ",".join([*(f"x{number}" for number in range(20)), "y"])
    table = np.column_stack([rows, target])
    np.savetxt(folder / "table.csv", table, fmt="%.5f", delimiter=",", header=header, comments="")
    hparams = table_hparams(folder / "table.csv")
    data = load_module("loaders").make_data(hparams)
    numbers = {  # the task counts the header as row 1
        part: torch.tensor(dataset.table.frame.index.tolist()) - 2
        for part, dataset in (("train", data.train), ("held", data.val))
    }
    penalty = hparams.ridge_alpha / data.info.num_rows
    content = {"rows": numbers, "info": dataclasses.asdict(data.info), "penalty": penalty}
    torch.save(content, folder / "table.pt")


def table_hparams(path: Path, **changes: Any) -> Any:
    """The tabular task's hyperparameters for the CSV file; validation is short, it is not timed."""
    return load_module("hyperparameters").Hyperparameters(
        data=path,
        target="y",
        val_fraction=0.02,
        test_fraction=0.02,
        model="mlp",
        dropout=0.0,
        patience=0,
        **changes,
    )


def main(folder: Path, share: float, names: list[str]) -> None:
    for name in names:
        if name == "table":
            make_table(folder, share)
        elif name == "jpeg":
            from .files import make_files

            make_files(folder / "jpeg", share)
        else:
            make_pictures(name, folder, share)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
