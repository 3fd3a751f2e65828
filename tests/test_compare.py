"""runs and compare: what a table and a page say of runs, whatever is in their folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Render
from filelock import FileLock
from test_predict import FLAGS, SPLITS, make_data

PACKAGE = "my_torch_project"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

# All of it in one process, because importing torch takes longer than these trainings.
PROGRAM = f"""
import contextlib, io, json, shutil, sys
from pathlib import Path
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine.distributed import Distributed
from {PACKAGE}.engine.errors import Stopped
from {PACKAGE}.engine.run_directory import open_run

def train(name, *flags):
    common = ["--device", "cpu", "--epochs", "2", "--no-report", "--width", "16", "--run", name]
    assert main(["train", *common, *flags]) == 0

linear = ["--model", "linear"]
for seed in "01":
    train(f"mlp-{{seed}}", "--seed", seed)
train("line", *linear)
train("new", "--learning-rate", "0.01")
train("split", *linear, "--split-seed", "1")
for fold in ("1/2", "2/2"):
    train("mlp", "--fold", fold)
    train("line", *linear, "--fold", fold)
for run in sorted(Path("runs").iterdir()):
    if run.name != "new":
        assert main(["evaluate", run.name, "--no-report", "--resamples", "0"]) == 0
shutil.copytree("runs/line", "runs/copy")
shutil.copytree("runs/line", "runs/stale")
file = Path("runs/stale/evaluation.json")
file.write_text(json.dumps(json.loads(file.read_text()) | {{"epoch": 1}}))
rows = [json.loads(line) for line in open("runs/stale/metrics.jsonl")]
assert [row["is_best"] for row in rows] == [True, True]
for name, error in {{"asked": Stopped(15), "broken": RuntimeError("a bad day")}}.items():
    with contextlib.suppress(Exception), open_run(name, None, {{}}, {{}}, Distributed()) as run:
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last.pt").touch()
        raise error

found = {{}}
for what, names in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        count = "1000" if what == "folds" else "20"
        assert main(["compare", *names, "--output", f"{{what}}.html", "--resamples", count]) == 0
    found[what] = out.getvalue()
Path("found.json").write_text(json.dumps(found), encoding="utf-8")
"""
COMPARED = {
    "seeds": ["line", "mlp-0", "runs/mlp-1"],
    "itself": ["line", "copy"],
    "folds": ["mlp-fold-1-2", "mlp-fold-2-2", "line-fold-1-2", "line-fold-2-2"],
    "other samples": ["mlp-0", "split"],
    "not evaluated": ["mlp-0", "new"],
    "stale": ["line", "stale"],
}


@pytest.fixture(scope="module")
def project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs that were compared; found.json has what was printed."""
    project = render(tmp_path_factory.mktemp("compare"), task="tabular_regression")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(COMPARED)],
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def lines_of(project: Path, what: str) -> list[list[str]]:
    """The lines that were printed, cut where there are two spaces or more."""
    printed: str = json.loads((project / "found.json").read_text("utf-8"))[what]
    return [[cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()]


def page_of(project: Path, what: str) -> str:
    return (project / f"{what}.html").read_text("utf-8")


def call(folder: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder with hand-written runs."""
    return subprocess.run(
        [sys.executable, "-B", "-m", PACKAGE, *arguments],
        cwd=folder,
        env=ENVIRONMENT | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
    )


def write_run(folder: Path, name: str, holder: dict[str, Any] | None = None, **values: Any) -> Path:
    """A run of three epochs, of which two are done."""
    run = folder / "runs" / name
    run.mkdir(parents=True)
    known = {key: value for key, value in ({"epochs": 3} | values).items() if value is not None}
    lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
    (run / "hyperparameters.toml").write_text("\n".join(lines), encoding="utf-8")
    rows = [{"epoch": e, "val/loss": 0.5 / e, "seconds": 60.0, "is_best": e == 1} for e in (1, 2)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (run / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    if holder is not None:
        (run / ".holder.json").write_text(json.dumps(holder), encoding="utf-8")
    return run


# --- compare -----------------------------------------------------------------------------------


def test_runs_of_several_seeds_are_one_row_with_mean_and_spread(project: Path) -> None:
    _, _, head, one, many, *_ = lines_of(project, "seeds")
    assert head[:3] == ["run", "model", "seed"]
    assert one[:3] == ["line", "linear", "0"]
    assert many[:3] == ["mlp-0 and 1 more", "tabm", "0, 1"]
    losses = [
        json.loads((project / "runs" / f"mlp-{seed}" / "evaluation.json").read_text())["loss"]
        for seed in range(2)
    ]
    expected = f"{np.mean(losses):.4g} ± {np.std(losses, ddof=1):.2g}"
    assert many[head.index("loss")] == expected


def test_the_interval_is_that_of_the_paired_differences(project: Path) -> None:
    runs = project / "runs"
    folds = [
        [np.load(runs / f"{name}-fold-{k}-2" / "test_predictions.npz")["loss"] for k in (1, 2)]
        for name in ("mlp", "line")
    ]
    paired = [line - mlp for mlp, line in zip(*folds, strict=True)]
    value = np.mean([each.mean() for each in paired])
    error = np.sqrt(sum(each.var() / len(each) for each in paired)) / 2
    row = next(line for line in lines_of(project, "folds") if "loss" in line[1:2])
    low, high = (float(end) for end in row[3].split(" to "))
    assert row[0] == "line-fold-1-2 and 1 more"
    assert float(row[2]) == pytest.approx(value, rel=1e-2)
    assert [low, high] == pytest.approx([value - 1.96 * error, value + 1.96 * error], rel=0.2)
    better = "better" if high < 0 else "worse" if low > 0 else "no difference shown"
    assert row[4] == better


def test_of_a_run_and_its_copy_no_difference_is_shown(project: Path) -> None:
    rows = [line for line in lines_of(project, "itself") if line[:1] == ["copy"]][1:]
    assert [row[1] for row in rows] == ["loss", "mae", "r2", "rmse"]
    assert {tuple(row[2:]) for row in rows} == {("+0", "+0 to +0", "no difference shown")}


def test_runs_of_other_samples_are_not_subtracted(project: Path) -> None:
    printed = json.dumps(lines_of(project, "other samples"))
    assert "were not judged on the same samples" in printed
    assert "no difference shown" not in printed and "95 % interval" not in printed


def test_a_run_that_was_not_evaluated_is_compared_by_validation(project: Path) -> None:
    lines = lines_of(project, "not evaluated")
    assert "evaluate new" in lines[0][-1] and ["On the validation set:"] in lines
    assert len([line for line in lines if line[:1] == ["new"]]) == 5
    assert "Compared on the validation set" in page_of(project, "not evaluated")


def test_what_was_said_of_an_epoch_before_the_best_one_is_not_compared(project: Path) -> None:
    lines = lines_of(project, "stale")
    assert "found a better epoch since: stale" in lines[0][0]
    assert ["On the validation set:"] in lines


def test_the_page_is_one_file_with_everything_inside(project: Path) -> None:
    page = page_of(project, "folds")
    assert page.count("data:image/png;base64,") == 1
    assert "<link" not in page and "<script" not in page and "://" not in page
    for row in lines_of(project, "folds"):
        if len(row) > 4:
            assert all(f">{cell}<" in page for cell in row), row


@pytest.mark.parametrize("task", [task for task in FLAGS if task != "tabular_regression"])
def test_every_task_can_be_compared(render: Render, tmp_path: Path, task: str) -> None:
    project = render(tmp_path, task=task)
    make_data(task, project)
    program = f"""
import shutil, sys
from {PACKAGE}.cli.main import main
assert main(["train", *sys.argv[1:], "--device", "cpu", "--no-report", "--run", "one"]) == 0
assert main(["evaluate", "one", "--no-report", "--resamples", "0"]) == 0
shutil.copytree("runs/one", "runs/two")
assert main(["compare", "one", "two", "--resamples", "20"]) == 0
"""
    command = [sys.executable, "-c", program, *FLAGS[task], *SPLITS]
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.partition("On the test set:")[2]
    metrics = json.loads((project / "runs" / "one" / "evaluation.json").read_text("utf-8"))
    metrics = {name: value for name, value in metrics.items() if isinstance(value, float)}
    assert printed.count("no difference shown") == len(metrics) > 1
    assert all(f"{value:.4g}" in printed for value in metrics.values()), printed


# --- runs --------------------------------------------------------------------------------------


def test_how_a_run_ended_is_kept(project: Path) -> None:
    printed = call(project, project, "runs").stdout
    states = {line.split()[0]: line.split()[1] for line in printed.splitlines()}
    assert states["line"] == "finished" and states["line-fold-1-2"] == "finished"
    assert states["asked"] == "stopped" and states["broken"] == "failed"
    assert "broken: a bad day" in printed and "asked:" not in printed


def test_states_epochs_best_and_differences(project: Path, tmp_path: Path) -> None:
    write_run(tmp_path, "old", {"order": 1}, lr=0.1)
    write_run(tmp_path, "killed", {"order": 2, "ended": None}, lr=0.1)
    write_run(tmp_path, "complete", {"order": 3}, lr=0.1, epochs=2)
    write_run(tmp_path, "default", {"order": 4, "ended": "finished"}, lr=0.1, epochs=None)
    write_run(tmp_path, "trial", {"order": 4, "ended": "finished"}, lr=0.1, limit_batches=2)
    write_run(tmp_path, "now", {"order": 5, "ended": None}, lr=0.2, num_workers=4)
    with FileLock(tmp_path / "runs" / "now" / ".lock"):
        printed = call(tmp_path, project, "runs").stdout
    assert [" ".join(line.split()) for line in printed.splitlines()] == [
        "run state epochs best time differs",
        "old stopped 2/3 loss 0.5 @ 1 2.0 min",
        "killed failed 2/3 loss 0.5 @ 1 2.0 min",
        "complete finished 2/2 loss 0.5 @ 1 2.0 min epochs=2",
        "default finished 2 loss 0.5 @ 1 2.0 min epochs=None",
        "trial finished 2/3 loss 0.5 @ 1 2.0 min limit_batches=2",
        "now running 2/3 loss 0.5 @ 1 2.0 min lr=0.2",
        "killed: It was killed, or the machine went down.",
        "trial: This run is only a trial of the code (--limit-batches 2).",
    ]


def test_damaged_runs_are_named_and_the_others_are_shown(project: Path, tmp_path: Path) -> None:
    write_run(tmp_path, "good")
    (write_run(tmp_path, "rows") / "metrics.jsonl").write_text("{}\n[1]\n", encoding="utf-8")
    half = write_run(tmp_path, "half") / "metrics.jsonl"
    half.write_text(half.read_text("utf-8") + '{"epoch": 3, "va', encoding="utf-8")
    (write_run(tmp_path, "toml") / "hyperparameters.toml").write_bytes(b"\xff\x00")
    odd = '{"epoch": 1, "seconds": "x", "val/loss": "low", "is_best": 1}\n'
    (write_run(tmp_path, "odd", monitor=["loss"]) / "metrics.jsonl").write_text(odd, "utf-8")
    (write_run(tmp_path, "empty") / "metrics.jsonl").unlink()
    (tmp_path / "runs" / "foreign").mkdir()
    (tmp_path / "runs" / "file.txt").touch()
    done = call(tmp_path, project, "runs")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("good", "rows", "half", "toml", "odd", "empty"):
        assert f"\n{name} " in done.stdout
    assert "rows: runs/rows/metrics.jsonl is damaged in line 1." in done.stdout
    assert "toml: runs/toml/hyperparameters.toml is not text in UTF-8" in done.stdout
    assert "Not runs: runs/foreign\n" in done.stdout


def test_without_runs_it_says_so(project: Path, tmp_path: Path) -> None:
    done = call(tmp_path, project, "runs")
    assert done.returncode == 0 and done.stdout == "There are no runs yet: train.\n"


def test_wrong_names_are_refused_with_those_that_exist(project: Path, tmp_path: Path) -> None:
    write_run(tmp_path, "first", {"order": 1})
    write_run(tmp_path, "second", {"order": 2})
    for names, words in {
        ("first", "third"): "There is no run 'third'. The runs are: first, second.",
        ("latest", "second"): "There is nothing to compare.",
        ("x", "y", "first"): "2 of 3 runs cannot be used.",
        ("first", "second", "--output", "no/where.html"): "There is no folder no.",
    }.items():
        done = call(tmp_path, project, "compare", *names)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_runs_that_have_nothing_yet_are_compared_all_the_same(
    project: Path, tmp_path: Path
) -> None:
    for name, rate in (("first", 0.1), ("second", 0.2)):
        write_run(tmp_path, name, learning_rate=rate)
    (write_run(tmp_path, "third") / "metrics.jsonl").unlink()
    done = call(tmp_path, project, "compare", "first", "second", "third")
    assert done.returncode == 0, done.stderr
    assert "first has no metrics yet." in done.stdout
    assert "learning_rate" in (tmp_path / "compare.html").read_text("utf-8")


def test_the_table_of_runs_needs_no_torch(project: Path) -> None:
    program = f"import sys, {PACKAGE}.cli.main as m\nassert m.main(['runs']) == 0\n"
    program += "assert not {'torch', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-B", "-c", program], cwd=project, capture_output=True)
    assert done.returncode == 0, done.stderr
