"""evaluate: intervals that hold what they promise, and what else is said of a test set."""

import importlib.util
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import PROJECT, Render
from test_predict import FLAGS, PACKAGE, SPLITS, call, make_data

NUM_SETS = 1000
Draw = Callable[[np.random.Generator], np.ndarray]


def load(name: str) -> ModuleType:
    """A file of the project that needs nothing else of it."""
    file = PROJECT / "{{cookiecutter.__package}}" / "engine" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    return load("bootstrap")


def coverage(
    bootstrap: ModuleType, sets: np.ndarray, truth: float, groups: np.ndarray | None = None
) -> float:
    """How many of the intervals of means of (sets, samples) have the true mean inside.

    Some of the sets share their draws, which is faster; if all did, the result would hang on them.
    """
    num_samples, ends = sets.shape[1], []
    for seed, some in enumerate(np.split(sets, 25)):
        draws = bootstrap.resamples(num_samples, 1000, groups=groups, seed=seed)
        weights = np.stack([np.bincount(drawn, minlength=num_samples) for drawn in draws])
        means = some @ (weights / weights.sum(axis=1, keepdims=True)).T
        ends += [bootstrap.interval(values) for values in means]
    low, high = np.array(ends).T
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda generator: generator.random((NUM_SETS, 150)) < 0.8, 0.8),  # an accuracy
        (lambda generator: generator.random((NUM_SETS, 400)) < 0.95, 0.95),
        (lambda generator: generator.exponential(2.0, (NUM_SETS, 200)), 2.0),  # a skewed loss
    ],
)
def test_95_percent_of_the_intervals_have_the_truth_inside(
    bootstrap: ModuleType, draw: Draw, truth: float
) -> None:
    sets = draw(np.random.default_rng(1)).astype(float)
    assert 0.93 <= coverage(bootstrap, sets, truth) <= 0.97


def test_intervals_over_groups_have_the_truth_inside_where_those_over_samples_have_not(
    bootstrap: ModuleType,
) -> None:
    generator = np.random.default_rng(2)
    groups = np.repeat([f"patient {number}" for number in range(80)], 5)
    of_groups = generator.normal(size=(NUM_SETS, 80)).repeat(5, axis=1)
    sets = of_groups + 0.5 * generator.normal(size=(NUM_SETS, 400))
    assert 0.93 <= coverage(bootstrap, sets, 0.0, groups) <= 0.97
    assert coverage(bootstrap, sets, 0.0) < 0.75


def test_resamples_repeat_and_take_whole_groups(bootstrap: ModuleType) -> None:
    groups = np.array(["b", "a", "b", "c", "b", "a"])
    first, again = (list(bootstrap.resamples(6, 20, groups=groups, seed=3)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for drawn in first:
        counts = np.bincount(drawn, minlength=6)
        assert counts[0] == counts[2] == counts[4] and counts[1] == counts[5]
        assert counts[0] + counts[1] + counts[3] == 3
    assert math.isnan(bootstrap.interval(np.array([np.nan]))[0])


@pytest.mark.parametrize("num_samples", [9, 20, 66])
def test_90_percent_of_new_numbers_lie_in_their_interval(num_samples: int) -> None:
    conformal, generator = load("conformal"), np.random.default_rng(4)
    inside = []
    for _ in range(4000):  # with errors that are skewed, and larger for some than for others
        sizes = generator.exponential(1.0, num_samples + 1)
        target = sizes * generator.exponential(1.0, num_samples + 1)
        outputs = {"prediction": np.zeros(num_samples), "target": target[:-1]}
        margin = conformal.find_margin(outputs)
        new = conformal.with_bounds({"prediction": np.zeros(1)}, margin)
        inside.append(new["low"][0] <= target[-1] <= new["high"][0])
    expected = np.ceil(0.9 * (num_samples + 1)) / (num_samples + 1)
    assert np.mean(inside) == pytest.approx(expected, abs=0.015) and expected >= 0.9


def test_there_are_no_intervals_of_classes_or_of_too_few_samples() -> None:
    find_margin = load("conformal").find_margin
    assert find_margin({"prediction": np.zeros(8), "target": np.ones(8)}) is None
    assert find_margin({"logits": np.zeros((50, 2)), "target": np.ones(50)}) is None


# In one process for each task: train, evaluate, and look at what was written.
PROGRAM = f"""
import json, sys
import numpy as np, torch
from pathlib import Path
from {PACKAGE}.cli.main import main

flags, more = sys.argv[1].split(), sys.argv[2].split()
assert main(["train", "--device", "cpu", "--run", "own", "--no-report", *flags]) == 0
command = ["evaluate", "own", "--device", "cpu", "--resamples", "200"]
assert main([*command, *more, "--no-report"]) == 0
run = Path("runs/own")
said = json.loads((run / "evaluation.json").read_bytes())
test = np.load(run / "test_predictions.npz")
metrics = {{name: value for name, value in said.items() if isinstance(value, float)}}
known = {{name for name, value in metrics.items() if value == value}}
assert known == said["intervals"].keys(), said
for name, (low, high) in said["intervals"].items():
    assert low - 1e-6 <= metrics[name] <= high + 1e-6 and low < high, (name, low, high)
assert len(test["place"]) == len(test["loss"]) == said["bootstrap"]["samples"]
assert said["worst"][0]["loss"] == test["loss"].max()
assert said["worst"][0]["sample"] == test["place"][test["loss"].argmax()]

from {PACKAGE}.cli.arguments import load_settings
from {PACKAGE}.criterion import Criterion
from {PACKAGE}.engine.intervals import make_scorer
from {PACKAGE}.loaders import make_data
hparams = load_settings(run).hparams
data = make_data(hparams)
score = make_scorer(Criterion(hparams, data.info), dict(test))
again = score(np.arange(len(data.test)))
assert np.allclose([again[n] for n in known], [metrics[n] for n in known], atol=1e-4), again
"""

BOXES = """
from my_torch_project.vision.metrics import AveragePrecision
generator = np.random.default_rng(0)
for _ in range(3):  # other images, some of them twice
    n = generator.integers(len(data.test), size=20)
    metric = AveragePrecision()
    names = [*metric.NAMES, "loss"]
    metric.update({name: torch.from_numpy(test[name][n]) for name in names})
    for name, value in metric.compute().items():
        assert abs(float(value) - score(n)[name]) < 2e-3, (name, value, score(n))
"""

TEXTS = """
assert said["bootstrap"]["groups"] == len(set(test["group"])) == 15
rows = said["subgroups"]["rows"]
assert {row["value"]: row["samples"] for row in rows} == {"shop": 40, "web": 20}
right = test["logits"].argmax(1) == test["target"]
mean = sum(row["accuracy"] * row["samples"] for row in rows) / 60
assert abs(mean - right.mean()) < 1e-6 and all(row["intervals"] for row in rows)

thresholds = said["thresholds"]
assert thresholds["class"] == "good" and [row["rule"] for row in thresholds["rows"]][0]
says = torch.from_numpy(test["logits"]).softmax(1)[:, 1].numpy() >= 0.5
assert thresholds["rows"][0]["recall"] == says[test["target"] == 1].mean()

from my_torch_project.engine.judgement import describe_subgroups
some = {"by": "place", "resamples": 200, "rows": [{"samples": 40}]}
assert describe_subgroups({"subgroups": some, "bootstrap": {"samples": 60}}) == (
    "Subgroups by place, with intervals from 200 resamples. "
    "Only the largest 1 are shown; the others have 20 samples."
)
assert said["epoch"] == torch.load(run / "checkpoints" / "best.pt", weights_only=True)["epoch"]

# A temperature is kept with the model: same answers, other probabilities, also for predict.
assert "temperature" not in said["calibration"]
assert main(["predict", "own", "reviews.csv", "--output", "before.jsonl"]) == 0
assert main([*command, "--calibrate"]) == 0
assert main(["predict", "own", "reviews.csv", "--output", "after.jsonl"]) == 0
kept = json.loads((run / "calibration.json").read_bytes())["temperature"]
cooled = np.load(run / "test_predictions.npz")["logits"]
assert np.allclose(cooled * kept, test["logits"], atol=1e-4) and abs(kept - 1) > 0.01
before, after = ([json.loads(l) for l in open(f"{n}.jsonl")] for n in ("before", "after"))
assert [row["class"] for row in before] == [row["class"] for row in after]
assert any(a["probability"] != b["probability"] for a, b in zip(before, after))
page = (run / "report.html").read_text("utf-8")
assert "My Torch Project" in page and "95 % interval" in page and "@page" in page
assert (run / "figures" / "test_thresholds.png").exists() and "Worst samples" in page

from my_torch_project.engine.calibration import calibration_error, fit_temperature
torch.manual_seed(0)
logits = torch.randn(4000, 3) * 2
target = torch.distributions.Categorical(logits=logits).sample().numpy()
overconfident = (logits * 2.5).numpy()
found = fit_temperature(overconfident, target)
assert abs(found - 2.5) < 0.15, found
assert calibration_error(overconfident / found, target) < 0.03
assert calibration_error(overconfident, target) > 0.1

# What cannot be done is a sentence.
kept = (run / "test_predictions.npz").stat().st_mtime_ns
assert main([*command, "--by", "nothing"]) == 2
assert main(["evaluate", "own", "--by", "all"]) == 2
assert (run / "test_predictions.npz").stat().st_mtime_ns == kept  # refused at once
(run / "calibration.json").write_text("{", encoding="utf-8")
assert main(command) == 2
"""


def write_reviews(project: Path) -> None:
    """Reviews by authors, some of whom mistake good for bad, from two places."""
    generator = random.Random(0)
    lines = ["text,label,author,place,all"]
    for number in range(300):
        label = generator.choice(["good", "bad"])
        said = label if number % 5 else {"good": "bad", "bad": "good"}[label]
        words = " ".join(generator.sample(["tea", "door", "lamp", "rain", "book"], 3))
        lines.append(f"a {said} {words},{label},a{number // 4},{'shop' if number % 3 else 'web'},1")
    (project / "reviews.csv").write_text("\n".join(lines), encoding="utf-8")


def test_texts_have_subgroups_thresholds_and_a_temperature(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path, task="text_classification")
    write_reviews(project)
    flags = "--data reviews.csv --group-column author --test-fraction 0.2 --epochs 4"
    done = call(project, "-c", PROGRAM + TEXTS, flags, "--by place")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 groups (60 samples)" in done.stdout and "best F1" in done.stdout


@pytest.mark.parametrize("task", ["object_detection", "semantic_segmentation"])
def test_metrics_that_take_long_are_the_same_when_they_are_made_quickly(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task)
    make_data(task, project)
    checks = BOXES if task == "object_detection" else ""
    flags = ["--image-size", "64", *SPLITS] if checks else [*FLAGS[task], *SPLITS]
    done = call(project, "-c", PROGRAM + checks, " ".join(flags), r"--by (\d)\D*$")
    assert done.returncode == 0, done.stdout + done.stderr
    assert r"(\d)\D*$ = " in done.stdout
