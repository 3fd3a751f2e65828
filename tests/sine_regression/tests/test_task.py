"""Points: data, model and criterion."""

from pathlib import Path

import pytest
import torch

from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, make_data
from {{ cookiecutter.__package }}.models import make_model


def test_points_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("".join(f"{n} {2 * n}\n" for n in range(20)), encoding="utf-8")
    data = make_data(Hyperparameters(data=path))
    assert sum(map(len, (data.train, data.val, data.test))) == 20
    x, y = data.val[0]
    assert y == 2 * x


def test_a_line_without_two_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "points.txt"
    path.write_text("1 2\n3\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2"):
        make_data(Hyperparameters(data=path))


def test_the_loss_is_a_scalar_with_a_gradient() -> None:
    hparams, info = Hyperparameters(), DataInfo(4)
    model = make_model(hparams, info)
    Criterion(hparams, info).loss(model, (torch.rand(4, 1), torch.rand(4))).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
