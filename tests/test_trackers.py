"""Runs in real trackers: each step once, however a run ended; and nothing of them without a flag.

A tracker that is not installed is skipped; tools/install.py installs them all.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Render

PACKAGE = "my_torch_project"
FLAGS = ["--device", "cpu", "--epochs", "3", "--batch-size", "64"]

# A run that loses its tracker in epoch 1, is killed in epoch 2 before its row is sent, resumed,
# killed after the row is sent but not in a checkpoint, and resumed. What the tracker then has is
# printed by a function `read(run)`.
INTERRUPTED = f"""
import json, os, signal, sys
from pathlib import Path
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine.trackers import Tracker
from {PACKAGE}.engine.tracking import Tracking
import {PACKAGE}.train

feed, send = Tracking.feed, Tracker.feed

def killed_before(tracking, rows):
    os.kill(os.getpid(), signal.SIGKILL) if len(rows) == 2 else feed(tracking, rows)

def killed_after(tracking, rows):
    feed(tracking, rows)
    os.kill(os.getpid(), signal.SIGKILL) if len(rows) == 2 else None

def is_down(tracker, rows):
    raise ConnectionError("nobody is there")

def attempt(feed, send, *flags):
    child = os.fork()
    if child == 0:
        Tracking.feed, Tracker.feed = feed, send
        os._exit(main(["train", *flags]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

tracker, *flags = sys.argv[1:]
assert attempt(killed_before, is_down, "--track", tracker, "--run", "own", *flags) == -9
assert attempt(killed_after, send, "--resume", "own") == -9
assert attempt(feed, send, "--resume", "own") == 0
print("\\n" + json.dumps(read(Path("runs/own"))))
"""

READERS = {
    "tensorboard": """
def read(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(run / "tensorboard"), {"scalars": 0})
    events.Reload()
    tags = events.Tags()
    values = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in tags["scalars"]}
    return values, tags["images"] + [name.partition("/")[0] for name in tags["tensors"]]
""",
}


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("trackers"), task="tabular_regression")


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
@pytest.mark.parametrize("tracker", READERS)
def test_a_run_that_was_killed_goes_on_with_every_step_once(
    tracker: str, render: Render, tmp_path: Path
) -> None:
    pytest.importorskip(tracker)
    project = render(tmp_path, task="tabular_regression")

    done = call(project, "-c", READERS[tracker] + INTERRUPTED, tracker, *FLAGS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("nobody is there") == 1
    values, files = json.loads(done.stdout.splitlines()[-1])
    lines = (project / "runs" / "own" / "metrics.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert set(values) == set(rows[0]) - {"step"} and len(rows) == 3
    for name, points in values.items():
        assert [step for step, _ in points] == [row["step"] for row in rows], name
    for name in ("train/loss", "val/r2", "lr"):  # the others are of the clock
        assert [v for _, v in values[name]] == pytest.approx([row[name] for row in rows])
    assert {"hyperparameters.toml", "report.html", "learning_curves", "residuals"} <= set(files)


def test_without_the_flag_no_tracker_is_imported(project: Path) -> None:
    program = f"""
import sys
from {PACKAGE}.cli.main import main
assert main(["train", *sys.argv[1:]]) == 0
print([name for name in sys.modules if name.partition(".")[0] in ("mlflow", "tensorboard", "wandb")])
"""
    done = call(project, "-c", program, *FLAGS, "--run", "alone", "--no-report")

    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert not (project / "runs" / "alone" / "tracking.txt").exists()


def test_a_missing_package_is_an_error_where_it_was_asked_for_and_else_a_note(
    project: Path,
) -> None:
    program = f"""
import importlib.util, sys
from {PACKAGE}.cli.main import main
importlib.util.find_spec = lambda name: None
sys.exit(main(["train", *sys.argv[1:]]))
"""
    flags = [*FLAGS, "--no-report"]
    done = call(project, "-c", program, *flags, "--track", "tensorboard", "wandb")
    assert done.returncode == 2 and "tensorboard and wandb" in done.stderr
    assert "--extra tracking" in done.stderr and "Traceback" not in done.stderr

    (project / "team.toml").write_text('track = ["mlflow"]', encoding="utf-8")
    done = call(project, "-c", program, *flags, "--config", "team.toml")
    assert done.returncode == 0 and done.stderr.count("Warning: The package mlflow") == 1


def test_a_tracker_that_breaks_costs_one_warning(project: Path) -> None:
    pytest.importorskip("tensorboard")
    program = f"""
import sys
from pathlib import Path
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine import tracking
tracking.PATIENCE = 0  # so that it is tried after every epoch
create = tracking.KINDS["tensorboard"]
def broken(directory, identity):
    (directory / "tensorboard").write_text("a file where a folder should be", "utf-8")
    return create(directory, identity)
tracking.KINDS["tensorboard"] = broken
sys.exit(main(["train", *sys.argv[1:]]))
"""
    done = call(project, "-c", program, *FLAGS, "--track", "tensorboard", "--run", "broken")
    assert done.returncode == 0 and done.stderr.count("Warning: ") == 1
    assert "--resume broken" in done.stderr and "Traceback" not in done.stderr
    assert (project / "runs" / "broken" / "report.html").exists()

    (project / "runs" / "broken" / "tensorboard").unlink()  # now it can be repaired
    assert call(project, "train.py", "--resume", "broken").returncode == 0
    (events,) = (project / "runs" / "broken" / "tensorboard").iterdir()
    assert events.stat().st_size > 10_000  # with figures
