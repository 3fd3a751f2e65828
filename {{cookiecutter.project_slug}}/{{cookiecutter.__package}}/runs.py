"""The folder of a run: its name, its records, and how to find it again."""

import json
import math
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from .errors import UserError
from .hyperparameters import Hyperparameters
from .settings import PROJECT, read_toml, to_plain
from .utils import write_text

if TYPE_CHECKING:  # to find a run takes no torch
    from .distributed import World
    from .runtime import Runtime

RUNS = Path("runs")
PACKAGES = ("torch", "torchvision", "torchmetrics", "numpy", "pandas", "scikit-learn")


@contextmanager
def opened(
    name: str | None, resumed: Path | None, settings: Hyperparameters, world: "World"
) -> Iterator[Path]:
    """The folder of a run that begins or goes on, the same for all processes.

    A run that fails before its first epoch ends leaves no folder behind.
    """
    run = (resumed or create(name)) if world.is_main else None
    run = world.gather(run)[0]
    assert run is not None
    if world.is_main:
        save_hyperparameters(run, settings)
    try:
        yield run
    except BaseException:
        if world.is_main and resumed is None and not (run / "checkpoints").exists():
            shutil.rmtree(run)
        raise


def create(name: str | None) -> Path:
    """A new folder below ``runs/``, named by the user or by the time.

    Raises:
        UserError: the name is taken, or is not a plain name.
    """
    if name is None:
        return _create_by_time()
    if not re.fullmatch(r"[\w][\w.+=-]*", name) or name == "latest":
        raise UserError(
            f"{name!r} cannot be the name of a run. Use letters, digits, - and _, "
            "for example --run first-try."
        )
    try:
        (RUNS / name).mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"{RUNS / name} exists. Choose another name for --run, "
            f"or go on with it: --resume {name}."
        ) from None
    return RUNS / name


def _create_by_time() -> Path:
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for name in (stem, *(f"{stem}-{number}" for number in range(2, 1000))):
        try:
            (RUNS / name).mkdir(parents=True)
        except FileExistsError:  # two runs began in the same second
            continue
        return RUNS / name
    raise AssertionError("a thousand runs in one second")


def find(run: str) -> Path:
    """The folder that the user means: a path, the name of a run, or ``latest``.

    Raises:
        UserError: there is no such run.
    """
    known = sorted(RUNS.glob("*/hyperparameters.toml"), key=lambda file: file.stat().st_mtime)
    names = [file.parent.name for file in known]
    if run == "latest" and names:
        return RUNS / names[-1]
    for folder in (Path(run), RUNS / run):
        if (folder / "hyperparameters.toml").is_file():
            return folder
    listed = f"The runs are: {', '.join(names[-10:])}." if names else "There are none yet: train."
    raise UserError(f"There is no run {run!r}. {listed}")


def load_hyperparameters(run: Path) -> Hyperparameters:
    """The resolved set of a run."""
    path = run / "hyperparameters.toml"
    return Hyperparameters.from_layers((str(path), read_toml(path)))


def save_hyperparameters(run: Path, settings: Hyperparameters) -> None:
    """Write the resolved set; the file is a valid --config."""
    write_text(run / "hyperparameters.toml", tomli_w.dumps(to_plain(settings)))


def save_environment(run: Path, runtime: "Runtime", parameters: int) -> None:
    """Write what is needed to judge or repeat the run: versions, commit, machine, command."""
    installed = {d.metadata["Name"]: d.version for d in _distributions(PACKAGES)}
    commit, dirty = _git_state()
    environment = {
        "command": [sys.executable, *sys.argv],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": commit,
        "git_dirty": dirty,
        "device": str(runtime.device),
        "device_name": runtime.name,
        "parameters": parameters,
        "packages": installed,
    }
    write_text(run / "environment.json", json.dumps(environment, indent=2, ensure_ascii=False))


def _distributions(names: Iterable[str]) -> Iterable[metadata.Distribution]:
    for name in names:
        try:
            yield metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue


def _git_state() -> tuple[str | None, bool | None]:
    """The commit of the project, and whether it has changes; (None, None) outside of git."""
    answers = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"]):
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None, None
        if done.returncode:
            return None, None
        answers.append(done.stdout.strip())
    return answers[0], bool(answers[1])


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, without a last line that was not written to its end."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def keep_metrics(run: Path, last_epoch: int) -> None:
    """Drop the rows after ``last_epoch``, which training will write again."""
    rows = [row for row in read_metrics(run) if row["epoch"] <= last_epoch]
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def add_metrics(run: Path, row: dict[str, Any]) -> None:
    """Append one row; JSON has no word for a number that is not finite but null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite) + "\n")
