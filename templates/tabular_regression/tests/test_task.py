"""Numbers and classes from tables: data, models and criterion."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import default_collate

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.datasets import make_data
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.figures import draw
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.models import make_model


def houses(num_rows: int = 60) -> pd.DataFrame:
    """Prices that follow from area, city and garden, with gaps, an identifier and a constant."""
    random, number = np.random.default_rng(0), np.arange(num_rows)
    area, city = random.uniform(30, 200, num_rows), random.choice(["Busan", "Seoul"], num_rows)
    garden = random.random(num_rows) < 0.5
    price = 1000 + 5 * area + 300 * (city == "Seoul") + 100 * garden
    return pd.DataFrame(
        {
            "id": [f"house {n}" for n in number],
            "area": pd.Series(area).mask(number % 10 == 3),
            "city": pd.Series(city).mask(number % 10 == 5),
            "garden": garden,
            "country": "KR",
            "price": price,
        }
    )


def make_settings(frame: pd.DataFrame, folder: Path, **values: Any) -> Hyperparameters:
    """Settings with which the project reads the frame from a file."""
    path = folder / "houses.csv"
    frame.to_csv(path, index=False)
    return Hyperparameters(data=path, target="price", **values)


def visits(num_rows: int = 90) -> pd.DataFrame:
    """Three ways to travel, of which distance and rain decide."""
    random = np.random.default_rng(0)
    distance, rain = random.uniform(0, 30, num_rows), random.choice(["yes", "no"], num_rows)
    way = np.where(distance > 10, "train", np.where(rain == "yes", "bus", "bicycle"))
    return pd.DataFrame({"distance": distance, "rain": rain, "way": way})


def visits_settings(frame: pd.DataFrame, folder: Path, **values: Any) -> Hyperparameters:
    """Settings with which the project learns the ways from a file."""
    path = folder / "visits.csv"
    frame.to_csv(path, index=False)
    return Hyperparameters(data=path, target="way", objective="classification", **values)


def refusal(text: str | bytes, folder: Path, **values: Any) -> str:
    """What the user is told about a file of that content."""
    path = folder / "bad.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as error:
        make_data(Hyperparameters(data=path, **{"target": "y", **values}))
    return str(error.value)


def table(*changed: str) -> str:
    """A file with columns x and y whose first rows are ``changed``."""
    return "\n".join(["x,y", *changed, *(f"{n},{n * n % 7}" for n in range(20))]) + "\n"


def test_the_parts_never_overlap_and_together_are_everything() -> None:
    data = make_data(Hyperparameters())
    parts = [
        {part.describe(i) for i in range(len(part))} for part in (data.train, data.val, data.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 442


def test_statistics_come_from_the_training_rows_alone() -> None:
    data = make_data(Hyperparameters(split_seed=3))
    rows = [data.train[i] for i in range(len(data.train))]
    ages = torch.stack([row[0][0][0] for row in rows]).double()
    targets = torch.stack([row[1] for row in rows]).double()
    age = data.facts["numeric"]["age"]
    assert age["mean"] == pytest.approx(ages.mean().item())
    assert age["std"] == pytest.approx(ages.std(correction=0).item())
    assert data.facts["target_mean"] == pytest.approx(targets.mean().item())


def test_a_fetched_batch_is_that_of_collated_samples(tmp_path: Path) -> None:
    samples: Any = make_data(make_settings(houses(), tmp_path)).train
    indices = [5, 0, 7, 3]
    (numeric, categories), target = samples.fetch(np.array(indices))
    (numeric_too, categories_too), target_too = default_collate([samples[i] for i in indices])
    torch.testing.assert_close(numeric, numeric_too, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(categories, categories_too)
    assert torch.equal(target, target_too)
    assert [x.dtype for x in (numeric, categories, target)] == [
        torch.float32,
        torch.int64,
        torch.float32,
    ]


def test_columns_are_used_by_what_stands_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = make_data(make_settings(houses(), tmp_path)).facts
    assert list(facts["numeric"]) == ["area", "garden"]
    assert [column["missing"] for column in facts["numeric"].values()] == [True, False]
    assert facts["categorical"] == {"city": ["Busan", "Seoul"]}
    notice = capsys.readouterr().err
    assert "'id'" in notice
    assert "'country'" in notice


def test_the_user_can_drop_columns_and_declare_categories(tmp_path: Path) -> None:
    frame = houses().assign(zip_code=[10000 + n % 3 for n in range(60)])
    settings = make_settings(
        frame, tmp_path, drop_columns="id, city", categorical_columns="zip_code"
    )
    facts = make_data(settings).facts
    assert facts["categorical"] == {"zip_code": ["10000", "10001", "10002"]}


def test_unseen_and_missing_categories_share_code_zero(tmp_path: Path) -> None:
    frame = houses()
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[:3].assign(city=["Jeju", None, "Seoul"]).to_csv(tmp_path / "test.csv", index=False)
    data = make_data(Hyperparameters(data=tmp_path, target="price"))
    codes = [data.test[i][0][1].tolist() for i in range(3)]
    assert codes == [[0], [0], [2]]
    assert data.test.describe(0) == "row 2 of test.csv"
    assert len(data.train) + len(data.val) == 60


def test_semicolons_decimal_commas_and_quoted_names_are_understood(tmp_path: Path) -> None:
    lines = ['"floor area";price', *(f"{n},5;{2 * n},25" for n in range(20))]
    (tmp_path / "houses.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    data = make_data(Hyperparameters(data=tmp_path / "houses.csv", target="price"))
    (numeric, _), target = data.train[0]
    assert list(data.facts["numeric"]) == ["floor area"]
    assert float(target) == pytest.approx(2 * float(numeric) - 0.75)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (table("1,?"), "row 2: the target 'y' is empty"),
        (table("1,2", "", "1,much"), "row 4, column 'y': 'much' is not a number"),
        (table("1,2", "one,2"), "row 3, column 'x': 'one' is not a number"),
        (table("1,2", "inf,2"), "row 3, column 'x': 'inf' is too large"),
        (table("1,2", "1,2,3"), "3 cells in row 3"),
        (table("1,2,3"), "more cells in row 2"),
        (table("1,2", '"1,2'), "quotation mark in row 3"),
        (table("1,2", "\udcff,2").encode(errors="surrogateescape"), "not text in UTF-8 (line 3)"),
        (table().replace("x,y", "y,y"), "two columns 'y'"),
        (table().replace("x,y", "x,Y"), "Did you mean 'Y'?"),
        (table().replace("x,y", ","), "no names of columns"),
        ("x,y\n1,2\n", "1 rows; at least 10"),
        ("x,y\n", "no rows"),
        ("", "is empty"),
        ("x,y\n" + "1,2\n" * 20, "'y' is the same in all training rows"),
        ("x,y\n" + "".join(f"1,{n}\n" for n in range(20)), "no column from which"),
    ],
)
def test_bad_tables_are_named_with_the_place(text: str | bytes, words: str, tmp_path: Path) -> None:
    message = refusal(text, tmp_path)
    assert words in message
    assert "bad.csv" in message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"target": None}, "--target with one of: x, y"),
        ({"target": "z"}, "are: x, y"),
        ({"drop_columns": "z"}, "--drop-columns"),
    ],
)
def test_a_wrong_name_brings_those_of_the_table(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in refusal(table(), tmp_path, **values)


def test_texts_as_a_target_are_taken_for_classes_only_where_they_were_asked_for(
    tmp_path: Path,
) -> None:
    assert "--objective classification" in refusal(
        visits().to_csv(index=False), tmp_path, target="way"
    )


def test_a_target_with_a_value_of_its_own_in_each_row_is_no_class(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{n},{n}.5\n" for n in range(20))
    assert "--objective regression" in refusal(text, tmp_path, objective="classification")


def test_a_class_of_too_few_rows_is_named(tmp_path: Path) -> None:
    text = table("1,rare", "2,rare")
    message = refusal(text, tmp_path, objective="classification")
    assert "The class 'rare' has too few rows (2)" in message


def test_a_class_that_training_does_not_know_is_named_with_its_row(tmp_path: Path) -> None:
    frame = visits()
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[:3].assign(way=["bus", "ship", "train"]).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(UserError, match=r"test.csv, row 3: no training row has the class 'ship'"):
        make_data(Hyperparameters(data=tmp_path, target="way", objective="classification"))


def test_a_metric_of_the_other_objective_cannot_choose_the_best_epoch() -> None:
    with pytest.raises(UserError, match="--monitor with one of: loss, accuracy, f1, auroc"):
        Hyperparameters(objective="classification", monitor="rmse")
    with pytest.raises(UserError, match="--monitor with one of: loss, r2, rmse, mae"):
        Hyperparameters(monitor="auroc")


def test_classes_are_in_order_and_in_every_part_in_the_same_proportion(tmp_path: Path) -> None:
    frame = visits(200).assign(way=[str(n % 3 + 8) for n in range(200)])
    data = make_data(visits_settings(frame, tmp_path))
    assert data.facts["classes"] == ["8", "9", "10"]
    for part in (data.train, data.val, data.test):
        labels = [int(part[i][1]) for i in range(len(part))]
        assert max(labels.count(c) for c in range(3)) <= 2 + min(labels.count(c) for c in range(3))


def test_the_tumours_are_all_there() -> None:
    data = make_data(Hyperparameters(objective="classification"))
    assert data.facts["classes"] == ["benign", "malignant"]
    assert sum(map(len, (data.train, data.val, data.test))) == 569
    assert len(data.facts["numeric"]) == 30


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.csv"):
        make_data(Hyperparameters(data=tmp_path / "nothing.csv", target="y"))


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_every_weight_gets_a_gradient(model: Any, tmp_path: Path) -> None:
    settings = make_settings(houses(), tmp_path, model=model)
    data = make_data(settings)
    samples: Any = data.train
    network, batch = make_model(settings, data.facts), samples.fetch(np.arange(20))
    for parameter in network.parameters():  # away from the zeros at which training starts
        torch.nn.init.normal_(parameter, std=0.3)
    assert network(*batch[0]).shape == (20,)
    Criterion(settings, data.facts).loss(network, batch).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_every_weight_of_a_classifier_gets_a_gradient(model: Any, tmp_path: Path) -> None:
    settings = visits_settings(visits(), tmp_path, model=model)
    data = make_data(settings)
    samples: Any = data.train
    network, batch = make_model(settings, data.facts), samples.fetch(np.arange(20))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert network(*batch[0]).shape == (20, 3)
    Criterion(settings, data.facts).loss(network, batch).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_training_starts_at_the_shares_of_the_classes(model: Any, tmp_path: Path) -> None:
    settings = visits_settings(visits(), tmp_path, model=model)
    data = make_data(settings)
    numeric, categories = data.val[0][0]
    logits = make_model(settings, data.facts)(numeric[None], categories[None])
    counts = torch.tensor(data.facts["class_counts"])
    torch.testing.assert_close(logits.softmax(1)[0], counts / counts.sum())


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_training_starts_at_the_mean_of_the_target(model: Any) -> None:
    settings = Hyperparameters(model=model)
    data = make_data(settings)
    numeric, categories = data.val[0][0]
    network = make_model(settings, data.facts)
    prediction = network(numeric[None], categories[None]).item()
    assert prediction == pytest.approx(data.facts["target_mean"])


def test_one_batch_can_be_learned_by_heart(tmp_path: Path) -> None:
    settings = make_settings(houses(), tmp_path, dropout=0.0, ridge_alpha=0.0)
    data = make_data(settings)
    samples: Any = data.train
    torch.manual_seed(0)
    network, criterion = make_model(settings, data.facts), Criterion(settings, data.facts)
    batch = samples.fetch(np.arange(16))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(200):
        loss = criterion.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


def test_gaps_and_extreme_values_give_a_finite_prediction() -> None:
    settings = Hyperparameters()
    network = make_model(settings, make_data(settings).facts)
    rows = torch.tensor([[math.nan], [1e30], [-1e30]]).expand(3, 10)
    assert network(rows, torch.empty(3, 0, dtype=torch.int64)).isfinite().all()


@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_the_loss_does_not_depend_on_the_unit_of_the_target(loss: Any) -> None:
    values = []
    for unit in (1.0, 1000.0):
        facts = {"num_rows": 2, "target_mean": 5 * unit, "target_std": 2 * unit}
        criterion = Criterion(Hyperparameters(loss=loss), facts)
        prediction, target = torch.tensor([4.0, 9.0]) * unit, torch.tensor([5.0, 5.0]) * unit
        nothing = (torch.empty(2, 0), torch.empty(2, 0))
        values.append(criterion.loss(Constant(prediction), (nothing, target)).item())
    assert values[0] == pytest.approx(values[1])
    assert values[0] == pytest.approx({"squared": 2.125, "huber": 0.8125}[loss])


class Constant(torch.nn.Module):
    """A model that knows its answer."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *_: torch.Tensor) -> torch.Tensor:
        return self.answer


def test_balanced_classes_count_the_same() -> None:
    facts = {"num_rows": 8, "classes": ["many", "few"], "class_counts": [6, 2]}
    settings = Hyperparameters(objective="classification", balanced=True)
    logits = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2)  # all right, all equally sure
    target = torch.tensor([0] * 6 + [1] * 2)
    batch = ((torch.empty(8, 0), torch.empty(8, 0)), target)
    weighted, plain = (
        Criterion(chosen, facts)
        for chosen in (settings, Hyperparameters(objective="classification"))
    )
    model = Constant(logits.requires_grad_())
    assert weighted.loss(model, batch).item() == pytest.approx(plain.loss(model, batch).item())
    weighted.loss(model, batch).backward()
    assert logits.grad is not None
    of_each_class = logits.grad[:6, 0].sum(), logits.grad[6:, 1].sum()
    assert of_each_class[0].item() == pytest.approx(of_each_class[1].item())


def test_the_area_is_the_mean_over_the_classes_that_are_there() -> None:
    facts = {"num_rows": 9, "classes": ["a", "b", "c", "none"], "class_counts": [3, 3, 2, 1]}
    criterion = Criterion(Hyperparameters(objective="classification"), facts)
    target = torch.tensor([0, 0, 1, 1, 2])
    logits = torch.tensor(
        [[3.0, 0, 0, 0], [2.0, 0, 0, 0], [0, 2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 3.0, 0]]
    )
    metrics = criterion.metrics()
    criterion.update(metrics, {"logits": logits, "target": target})
    expected = [
        roc_auc_score(target == number, logits.softmax(1)[:, number]) for number in range(3)
    ]
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values["auroc"] == pytest.approx(np.mean(expected))
    assert values["accuracy"] == pytest.approx(0.8)


def test_the_penalty_is_on_the_blocks_and_falls_with_the_number_of_rows() -> None:
    facts = {"num_rows": 100, "target_mean": 0.0, "target_std": 1.0}
    criterion = Criterion(Hyperparameters(ridge_alpha=50.0), facts)
    model = Constant(torch.zeros(2))
    model.vector = torch.nn.Parameter(torch.ones(3))
    batch = ((torch.empty(2, 0), torch.empty(2, 0)), torch.zeros(2))
    model.matrix = torch.nn.Parameter(torch.full((2, 3), 4.0))
    loss = criterion.loss(model, batch)
    loss.backward()
    assert loss == 0
    assert model.vector.grad is None
    assert model.matrix.grad is not None
    assert model.matrix.grad.tolist() == [[2 * 4.0 * 50 / 100] * 3] * 2


def test_metrics_are_right_around_a_large_mean_and_for_a_single_row() -> None:
    facts = {"num_rows": 3, "target_mean": 2000.0, "target_std": 1.0}
    criterion = Criterion(Hyperparameters(), facts)
    target = torch.tensor([1999.0, 2000.0, 2001.0])
    outputs = {"prediction": target + torch.tensor([0.5, 0.0, 0.0]), "target": target}
    metrics = criterion.metrics()
    criterion.update(metrics, outputs)
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"r2": 0.875, "rmse": (1 / 12) ** 0.5, "mae": 1 / 6}, rel=1e-4)
    single = criterion.metrics()
    criterion.update(single, {name: value[:1] for name, value in outputs.items()})
    assert math.isnan(single.compute()["r2"])


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_table_of_ones_own_trains_and_predicts_in_its_units(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    houses(300).to_csv("houses.csv", index=False)
    flags = ["--data", "houses.csv", "--target", "price", "--model", model, "--device", "cpu"]
    assert main(["train", *flags, "--run", "own", "--no-report", "--learning-rate", "0.02"]) == 0
    assert main(["evaluate", "own", "--device", "cpu"]) == 0
    metrics = json.loads(Path("runs/own/evaluation.json").read_text())
    predictions = np.load("runs/own/predictions.npz")
    assert metrics["r2"] > 0.75
    assert abs(predictions["prediction"].mean() - predictions["target"].mean()) < 100
    assert predictions["target"].min() > 1000


def test_classes_of_ones_own_are_learned_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    visits(400).to_csv("visits.csv", index=False)
    flags = ["--data", "visits.csv", "--target", "way", "--objective", "classification"]
    flags += ["--monitor", "accuracy", "--device", "cpu", "--epochs", "30"]
    assert main(["train", *flags, "--run", "own"]) == 0
    assert main(["evaluate", "own", "--device", "cpu"]) == 0
    assert json.loads(Path("runs/own/evaluation.json").read_text())["accuracy"] > 0.85
    figures = {path.stem for path in Path("runs/own/figures").glob("*.png")}
    assert {"confusion_matrix", "classes", "roc_curves", "calibration", "worst_rows"} <= figures


@pytest.mark.parametrize("num_classes", [2, 60])
@pytest.mark.parametrize("right", [True, False])
def test_figures_of_classes_stand_any_number_of_mistakes(num_classes: int, right: bool) -> None:
    data = make_data(Hyperparameters(objective="classification"))
    data.facts["classes"] = [f"<script> {n} 신경망 $x$" for n in range(num_classes)]
    target = np.arange(80) % num_classes
    logits = np.zeros((80, num_classes), dtype=np.float32)
    logits[np.arange(80), target if right else (target + 1) % num_classes] = 5
    predictions: dict[str, np.ndarray] = {
        "index": np.arange(80),
        "target": target,
        "logits": logits,
    }
    for _, figure, caption in draw(predictions, data):
        figure.savefig(io.BytesIO(), format="png")
        assert caption
