"""What several tests share: short trainings on the data that comes with the project."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import make_data

Train = Callable[..., Path]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains two epochs on a small part of the data, with more flags; returns the run's folder."""
    folder = tmp_path_factory.mktemp("project")
    many = len(make_data(Hyperparameters()).train) > 1500
    parts = ["--val-fraction", "0.08" if many else "0.05"]
    parts += ["--test-fraction", "0.9" if many else "0.85"]

    def train(name: str, *flags: str, exit_code: int = 0) -> Path:
        common = ["train", "--epochs", "2", "--device", "cpu", "--precision", "fp32", "--no-report"]
        common += [*parts, "--batch-size", "8"]
        named = [] if "--resume" in flags else ["--run", name]
        with contextlib.chdir(folder):
            assert main([*common, *named, *flags]) == exit_code
        return folder / "runs" / name

    return train


@pytest.fixture(scope="session")
def trained(train: Train) -> Path:
    """The folder of a finished run."""
    return train("finished")


def rows(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, without what depends on the clock and the machine."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    timing = {"seconds", "samples_per_second", "peak_memory_mib"}
    return [{k: v for k, v in json.loads(line).items() if k not in timing} for line in lines]


def weights(run: Path, name: str = "last.pt") -> dict[str, Any]:
    """The model's tensors in a checkpoint of the run."""
    content = torch.load(run / "checkpoints" / name, weights_only=True)
    model: dict[str, Any] = content["model"]
    return model


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether all tensors are the same to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
