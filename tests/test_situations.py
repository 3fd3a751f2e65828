"""Where and how projects are used: old Pythons, odd files and names, shared folders, no project."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Render
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names in bytes, umask")
PLAIN = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def python(cwd: Path, *arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=PLAIN | env,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=300,
    )


@pytest.fixture(scope="module")
def project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run called odd: of images with names in Latin-1, made with umask 002."""
    project = render(tmp_path_factory.mktemp("situations"), task="image_classification")
    random = np.random.default_rng(0)
    for number in range(24):
        folder = os.fsencode(project / "images") + (b"/caf\xe9" if number % 2 else b"/th\xe9")
        os.makedirs(folder, exist_ok=True)
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(os.fsdecode(folder + b"/\xe9%d.png" % number))
    flags = ["--data", "images", "--epochs", "2", "--run", "odd", "--device", "cpu"]
    command = f"umask 002; exec {sys.executable} train.py {' '.join(flags)}"
    done = subprocess.run(["sh", "-c", command], cwd=project, env=PLAIN, capture_output=True)
    assert done.returncode == 0, done.stderr
    return project


def test_names_that_are_no_text_are_shown_escaped(project: Path) -> None:
    run = project / "runs" / "odd"
    assert r"caf\udce9" in (run / "report.html").read_text("utf-8")
    assert set(json.loads((run / "data.json").read_text("utf-8"))["classes"]["train"]) == {
        "caf\udce9",
        "th\udce9",
    }
    done = python(project, "-m", "my_torch_project", "predict", "odd", "images", "--device", "cpu")
    assert done.returncode == 0 and r"\udce93.png" in done.stdout, done.stderr


def test_caches_and_runs_follow_the_umask(project: Path) -> None:
    paths = [*(project / "runs").rglob("*"), *(project / ".cache").rglob("*")]
    assert len(paths) > 10
    private = [path for path in paths if not path.stat().st_mode & 0o020]
    assert private == []


IN_PROCESS = """
import os, sys, warnings
import numpy as np, torch
from pathlib import Path
from my_torch_project import load_model
from my_torch_project.cli import evaluate, main
from my_torch_project.engine import device, errors
from my_torch_project.engine.settings import RunSettings
from my_torch_project.vision import cache

# a run that cannot be written to
def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))
good, evaluate.atomic_write = evaluate.atomic_write, refuse
assert main.main(["evaluate", "odd", "--device", "cpu", "--resamples", "0"]) == 1
evaluate.atomic_write = good
assert main.main(["evaluate", "odd", "--device", "cpu", "--resamples", "0", "--output", "x"]) == 0
assert Path("x/evaluation.json").exists() and not Path("runs/odd/evaluation.json").exists()

# pixels out of range
model = load_model("odd", device="cpu").model
images = torch.rand(2, 3, 16, 16)
answer = model(images)
assert torch.allclose(model((255 * images).round().to(torch.uint8)), answer, atol=0.1)
for wrong in (255 * images, (images - 0.5) / 0.1):
    try:
        model(wrong)
    except errors.UserError as error:
        assert "0 to 1" in str(error)
    else:
        raise AssertionError("taken")

# a cache of another user
pixels = [torch.full((3, 4, 4), n, dtype=torch.uint8) for n in range(2)]
files = [[Path("train.py")], [Path("README.md")]]
make = lambda: cache.PixelCache(pixels.__getitem__, files, "test", cache.CacheRoom(1.0))
make().fill()
os.utime = lambda path: refuse(path)
make().fill()
np.fromfile = lambda path, *rest, **more: refuse(path)
Path.mkdir = lambda path, **more: refuse(path)
other = make()
other.fill()
assert torch.equal(other[1], pixels[1])

# threads by the container's quota
device.usable_cpus = lambda: 1
os.environ.pop("OMP_NUM_THREADS", None)
torch.set_num_threads(2)
device.resolve(RunSettings(device="cpu"), frozenset())
assert torch.get_num_threads() == 1

# a package that an import needs
def fail(name, argv):
    raise ModuleNotFoundError("Metric needs pycocotools.")
main.run_command = fail
assert main.main(["train"]) == 1
"""


def test_what_cannot_be_kept_taken_or_found_is_said(project: Path) -> None:
    done = python(project, "-c", IN_PROCESS)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "were not kept" in done.stderr and "--output" in done.stderr
    assert "no cache of decoded images" in done.stdout + done.stderr
    assert "Metric needs pycocotools" in done.stderr


PARSED = """
import sys
from pathlib import Path
from my_torch_project.cli.arguments import parse
from my_torch_project.cli.train import TrainArguments
from my_torch_project.engine.errors import UserError
from my_torch_project.engine.run_directory import create_directory, name_run

def refused(call, *arguments):
    try:
        call(*arguments)
    except UserError as error:
        return str(error)
    raise AssertionError(f"{arguments} are taken")

for encoding in ("utf-8-sig", "utf-16"):
    Path("own.toml").write_text("batch_size = 7", encoding=encoding)
    assert parse(TrainArguments, "train", ["--config", "own.toml"]).batch_size == 7
for key in ("resume", "config", "run", "report", "fast_dev_run"):
    Path("own.toml").write_text(f"{key} = 'x'", encoding="utf-8")
    said = refused(parse, TrainArguments, "train", ["--config", "own.toml"])
    assert "own.toml: --" + key.replace("_", "-") + " cannot be in a file" in said, said
assert "finite" in refused(parse, TrainArguments, "train", ["--learning-rate", "inf"])
assert "not both" in refused(
    parse, TrainArguments, "train", ["--init-from", "a", "--init-matching", "b"]
)
print(name_run(Path(sys.argv[1]) / "runs" / "odd"), name_run(Path("runs/x")))
Path("runs").symlink_to("elsewhere/runs")
assert "links to elsewhere/runs, which is not there" in refused(create_directory, None)
Path("runs").unlink()
Path("runs").write_text("a file")
assert "is a file" in refused(create_directory, "first")
"""


def test_files_and_folders_that_cannot_be_used_are_named(project: Path, tmp_path: Path) -> None:
    done = python(tmp_path, "-c", PARSED, project, PYTHONPATH=str(project))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(project.resolve() / "runs" / "odd"), "x"]


OWN = ["--data", "images", "--image-size", "16", "--num-workers", "2", "--device", "cpu"]


def test_a_signal_to_every_process_still_saves_the_run(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "train.py", *OWN, "--epochs", "900", "--run", "group", "--no-report"],
        cwd=project,
        env=PLAIN,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    last, end = project / "runs/group/checkpoints/last.pt", time.monotonic() + 120
    while not last.exists() and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and "--resume group" in output


def test_too_few_open_files_is_a_sentence(project: Path) -> None:
    command = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", sys.executable, "train.py", *OWN]
    command += ["--num-workers", "8", "--epochs", "1", "--no-report"]
    done = subprocess.run(
        command, cwd=project, env=PLAIN, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "ulimit -n 4096" in done.stderr


def test_an_old_python_is_a_sentence_from_every_entry(project: Path) -> None:
    for name in ("train.py", "my_torch_project/__init__.py", "my_torch_project/__main__.py"):
        ast.parse((project / name).read_text("utf-8"), feature_version=(3, 6))
    package = ast.parse((project / "my_torch_project/__init__.py").read_text("utf-8"))
    kinds = [type(node) for node in package.body[:3]]
    assert kinds == [ast.Expr, ast.Import, ast.If]  # nothing that an old Python lacks comes before
    old = "import runpy, sys; sys.version_info = (3, 10, 13); sys.argv[1:] = ['--help']; "
    for entry in ("run_path('train.py'", "run_module('my_torch_project'"):
        done = python(project, "-c", f"{old} runpy.{entry}, run_name='__main__')")
        assert done.returncode == 1
        assert done.stderr.startswith("Error: Python 3.11 or newer is needed")
        assert len(done.stderr.splitlines()) == 1


def test_doctor_without_a_project_says_so(project: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    shutil.copytree(project / "my_torch_project", site / "my_torch_project")
    empty.mkdir()
    command = ("-m", "my_torch_project", "doctor", "--json", "--write")
    done = python(empty, *command, PYTHONPATH=str(site))
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["project"]["state"] == "warning" and str(empty) in checks["project"]["text"]
    assert checks["torch build"]["state"] != "broken" and "FileNotFound" not in done.stdout
    assert (empty / "device.toml").exists() and not (site / "device.toml").exists()
