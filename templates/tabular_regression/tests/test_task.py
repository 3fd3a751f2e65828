"""Numbers and classes from tables: data, models and criterion."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils.data import default_collate

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine.data import BatchIndex
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, make_data
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.report.style import style, to_png
from {{ cookiecutter.__package }}.tabular.columns import bin_edges
from {{ cookiecutter.__package }}.tabular.layers import PiecewiseLinear
from {{ cookiecutter.__package }}.visualize import draw

NUMBERS = DataInfo(100, "y", {}, {}, {}, target_mean=5.0, target_std=2.0)
CLASSES = DataInfo(8, "y", {}, {}, {}, classes=["many", "few"], class_counts=[6, 2])
CLASSIFY: Any = {"objective": "classification"}


def houses(num_rows: int = 60) -> pd.DataFrame:
    """Prices that follow from area, city and garden; with gaps, an identifier and a constant."""
    random, number = np.random.default_rng(0), pd.Series(range(num_rows))
    area, city = random.uniform(30, 200, num_rows), random.choice(["Busan", "Seoul"], num_rows)
    frame = pd.DataFrame({"id": "house " + number.astype(str), "area": area, "city": city})
    frame = frame.assign(garden=random.random(num_rows) < 0.5, country="KR")
    frame["price"] = 1000 + 5 * area + 300 * (city == "Seoul") + 100 * frame["garden"]
    frame.loc[number % 10 == 3, "area"] = frame.loc[number % 10 == 5, "city"] = None
    return frame


def visits(num_rows: int = 90) -> pd.DataFrame:
    """Three ways to travel, which follow from distance and rain."""
    random = np.random.default_rng(0)
    distance, rain = random.uniform(0, 30, num_rows), random.choice(["yes", "no"], num_rows)
    way = np.where(distance > 10, "train", np.where(rain == "yes", "bus", "bicycle"))
    return pd.DataFrame({"distance": distance, "rain": rain, "way": way})


def saved(frame: pd.DataFrame, folder: Path, **values: Any) -> Hyperparameters:
    """The hyperparameters to learn the last column of a frame from a file."""
    frame.to_csv(folder / "table.csv", index=False)
    return Hyperparameters(data=folder / "table.csv", target=frame.columns[-1], **values)


def table(*changed: str, sep: str = ",") -> str:
    """A table of these rows and 20 others."""
    rows = [] if sep == ";" else [f"{n},{n * n % 7}" for n in range(20)]
    return "\n".join(["x,y", *changed, *rows]).replace(",", sep) + "\n"


@pytest.mark.parametrize(("objective", "rows"), [("regression", 442), ("classification", 569)])
def test_the_splits_never_overlap_and_together_are_everything(objective: Any, rows: int) -> None:
    data = make_data(Hyperparameters(objective=objective))
    splits = [{s.describe(i) for i in range(len(s))} for s in (data.train, data.val, data.test)]
    assert sum(map(len, splits)) == len(set.union(*splits)) == rows


def test_statistics_come_from_the_training_rows_alone() -> None:
    data = make_data(Hyperparameters(split_seed=3))
    rows = [data.train[i] for i in range(len(data.train))]
    mean_age = np.mean([float(row[0][0][0]) for row in rows])
    assert data.info.numeric["age"]["mean"] == pytest.approx(mean_age)
    assert data.info.target_mean == pytest.approx(np.mean([float(row[1]) for row in rows]))


def test_a_batch_holds_the_same_as_its_samples(tmp_path: Path) -> None:
    dataset = make_data(saved(houses(), tmp_path)).train
    indices = np.array([5, 0, 7, 3])
    inputs, target = dataset.__getitems__(BatchIndex(indices))
    expected = default_collate([dataset[i] for i in indices])
    torch.testing.assert_close([*inputs, target], [*expected[0], expected[1]], equal_nan=True)


def test_columns_are_used_by_what_stands_in_them_or_as_the_user_says(tmp_path: Path) -> None:
    frame = houses()
    frame.insert(0, "zip_code", [10000 + n % 3 for n in range(60)])
    hparams = saved(frame, tmp_path, drop_columns="garden", categorical_columns="zip_code")
    data = make_data(hparams)
    info, columns = data.info, data.report.columns
    zip_codes, cities = ["10000", "10001", "10002"], ["Busan", "Seoul"]
    assert {name: column["missing"] for name, column in info.numeric.items()} == {"area": True}
    assert info.categorical == {"zip_code": zip_codes, "city": cities}
    assert list(info.left_out) == ["id", "country"]
    left_out = [name for name, how in columns.items() if how.startswith("left out")]
    assert sorted(left_out) == ["country", "garden", "id"] and "6 gaps" in columns["area"]


def test_unseen_and_missing_categories_share_code_zero(tmp_path: Path) -> None:
    frame = houses()
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[:3].assign(city=["Jeju", None, "Seoul"]).to_csv(tmp_path / "test.csv", index=False)
    data = make_data(Hyperparameters(data=tmp_path, target="price"))
    assert [data.test[i][0][1][0].item() for i in range(3)] == [0, 0, 2]
    assert data.test.describe(0) == "row 2 of test.csv"
    assert len(data.train) + len(data.val) == 60


def test_what_is_no_number_or_has_no_target_is_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table("n/a,1", "<5,2", "6,"), encoding="utf-8")
    data = make_data(Hyperparameters(data=path, target="y"))
    assert len(data.train) + len(data.val) + len(data.test) == 22
    second, first = data.report.notes
    assert "'y' is empty in 1 of 23 rows: row 4" in first
    assert "'x' is no number ('<5') in 1 of 23 rows: row 3" in second


def test_a_target_far_from_zero_keeps_its_digits(tmp_path: Path) -> None:
    frame = houses().assign(price=[2_400_000_000 + n % 7 for n in range(60)])
    data = make_data(saved(frame, tmp_path))
    batch = data.val.__getitems__(BatchIndex(np.arange(len(data.val))))
    outputs = Criterion(Hyperparameters(), data.info).evaluate(Constant(batch[1] + 1), batch)
    rows = [int(data.val.describe(i).split()[1]) for i in range(len(data.val))]
    assert outputs["target"].tolist() == pytest.approx([2.4e9 + (row - 2) % 7 for row in rows])
    difference = outputs["prediction"] - outputs["target"]
    assert difference.tolist() == pytest.approx([1.0] * len(rows), abs=1e-5)


def test_rows_of_a_group_are_in_one_split(tmp_path: Path) -> None:
    frame = houses().assign(street=[f"street {n // 5}" for n in range(60)])
    data = make_data(saved(frame[["street", "area", "price"]], tmp_path, group_column="street"))
    streets = [
        {(int(s.describe(i).split()[1]) - 2) // 5 for i in range(len(s))}
        for s in data.splits.values()
    ]
    assert sum(map(len, streets)) == 12 and list(data.info.numeric) == ["area"]


def test_semicolons_decimal_commas_and_quoted_names_are_understood(tmp_path: Path) -> None:
    lines = ['"floor area";price', *(f"{n},5;{2 * n},25" for n in range(20))]
    path = tmp_path / "houses.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    (area, _), price = make_data(Hyperparameters(data=path, target="price")).val[0]
    assert float(price) == pytest.approx(2 * float(area) - 0.75)


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        (table("1,2", "", "1,much"), {}, "'y' is no number ('much') in 1 of 22 rows: row 4"),
        (table("1,2", "1,2,3"), {}, "bad.csv has 3 cells in row 3"),
        (table("1,2,3"), {}, "bad.csv has 3 cells in row 2"),
        (table().replace("x,y\n", ""), {}, "its first line looks like data"),
        (table(*["1.250,3", "950,4"] * 20, sep=";"), {}, "Type --decimal . or --decimal ,"),
        (table("1,2", '"1,2'), {}, "bad.csv has a quotation mark in row 3"),
        (b"x,y\n1,2\n\xff,\xc3\xa4\xc3\xa4\n", {}, "bad.csv is not text in UTF-8 (line 3)"),
        (table().replace("x,y", "y,y"), {}, "bad.csv has two columns 'y'"),
        (table().replace("x,y", "x,Y"), {}, "Did you mean 'Y'?"),
        (table().replace("x,y", ","), {}, "bad.csv has no names of columns"),
        ("x,y\n1,2\n", {}, "bad.csv has 1 rows; at least 10"),
        ("x,y\n", {}, "bad.csv has no rows"),
        ("", {}, "bad.csv is empty"),
        ("x,y\n" + "1,2\n" * 20, {}, "'y' is the same in all training rows of bad.csv"),
        ("x,y\n" + "".join(f"1,{n}\n" for n in range(20)), {}, "bad.csv has no column from which"),
        (visits().rename(columns={"way": "y"}).to_csv(), {}, "--objective classification"),
        (table(), {"target": None}, "--target with one of: x, y"),
        (table(), {"target": "z"}, "no column 'z'. Type --target with one of its columns: x, y"),
        (table(), {"drop_columns": "z"}, "no column 'z'. Type --drop-columns"),
        (table("1,rare", "2,rare"), CLASSIFY, "The class 'rare' has too few rows (2)"),
        ("y\n" + "".join(f"{n}.5\n" for n in range(20)), CLASSIFY, "--objective regression"),
    ],
)
def test_a_table_that_cannot_be_learned_is_refused_with_the_place(
    text: str | bytes, values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as error:
        make_data(Hyperparameters(data=path, **{"target": "y", **values}))
    assert words in str(error.value)


def test_classes_may_be_numbers_and_an_unknown_one_is_named_with_its_row(tmp_path: Path) -> None:
    frame = visits().assign(way=[n % 3 + 8 for n in range(90)])
    frame.to_csv(tmp_path / "train.csv", index=False)
    hparams = Hyperparameters(data=tmp_path, target="way", **CLASSIFY)
    assert make_data(hparams).info.classes == ["8", "9", "10"]
    frame[:3].assign(way=[8, 11, 9]).to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(UserError, match=r"1 of 3 rows: row 3; unknown are 1 of 3 classes: '11'"):
        make_data(hparams)


@pytest.mark.parametrize(("rows", "epochs"), [(64, 200), (1000, 100), (4000, 56), (1_000_000, 10)])
def test_more_rows_are_passed_over_fewer_times(rows: int, epochs: int) -> None:
    assert Hyperparameters().num_epochs(rows) == epochs


def test_a_metric_of_the_other_objective_cannot_choose_the_best_epoch() -> None:
    with pytest.raises(UserError, match="--monitor with one of: loss, r2, rmse, mae"):
        Hyperparameters(monitor="auroc")


@pytest.mark.parametrize("model", ["linear", "mlp", "tabm"])
@pytest.mark.parametrize("objective", ["regression", "classification"])
def test_a_model_starts_at_the_mean_stays_finite_and_learns_with_every_weight(
    model: Any, objective: Any, tmp_path: Path
) -> None:
    classify = objective == "classification"
    hparams = saved(visits() if classify else houses(), tmp_path, model=model, objective=objective)
    data = make_data(hparams)
    info, network = data.info, make_model(hparams, data.info)
    (numeric, categories), target = data.train.__getitems__(BatchIndex(np.arange(20)))
    start = network.eval()(numeric, categories)[0]
    expected = torch.tensor(info.class_counts) / info.num_rows if classify else info.target_mean
    assert (start.softmax(0) if classify else start).tolist() == pytest.approx(expected)
    for parameter in network.parameters():  # away from the zeros at which training starts
        torch.nn.init.normal_(parameter, std=0.3)
    extreme = torch.tensor([[math.nan], [1e30], [-1e30]]).expand(3, numeric.shape[1])
    assert network(extreme, categories[:3]).isfinite().all()
    Criterion(hparams, info).loss(network.train(), ((numeric, categories), target)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("objective", ["regression", "classification"])
def test_members_learn_for_themselves_and_answer_together(objective: Any, tmp_path: Path) -> None:
    classify = objective == "classification"
    frame = visits() if classify else houses()
    data = make_data(saved(frame, tmp_path, objective=objective, dropout=0.0, members=3))
    hparams = Hyperparameters(objective=objective, dropout=0.0, members=3)
    network, criterion = make_model(hparams, data.info), Criterion(hparams, data.info)
    torch.nn.init.normal_(network.get_parameter("network.heads"))
    inputs, target = data.train.__getitems__(BatchIndex(np.arange(20)))
    members, together = network(*inputs), network.eval()(*inputs)
    if classify:
        torch.testing.assert_close(members.softmax(-1).mean(1), together.softmax(-1))
    else:
        torch.testing.assert_close(members.mean(1), together)
    losses = [criterion.sample_losses(members[:, n], target) for n in range(3)]
    torch.testing.assert_close(criterion.sample_losses(members, target), sum(losses) / 3)


def test_numbers_are_encoded_by_bins_with_equally_many_rows() -> None:
    values = np.r_[np.arange(400.0) ** 3, np.nan]
    edges = bin_edges(values, 4)
    mean, std = np.nanmean(values), np.nanstd(values)
    expected = [(n**3 - mean) / std for n in (0, 99.75, 199.5, 299.25, 399)]
    assert edges == pytest.approx(expected, abs=0.001)
    assert len(bin_edges(values[:30], 4)) == 4 and bin_edges(np.zeros(99), 4) == [0.0]
    counts = [len(bin_edges(np.arange(n) + 0.5, 48)) - 1 for n in (100, 700, 1800, 9000)]
    assert counts == [10, 16, 40, 48]
    encoded = PiecewiseLinear([[0.0, 1.0, 3.0], [0.0, 1.0]])(torch.tensor([[2.0, 9.0], [-9, 0]]))
    assert encoded.tolist() == [[0.5, 0.0], [-0.5, -0.5]]


class Constant(torch.nn.Module):
    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer, self.vector = answer, torch.nn.Parameter(torch.ones(3))
        self.matrix = torch.nn.Parameter(torch.full((2, 3), 4.0))

    def forward(self, *_: torch.Tensor) -> torch.Tensor:
        return self.answer


def loss_of(criterion: Criterion, model: Constant, target: torch.Tensor) -> torch.Tensor:
    nothing = torch.empty(len(target), 0)
    return criterion.loss(model, ((nothing, nothing), target))


@pytest.mark.parametrize(("loss", "expected"), [("huber", 0.8125), ("squared", 2.125)])
def test_the_loss_does_not_depend_on_the_unit_of_the_target(loss: Any, expected: float) -> None:
    for unit in (1.0, 1000.0):
        info = replace(NUMBERS, target_mean=5 * unit, target_std=2 * unit)
        prediction, target = torch.tensor([4.0, 9.0]) * unit, torch.tensor([5.0, 5.0]) * unit
        value = loss_of(Criterion(Hyperparameters(loss=loss), info), Constant(prediction), target)
        assert value.item() == pytest.approx(expected)


def test_balanced_classes_count_the_same() -> None:
    logits = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2).requires_grad_()  # equally sure
    criterion = Criterion(Hyperparameters(**CLASSIFY, class_weights="balanced"), CLASSES)
    loss_of(criterion, Constant(logits), torch.tensor([0] * 6 + [1] * 2)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:6, 0].sum(), logits.grad[6:, 1].sum())


def test_the_penalty_is_on_matrices_and_falls_with_the_number_of_rows() -> None:
    model = Constant(torch.full((2,), 5.0))
    loss = loss_of(Criterion(Hyperparameters(ridge_alpha=50.0), NUMBERS), model, model.answer)
    loss.backward()
    assert loss == 0 and model.vector.grad is None and model.matrix.grad is not None
    assert model.matrix.grad.tolist() == [[2 * 4.0 * 50 / 100] * 3] * 2


def measure(hparams: Hyperparameters, info: DataInfo, **outputs: torch.Tensor) -> dict[str, float]:
    criterion, metrics = Criterion(hparams, info), Criterion(hparams, info).metrics()
    criterion.update(metrics, outputs)
    return {name: value.item() for name, value in metrics.compute().items()}


def test_the_area_is_the_mean_over_the_classes_that_are_there() -> None:
    info = replace(CLASSES, classes=["a", "b", "c", "none"], class_counts=[3, 3, 2, 1])
    target, guess = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 0, 2])
    logits = torch.eye(4)[guess] * torch.tensor([3.0, 2.0, 2.0, 2.0, 3.0])[:, None]
    values = measure(Hyperparameters(**CLASSIFY), info, logits=logits, target=target)
    areas = [roc_auc_score(target == c, logits.softmax(1)[:, c]) for c in range(3)]
    assert values["auroc"] == pytest.approx(np.mean(areas))
    assert values["accuracy"] == pytest.approx(0.8)


def test_metrics_are_right_around_a_large_mean_and_for_a_single_row() -> None:
    info, target = replace(NUMBERS, target_mean=2000.0), torch.tensor([1999.0, 2000.0, 2001.0])
    prediction = target + torch.tensor([0.5, 0.0, 0.0])
    values = measure(Hyperparameters(), info, prediction=prediction, target=target, loss=target)
    assert values == pytest.approx({"r2": 0.875, "rmse": (1 / 12) ** 0.5, "mae": 1 / 6}, rel=1e-4)
    one = {"prediction": prediction[:1], "target": target[:1], "loss": target[:1]}
    single = measure(Hyperparameters(), info, **one)
    assert math.isnan(single["r2"])


@pytest.mark.parametrize("objective", ["regression", "classification"])
def test_a_table_of_ones_own_is_learned_and_drawn(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hparams = saved(houses(300) if objective == "regression" else visits(300), Path())
    own = ["--data", "table.csv", "--target", str(hparams.target), "--objective", objective]
    assert main(["train", *own, "--learning-rate", "0.02", "--device", "cpu", "--run", "own"]) == 0
    assert main(["evaluate", "own", "--device", "cpu"]) == 0
    metrics = json.loads(Path("runs/own/evaluation.json").read_bytes())
    assert metrics.get("r2", 1) > 0.75 and metrics.get("accuracy", 1) > 0.85
    figures = {path.stem for path in Path("runs/own/figures").glob("*.png")}
    kind = "residuals" if objective == "regression" else "roc_curves"
    assert {"worst_rows", "test_worst_rows", kind} <= figures


@pytest.mark.parametrize(("num_classes", "is_right"), [(2, True), (2, False), (60, False)])
def test_figures_are_drawn_for_any_number_of_mistakes(num_classes: int, is_right: bool) -> None:
    data, names = make_data(Hyperparameters(**CLASSIFY)), ["<script> 신경망 $x$"] * num_classes
    data = replace(data, info=replace(data.info, classes=names))
    target = np.arange(80) % num_classes
    logits = 5 * np.eye(num_classes, dtype=np.float32)[target - (0 if is_right else 1)]
    predictions: Any = {"index": np.arange(80), "target": target, "logits": logits}
    with style():
        for _, figure, caption in draw(predictions, data):
            assert to_png(figure) and caption
