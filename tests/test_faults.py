"""What goes wrong around a run ends in a sentence, and nothing is lost."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Render
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of Unix")
TIMES = {"seconds", "samples_per_second", "peak_memory_mib"}
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
SMALL = ["--val-fraction", "0.1", "--test-fraction", "0.75", "--batch-size", "16"]
TRAIN = ["train.py", *SMALL, "--device", "cpu", "--precision", "fp32", "--no-report"]
LONG = ["--epochs", "500"]


@pytest.fixture(scope="module")
def project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run called calm, which nothing disturbed."""
    project = render(tmp_path_factory.mktemp("faults"), task="image_classification")
    assert call(project, "--run", "calm", "--epochs", "3").returncode == 0
    return project


def call(
    project: Path, *flags: str, env: dict[str, str] | None = None, limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    """A training; ``limit``: no file may have more bytes."""

    def before() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, *TRAIN, *flags],
        cwd=project,
        env=ONE_THREAD | (env or {}),
        capture_output=True,
        text=True,
        preexec_fn=before,
        timeout=300,
    )


def start(project: Path, *flags: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A training in the background, as soon as its first epoch is over."""
    process = subprocess.Popen(
        [sys.executable, *TRAIN, *flags],
        cwd=project,
        env=ONE_THREAD | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = project / "runs" / flags[flags.index("--run") + 1]
    wait_for(lambda: (run / "checkpoints/last.pt").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def assert_explained(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The exit code, and a sentence instead of a traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def assert_goes_on(project: Path, name: str) -> None:
    """The run ends as if nothing had happened."""
    done = call(project, "--resume", name, "--epochs", "3")
    assert done.returncode == 0, done.stderr
    assert rows(project / "runs" / name) == rows(project / "runs" / "calm")


# --- the disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(project: Path, tmp_path: Path) -> Iterator[Path]:
    """A project whose runs are on a disk of 5 MiB."""
    own = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(own / "runs")
    (own / "runs").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(own / "runs")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a disk")
    yield own
    subprocess.run(["umount", "-l", str(own / "runs")], check=True)


def make_room(project: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=100m", str(project / "runs")], check=True)


def fill(project: Path) -> None:
    with (project / "runs" / "filler").open("wb", buffering=0) as file:
        for size in (2**16, 2**10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_full_disk_during_a_checkpoint_loses_nothing(project: Path, small_disk: Path) -> None:
    done = call(small_disk, "--run", "full", "--epochs", "3")
    assert_explained(done, 1, "The disk is full", "--resume")
    make_room(small_disk)
    shutil.copytree(project / "runs" / "calm", small_disk / "runs" / "calm")
    assert_goes_on(small_disk, "full")


def test_a_full_disk_during_a_row_of_metrics_loses_nothing(project: Path, small_disk: Path) -> None:
    make_room(small_disk)
    process = start(small_disk, "--run", "full", *LONG)
    fill(small_disk)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "The disk is full" in errors and "Traceback" not in errors
    (small_disk / "runs" / "filler").unlink()
    run = small_disk / "runs" / "full"
    epochs = len(rows(run)) + 2
    done = call(small_disk, "--resume", "full", "--epochs", str(epochs))
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in rows(run)] == list(range(1, epochs + 1))


def test_a_full_disk_during_a_report_leaves_the_old_one(project: Path, small_disk: Path) -> None:
    make_room(small_disk)
    shutil.copytree(project / "runs" / "calm", small_disk / "runs" / "calm")
    command = [sys.executable, "-m", "my_torch_project", "report", "calm"]
    subprocess.run(command, cwd=small_disk, check=True, capture_output=True)
    page = (small_disk / "runs/calm/report.html").read_bytes()
    fill(small_disk)
    done = subprocess.run(command, cwd=small_disk, capture_output=True, text=True)
    assert_explained(done, 1, "The disk is full")
    assert (small_disk / "runs/calm/report.html").read_bytes() == page


def test_a_limit_on_files_is_like_a_full_disk(project: Path) -> None:
    done = call(project, "--run", "limited", "--epochs", "3", limit=2**20)
    assert_explained(done, 1, "The disk is full")
    assert not (project / "runs" / "limited").exists()


def test_a_folder_without_permission_is_named(project: Path, tmp_path: Path) -> None:
    own = shutil.copytree(project, tmp_path / "project")
    shutil.rmtree(own / "runs")
    if os.geteuid() == 0:  # whom permissions do not stop
        (own / "runs").mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(own / "runs")]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user cannot mount a disk")
    else:
        own.chmod(0o500)
    done = call(own, "--epochs", "1")
    if os.geteuid() == 0:
        subprocess.run(["umount", "-l", str(own / "runs")], check=True)
    own.chmod(0o700)
    assert_explained(done, 1, "No permission for", "runs")


# --- signals and processes ------------------------------------------------------------------------


def test_a_run_in_use_is_refused(project: Path) -> None:
    process = start(project, "--run", "busy", *LONG)
    done = call(project, "--resume", "busy")
    process.kill()
    process.communicate()
    assert_explained(done, 2, f"in use by process {process.pid}")
    assert call(project, "--resume", "busy", "--epochs", "1").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_the_run_in_the_middle_of_an_epoch(project: Path, number: int) -> None:
    name = f"signal-{number}"
    process = start(project, "--run", name, *LONG)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert f"python train.py --resume {name}" in output
    assert (project / "runs" / name / "checkpoints" / "last.pt").exists()


def test_a_clusters_signal_puts_the_job_into_the_queue_again(project: Path, tmp_path: Path) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    scontrol.chmod(0o700)
    slurm = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    flags = ["--run", "slurm", "--requeue-signal", "USR1", "--epochs", "40"]
    process = start(project, *flags, env=slurm)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGUSR1, errors
    assert (tmp_path / "said").read_text() == "requeue 42\n"
    before = len(rows(project / "runs" / "slurm"))
    done = call(project, *flags, env=slurm | {"SLURM_RESTART_COUNT": "1"})
    assert done.returncode == 0, done.stderr
    after = rows(project / "runs" / "slurm")
    assert before < 40 and [row["epoch"] for row in after] == list(range(1, 41))


def test_torchrun_starts_a_killed_group_again_and_the_run_goes_on(project: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    flags = [*TRAIN, "--epochs", "8", "--checkpoint-every", "3"]
    subprocess.run(
        [sys.executable, *launcher, "--", *flags, "--run", "pair"],
        cwd=project,
        env=ONE_THREAD,
        check=True,
        capture_output=True,
    )
    command = [sys.executable, *launcher, "--max-restarts", "2", "--", *flags, "--run", "restarted"]
    process = subprocess.Popen(
        command,
        cwd=project,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run = project / "runs" / "restarted"
    wait_for(lambda: (run / "metrics.jsonl").exists() and len(rows(run)) >= 2)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert rows(run) == rows(project / "runs" / "pair")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    )
    return [int(word) for word in listed.stdout.split()]


def test_a_run_goes_on_with_another_number_of_processes(project: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    flags = [*TRAIN, "--epochs", "3", "--run", "shared"]
    command = [sys.executable, *launcher, *flags]
    process = subprocess.Popen(command, cwd=project, env=ONE_THREAD, stderr=subprocess.DEVNULL)
    run = project / "runs" / "shared"
    wait_for((run / "checkpoints/last.pt").exists)
    process.terminate()
    process.wait(60)
    assert call(project, "--resume", "shared").returncode == 0
    own, calm = rows(run), rows(project / "runs" / "calm")
    assert [row["step"] for row in own] == [row["step"] for row in calm]
    for mine, other in zip(own, calm, strict=True):
        assert mine["train/loss"] == pytest.approx(other["train/loss"], rel=0.2)


def test_a_killed_worker_is_a_sentence(project: Path) -> None:
    process = start(project, "--run", "worker", "--num-workers", "2", *LONG)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors and "--num-workers" in errors and "--resume" in errors


# --- data and memory --------------------------------------------------------------------------


def spoil_by_cutting(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def spoil_by_emptying(path: Path) -> None:
    path.write_bytes(b"")


def spoil_by_writing_text(path: Path) -> None:
    path.write_text("not an image", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "workers"),
    [(spoil_by_cutting, "0"), (spoil_by_emptying, "2"), (spoil_by_writing_text, "2")],
)
def test_a_bad_file_in_the_middle_of_an_epoch_is_named_and_can_be_repaired(
    project: Path, tmp_path: Path, spoil: Callable[[Path], None], workers: str
) -> None:
    random = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "data" / ("odd" if number % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    flags = ["--data", str(tmp_path / "data"), "--image-size", "16", "--batch-size", "4"]
    flags += ["--val-fraction", "0.2", "--test-fraction", "0.2", "--num-workers", workers]
    name = tmp_path.name
    flags += ["--cache-gib", "0", "--checkpoint-every", "1", "--run", name]
    bad = tmp_path / "data" / "odd" / "31.png"
    good = bad.read_bytes()
    spoil(bad)
    done = call(project, *flags, "--epochs", "2")
    assert_explained(done, 2, "31.png is not an image that can be read")
    bad.write_bytes(good)
    run = project / "runs" / name
    assert (run / "checkpoints/last.pt").exists()
    done = call(project, "--resume", name, *flags[: flags.index("--run")], "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in rows(run)] == [1, 2]


def test_too_little_memory_is_a_sentence_with_what_to_change(project: Path) -> None:
    program = """
import resource, sys
from my_torch_project import train
from my_torch_project.cli import train as command
from my_torch_project.cli.main import main
used = int(next(l for l in open("/proc/self/status") if "VmSize" in l).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
sys.exit(main(sys.argv[1:]))
"""
    flags = ["--image-size", "512", "--width", "128", "--run", "memory", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", program, "train", *flags],
        cwd=project,
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert_explained(done, 1, "not enough memory", "--accumulation-steps 2")


# --- files and names ---------------------------------------------------------------------------

FLIPS = """
import random, sys
from pathlib import Path
import torch
from my_torch_project.cli.arguments import load_settings
from my_torch_project.cli.report import read_arrays, read_json
from my_torch_project.engine.checkpoint import load_checkpoint
from my_torch_project.engine.errors import UserError
from my_torch_project.engine.metric_log import read_metrics
from my_torch_project.engine.run_directory import read_holder

def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, (dict, list, tuple)) and len(one) == len(other):
        pairs = zip(one.items(), other.items()) if isinstance(one, dict) else zip(one, other)
        return type(one) is type(other) and all(same(*pair) for pair in pairs)
    return repr(one) == repr(other)

run, dice, counts = Path("runs/calm"), random.Random(0), {"refused": 0, "harmless": 0}
readers = {
    "checkpoints/last.pt": load_checkpoint,
    "checkpoints/best.pt": load_checkpoint,
    "predictions.npz": read_arrays,
    "metrics.jsonl": lambda path: read_metrics(path.parent),
    "hyperparameters.toml": lambda path: load_settings(path.parent),
    "environment.json": read_json,
    ".holder.json": lambda path: read_holder(path.parent),
}
folder = Path("flipped")
(folder / "checkpoints").mkdir(parents=True)
for name, read in readers.items():
    good, path = (run / name).read_bytes(), folder / name
    path.write_bytes(good)
    truth = read(path)
    for number in range(300):
        content = bytearray(good)
        if number % 4 == 3:
            del content[dice.randrange(len(content)):]
        else:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        try:
            found = read(path)
        except UserError as error:
            counts["refused"] += 1
            assert len(str(error)) < 1000
        else:
            counts["harmless"] += 1
            assert not name.endswith((".pt", ".npz")) or same(found, truth), (name, number)
    path.unlink()
print(counts)
"""


def test_no_flipped_bit_gives_other_weights(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLIPS], cwd=project, env=ONE_THREAD, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    refused = re.search(r"'refused': (\d+)", done.stdout)
    assert refused is not None and int(refused[1]) > 600, done.stdout


def test_a_changed_file_of_hyperparameters_is_noticed_on_going_on(project: Path) -> None:
    run = shutil.copytree(project / "runs" / "calm", project / "runs" / "changed")
    path = run / "hyperparameters.toml"
    path.write_text(path.read_text("utf-8").replace("seed = 0", "seed = 1"), encoding="utf-8")
    done = call(project, "--resume", "changed")
    assert_explained(done, 2, "seed was 0, now it is 1")


NAMES = """
import os
from my_torch_project.engine.errors import UserError
from my_torch_project.engine.run_directory import create_directory
names = [create_directory(None).name for _ in range(5)]
assert len(set(names)) == 5, names
for bad in ("../x", "a/b", "..", ".hidden", "latest", "", "a\\\\b", "/tmp/x"):
    try:
        create_directory(bad)
    except UserError:
        continue
    raise AssertionError(bad)
"""


def test_names_of_runs_are_their_own_and_stay_in_their_folder(
    project: Path, tmp_path: Path
) -> None:
    env = ONE_THREAD | {"PYTHONPATH": str(project)}
    subprocess.run([sys.executable, "-B", "-c", NAMES], cwd=tmp_path, env=env, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_latest_is_what_was_begun_last_even_if_the_clock_was_set_back(project: Path) -> None:
    assert call(project, "--run", "newest", "--epochs", "1").returncode == 0
    for path in (project / "runs" / "newest").rglob("*"):
        os.utime(path, (0, 0))
    program = "from my_torch_project.engine.run_directory import find_run\n"
    program += "print(find_run('latest').name)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=project, capture_output=True, text=True
    )
    assert done.stdout == "newest\n", done.stderr


CODE = """
import os, sys, torch
class Code:
    def __reduce__(self):
        return os.mkdir, ("executed",)
torch.save({"format": 4, "model": Code()}, sys.argv[1])
"""


def test_code_in_a_checkpoint_or_in_weights_is_not_executed(project: Path, tmp_path: Path) -> None:
    run = shutil.copytree(project / "runs" / "calm", project / "runs" / "evil")
    weights = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    weights.parent.mkdir(parents=True)
    for path in (run / "checkpoints/best.pt", weights):
        subprocess.run([sys.executable, "-c", CODE, str(path)], check=True, cwd=tmp_path)
    command = [sys.executable, "-m", "my_torch_project", "evaluate", "evil", "--device", "cpu"]
    done = subprocess.run(command, cwd=project, env=ONE_THREAD, capture_output=True, text=True)
    assert_explained(done, 2, "best.pt is damaged")
    flags = ["--model", "resnet18", "--pretrained", "--run", "evil-weights"]
    done = call(project, *flags, env={"TORCH_HOME": str(tmp_path)})
    assert_explained(done, 2, "The weights of resnet18")
    assert not (project / "executed").exists()


def test_deterministic_mode_gives_the_same_bits_and_explains_what_it_refuses(
    project: Path,
) -> None:
    assert call(project, "--run", "strict", "--deterministic", "--epochs", "3").returncode == 0
    assert rows(project / "runs" / "strict") == rows(project / "runs" / "calm")
    program = """
import sys, torch
from my_torch_project import criterion
from my_torch_project.cli.main import main
def loss(self, model, batch):
    scores = model(batch[0]).flatten()
    return torch.zeros(9).put_(torch.arange(9), scores[:9], accumulate=False).sum()
criterion.Criterion.loss = loss
sys.exit(main(sys.argv[1:]))
"""
    flags = ["train", "--deterministic", "--device", "cpu", "--no-report", "--run", "refused"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags], cwd=project, capture_output=True, text=True
    )
    assert_explained(done, 1, "--deterministic: torch cannot compute put_")


# --- where it is started ------------------------------------------------------------------------


def test_each_line_is_in_a_log_when_it_is_printed(project: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, *TRAIN, "--run", "logged", *LONG]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=project, env=ONE_THREAD, stdout=file, stderr=file)
    wait_for(lambda: "epoch   2/500" in log.read_text() or process.poll() is not None)
    process.kill()
    process.wait()
    assert "epoch   1/500" in log.read_text()


def test_a_run_needs_no_standard_error_and_no_terminal_that_shows_its_name(project: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, *TRAIN, "--run", "학습"],
        cwd=project,
        env=ONE_THREAD | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "WORLD_SIZE": ""},
        stdout=subprocess.PIPE,
        timeout=300,
    )
    assert done.returncode == 0
    assert rb"\ud559\uc2b5" in done.stdout
    assert rows(project / "runs" / "학습")


def test_a_run_in_a_thread_trains_and_says_that_it_does_not_hear_signals(project: Path) -> None:
    program = (
        "import sys, threading; from my_torch_project.cli.main import main; "
        "thread = threading.Thread(target=lambda: print('code', main(['train', *sys.argv[1:]]))); "
        "thread.start(); thread.join()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *TRAIN[1:], "--run", "threaded", "--epochs", "1"],
        cwd=project,
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "code 0" in done.stdout, done.stderr
    assert "not the main thread" in done.stderr


def test_a_forgotten_world_size_is_a_sentence(project: Path) -> None:
    assert_explained(call(project, env={"WORLD_SIZE": "2"}), 2, "RANK", "torchrun")


def test_the_users_folder_is_found_in_any_path(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('data = "~/pictures"', "utf-8")
    for flags in (["--data=~/pictures"], ["--config", str(config)]):
        done = call(project, *flags, env={"HOME": str(tmp_path)})
        assert_explained(done, 2, f"{tmp_path}/pictures")
