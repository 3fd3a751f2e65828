"""The rendered projects, lived in: trained, judged, compiled, used as their README says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CHOICES, TEMPLATE, Render
from PIL import Image
from promises import PROMISES
from readme_data import MAKERS

TASKS = CHOICES["task"]
PACKAGE = "my_torch_project"
# One thread computes the same numbers everywhere, and is steady on machines that others use too.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
}
SMALL = ["--val-fraction", "0.05", "--test-fraction", "0.85", "--batch-size", "8"]
BRIEF = [*SMALL, "--device", "cpu", "--no-report", "--epochs"]


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, env=ENVIRONMENT, capture_output=True, text=True
    )


def python(project: Path, *arguments: str) -> str:
    """What a command prints; it must succeed."""
    done = call(project, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    """Each task; the tests of one run in the same process, which trains once for all of them."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def trained(task: str, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was trained with its defaults and evaluated, once for all tests of a task."""
    project = render(tmp_path_factory.mktemp("trained"), task=task)
    python(project, "train.py", "--device", "cpu", "--precision", "fp32", "--run", "first")
    python(project, "-m", PACKAGE, "evaluate", "first", "--device", "cpu")
    return project


def evaluation(project: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads(
        (project / "runs" / "first" / "evaluation.json").read_text("utf-8")
    )
    return metrics


def test_the_stated_quality_is_reached(trained: Path, task: str) -> None:
    PROMISES[task](trained, evaluation(trained), "test")


def test_classes_from_a_table_are_learned(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path, task="tabular_regression")
    flags = ["--objective", "classification", "--device", "cpu", "--run", "first", "--no-report"]
    python(project, "train.py", *flags)
    python(project, "-m", PACKAGE, "evaluate", "first", "--device", "cpu")
    assert evaluation(project)["auroc"] >= 0.98
    assert evaluation(project)["accuracy"] >= 0.93


def test_a_run_leaves_a_report_with_its_figures(trained: Path) -> None:
    run = trained / "runs" / "first"
    page = (run / "report.html").read_text("utf-8")
    figures = list((run / "figures").glob("*.png"))
    assert len(figures) >= 3
    assert page.count("data:image/png;base64,") == len(figures)
    for path in figures:
        with Image.open(path) as image:
            assert image.width > 200
            assert np.asarray(image.convert("L")).std() > 1, f"{path} is blank"


def test_best_is_chosen_on_validation_and_evaluated_as_it_was_saved(trained: Path) -> None:
    run = trained / "runs" / "first"
    best = torch.load(run / "checkpoints" / "best.pt", weights_only=True)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    row = rows[best["epoch"] - 1]
    assert {name: row[f"val/{name}"] for name in best["metrics"]} == best["metrics"]
    predictions = np.load(run / "predictions.npz", allow_pickle=False)
    assert predictions["loss"].mean() == pytest.approx(best["metrics"]["loss"], rel=1e-4)


def test_two_processes_train_as_one(rendered: Render, tmp_path: Path) -> None:
    """On systems without fork, which test_stress.py needs to compare them for every task."""
    project = shutil.copytree(rendered(), tmp_path / "project")
    flags = ["train.py", *BRIEF, "2", "--precision", "fp32", "--run"]
    python(project, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--", *flags, "two")
    python(project, *flags, "one")
    two, one = (
        torch.load(project / "runs" / name / "checkpoints" / "last.pt", weights_only=True)
        for name in ("two", "one")
    )
    assert two["progress"]["step"] == one["progress"]["step"]
    assert two["model"].keys() == one["model"].keys()
    python(project, "-m", PACKAGE, "evaluate", "two", "--device", "cpu")


def test_half_precision_trains_too(trained: Path) -> None:
    python(trained, "train.py", *BRIEF, "1", "--precision", "bf16")


def test_nothing_is_compiled_after_the_first_epoch(trained: Path) -> None:
    program = f"""
from torch._dynamo.utils import counters
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine.metric_log import MetricLog
graphs, end_epoch = [], MetricLog.end_epoch
def counted(*arguments):
    graphs.append(counters["stats"]["unique_graphs"])
    end_epoch(*arguments)
MetricLog.end_epoch = counted
assert main(["train", "--compile", "--ema-decay", "0.9", *{BRIEF}, "2"]) == 0
assert 0 < graphs[0] == graphs[1], graphs
"""
    python(trained, "-c", program)


ODD_ANSWERS = {
    "project_name": "  3D 신경망 \"모델\" 🧠 {x} \\ 'y'  ",
    "description": 'Sagt "ja"\nund \\nein\\ {y} 🚀 שלום',
    "author_name": 'O\'Brien "Bob" \\ 김',
}


@pytest.mark.parametrize("task", TASKS, ids=lambda name: f"tests of {name}")
def test_a_project_passes_its_own_tests_whatever_its_name(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task, **ODD_ANSWERS)
    output = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert re.search(r"\d+ passed", output)


def commands_in(readme: Path) -> list[str]:
    """The commands of a README that need no installation and no connection."""
    text = readme.read_text("utf-8").replace("{{ cookiecutter.__package }}", PACKAGE)
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    table = re.findall(r"^\| `(python .*?)` \|", text, re.MULTILINE)
    own = ("python train.py", f"python -m {PACKAGE}", "torchrun ")
    return [command for command in [*lines, *table] if command.startswith(own)]


@pytest.mark.parametrize("task", TASKS, ids=lambda name: f"of {name}")
def test_the_commands_of_the_readme_work_as_written(
    render: Render, tmp_path: Path, task: str
) -> None:
    """All of them in the first task, in the others those that the task has of its own."""
    project = render(tmp_path, task=task)
    commands = commands_in(project / "README.md")
    assert len(commands) >= 8
    if task != TASKS[0]:
        commands = commands_in(TEMPLATE / "templates" / task / "README.md")
    MAKERS[task](project)
    with (project / "device.toml").open("a") as file:  # a flag that is typed is above this
        file.write("epochs = 1\n")
    environment = ENVIRONMENT | {"TORCH_HOME": str(project / "torch")}
    runs = project / "runs"
    for command in dict.fromkeys(commands):
        typed = command.replace("NAME", next(runs.iterdir()).name if runs.exists() else "")
        typed = typed.replace("FILES", "data")
        done = subprocess.run(
            typed.split(), cwd=project, env=environment, capture_output=True, text=True
        )
        needs_gpu = "find-batch-size" in command and not torch.accelerator.is_available()
        assert done.returncode == (2 if needs_gpu else 0), f"{typed}\n{done.stdout}{done.stderr}"


def test_every_model_of_torchvision_gets_a_new_head(rendered: Render) -> None:
    program = f"""
import torch
from torchvision import models
from {PACKAGE}.hyperparameters import Hyperparameters
from {PACKAGE}.loaders import DataInfo
from {PACKAGE}.models import make_model
from {PACKAGE}.vision.classifiers import preprocessing
for name in models.list_models(module=models):
    if name.startswith("regnet_") and name != "regnet_y_400mf":
        continue  # one builder makes them all, and cannot on the meta device
    size = preprocessing(name).crop_size
    info = DataInfo(["a", "b", "c"], [1, 1, 1], channels=1, image_size=size, mean=[0.5], std=[0.2])
    with torch.device("cpu" if name.startswith("regnet_") else "meta"):
        logits = make_model(Hyperparameters(model=name), info)(torch.rand(2, 1, size, size))
    assert logits.shape == (2, 3), name
"""
    python(rendered(task="image_classification"), "-B", "-c", program)


@pytest.mark.parametrize("task", TASKS, ids=lambda name: f"start of {name}")
def test_start_is_quick_because_nothing_large_is_imported(task: str, rendered: Render) -> None:
    """Up to the help, and so up to the first use of torch."""
    program = f"import sys, {PACKAGE}.cli.main as m\n"
    program += "try: m.main(['train', '--help'])\nexcept SystemExit: pass\n"
    program += "assert 'tyro' in sys.modules, 'not tried'\n"
    program += "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    python(rendered(task=task), "-B", "-c", program)


@pytest.mark.parametrize("task", TASKS, ids=lambda name: f"step of {name}")
def test_the_first_step_does_not_wait_for_metrics_and_plots(task: str, rendered: Render) -> None:
    late = {"torchmetrics", "matplotlib", "scipy.signal"}
    program = f"import sys, {PACKAGE}.train\nassert not {late} & set(sys.modules)"
    python(rendered(task=task), "-B", "-c", program)


def test_a_missing_package_is_a_sentence_with_the_remedy(rendered: Render) -> None:
    done = call(rendered(), "-S", "-B", "train.py")
    assert done.returncode == 1
    assert "pip install -r requirements-torch.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_left_of_a_run_that_could_not_begin(rendered: Render, tmp_path: Path) -> None:
    project = shutil.copytree(rendered(), tmp_path / "project")
    done = call(project, "train.py", "--data", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr and "Traceback" not in done.stderr
    assert not list((project / "runs").glob("*"))
