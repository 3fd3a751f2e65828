"""Runs in real trackers: each step once, however a run ended; and nothing of them without a flag.

A tracker that is not installed is skipped; tools/install.py installs them all.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Render

PACKAGE = "my_torch_project"
FLAGS = ["--device", "cpu", "--epochs", "3", "--batch-size", "64"]

# A run that loses its tracker in epoch 1, is killed in epoch 2 before its row is sent, resumed,
# killed after the row is sent but before that is in a checkpoint, resumed and finished, and resumed
# for one epoch more. What the tracker then has is printed by a function `read(run)`.
INTERRUPTED = f"""
import importlib, json, os, signal, sys
from pathlib import Path
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine.tracker import Tracker
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
importlib.import_module(tracker)  # once, for it may take seconds
assert attempt(killed_before, is_down, "--track", tracker, "--run", "own", *flags) == -9
assert attempt(killed_after, send, "--resume", "own") == -9
assert attempt(feed, send, "--resume", "own", "--no-report") == 0
assert attempt(feed, send, "--resume", "own", "--epochs", "4") == 0
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
    "mlflow": """
def read(run):
    from mlflow import MlflowClient
    client = MlflowClient("sqlite:///mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name != 'Default'")
    (own,) = client.search_runs([experiment.experiment_id])
    assert (own.info.run_name, own.info.status) == ("own", "FINISHED")
    assert own.data.params["epochs"] == "3"
    values = {
        name: [(m.step, m.value) for m in client.get_metric_history(own.info.run_id, name)]
        for name in own.data.metrics
    }
    files = [f.path for folder in ("", "figures")
             for f in client.list_artifacts(own.info.run_id, folder)]
    return values, [Path(path).name.removesuffix(".png") for path in files]
""",
    "wandb": """
def records(data):
    # Chunks of records, each with seven bytes of its own, in blocks of 32 KiB (LevelDB's log).
    from wandb.proto.wandb_internal_pb2 import Record
    record = b""
    for block in range(0, len(data), 32768):
        chunks, at = data[block : block + 32768], 0 if block else 7
        while at + 7 <= len(chunks) and chunks[at + 6]:
            end = at + 7 + int.from_bytes(chunks[at + 4 : at + 6], "little")
            record += chunks[at + 7 : end]
            if chunks[at + 6] in (1, 4):  # whole, or the last chunk
                yield Record.FromString(record)
                record = b""
            at = end

def read(run):
    values, files, names = {}, [], set()
    for path in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        names.add(path.name)
        for record in records(path.read_bytes()):
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    point = (record.history.step.num, json.loads(item.value_json))
                    values.setdefault(name, []).append(point)
            files += [Path(file.path).name.removesuffix(".png") for file in record.files.files]
    assert len(names) == 1, "each run has the same id"
    return values, files
""",
}


def call(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a command does, far from this machine's user, and unknown to the trackers' makers."""
    home = str(project.parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "WANDB_"))}
    environment |= {"HOME": home, "USERPROFILE": home, "DO_NOT_TRACK": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


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
    assert set(values) == set(rows[0]) - {"step"} and len(rows) == 4
    for name, points in values.items():
        assert [step for step, _ in points] == [row["step"] for row in rows], name
    for name in ("train/loss", "val/r2", "lr"):  # the others are of the clock
        assert [v for _, v in values[name]] == pytest.approx([row[name] for row in rows])
    assert {"hyperparameters.toml", "report.html", "learning_curves", "residuals"} <= set(files)


# One process: nothing is imported without the flag; a package that is missing; a tracker that
# breaks, whatever it raises, and is repaired by a resume; a server that is down.
FAULTS = f"""
import contextlib, importlib.util, io, sys, time
from pathlib import Path
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine import tracking

def run(*flags):
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        code = main(["train", *sys.argv[1:], *flags])
    return code, printed.getvalue()

assert run("--run", "alone")[0] == 0
assert not {{name.partition(".")[0] for name in sys.modules}} & set(tracking.KINDS)
assert not Path("runs/alone/tracking.txt").exists()

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in tracking.KINDS else find_spec(name)
code, said = run("--track", "tensorboard", "wandb")
assert code == 2 and "tensorboard and wandb" in said and "--extra tracking" in said, said
Path("team.toml").write_text('track = ["mlflow"]', encoding="utf-8")
code, said = run("--config", "team.toml")
assert code == 0 and said.count("Warning: ") == 1 and "mlflow" in said, said
importlib.util.find_spec = find_spec

file, tensorboard = Path("runs/broken/tensorboard"), tracking.KINDS["tensorboard"]
connect, tensorboard.patience = tensorboard.connect, 0  # it is tried after every epoch
tensorboard.connect = lambda *of: file.write_text("not a folder") and connect(*of)
code, said = run("--run", "broken", "--track", "tensorboard")
assert code == 0 and said.count("Warning: ") == 1 and "--resume broken" in said, said
tensorboard.connect = connect
file.unlink()
assert main(["train", "--resume", "broken", "--no-report"]) == 0
assert any(file.iterdir())
"""


def test_without_a_tracker_a_run_is_as_good(render: Render, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    project = render(tmp_path, task="tabular_regression")

    done = call(project, "-c", FAULTS, *FLAGS, "--no-report")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_that_is_down_costs_seconds(render: Render, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    project = render(tmp_path, task="tabular_regression")
    program = f"""
import sys, time
import mlflow
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine.mlflow_tracker import MLflow
connect, seconds = MLflow.connect, []

def timed(*of):
    start = time.monotonic()
    try:
        connect(*of)
    finally:
        seconds.append(time.monotonic() - start)

MLflow.connect = timed
assert main(["train", *sys.argv[1:]]) == 0
assert len(seconds) == 2 and max(seconds) < 30, seconds  # after the first epoch, and at the end
"""
    flags = [*FLAGS, "--track", "mlflow", "--no-report"]
    done = call(project, "-c", program, *flags, MLFLOW_TRACKING_URI="http://127.0.0.1:9")

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: mlflow failed") == 1
