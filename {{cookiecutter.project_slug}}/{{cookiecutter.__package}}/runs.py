"""The folder of a run: its name, its records, and how to find it again."""

import json
import math
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from .errors import UserError
from .hyperparameters import Hyperparameters
from .locks import is_of_this_launch, locked, read_holder, was_restarted
from .stored_settings import PROJECT, read_toml, require_same_settings, to_plain
from .utils import read_text, write_text

if TYPE_CHECKING:  # to find a run takes no torch
    from .distributed import World
    from .runtime import Runtime

RUNS = Path("runs")
PACKAGES = ("torch", "torchvision", "torchmetrics", "numpy", "pandas", "scikit-learn")


@contextmanager
def opened(
    name: str | None, resumed: Path | None, settings: Hyperparameters, world: "World"
) -> Iterator[Path]:
    """The folder of a run that begins or goes on, the same for all processes, held by the main one.

    A run that fails before its first checkpoint leaves no folder behind.

    Raises:
        UserError: the name is taken, the run is in use, or has other hyperparameters.
    """
    with ExitStack() as stack:
        run = world.by_main(lambda: _open(name, resumed, settings, stack))
        try:
            yield run
        except BaseException:
            if world.is_main and resumed is None and not any((run / "checkpoints").glob("*.pt")):
                stack.close()
                shutil.rmtree(run)
            raise


def _open(
    name: str | None, resumed: Path | None, settings: Hyperparameters, stack: ExitStack
) -> Path:
    run = resumed or create(name)
    others = (file.parent for file in RUNS.glob("*/hyperparameters.toml"))
    stack.enter_context(locked(run, 1 + max(map(order_of, others), default=0)))
    if resumed is not None:
        saved = to_plain(load_hyperparameters(run))
        require_same_settings(saved, to_plain(settings), run)
        for left in (*run.glob(".*.tmp"), *(run / "checkpoints").glob(".*.tmp")):
            left.unlink()  # of a save that was killed
    save_hyperparameters(run, settings)
    return run


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
    folders = sorted((file.parent for file in known), key=order_of)
    names = [folder.name for folder in folders]
    if run == "latest" and names:
        return folders[-1]
    for folder in (Path(run), RUNS / run):
        if (folder / "hyperparameters.toml").is_file():
            return folder
    listed = f"The runs are: {', '.join(names[-10:])}." if names else "There are none yet: train."
    raise UserError(f"There is no run {run!r}. {listed}")


def order_of(run: Path) -> int:
    """Higher for runs that were begun or went on later, whatever the clock said; 0 if unknown."""
    order = read_holder(run).get("order", 0)
    return order if isinstance(order, int) else 0


def find_restarted(name: str | None) -> Path | None:
    """The run that torchrun or Slurm has started this program for again; None if there is none."""
    if not was_restarted():
        return None
    folders = (file.parent for file in RUNS.glob("*/hyperparameters.toml"))
    mine = [run for run in folders if name in (None, run.name) and is_of_this_launch(run)]
    return max(mine, key=order_of, default=None)


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
    """The rows of metrics.jsonl, without a last line that was not written to its end.

    Raises:
        UserError: a row is damaged.
    """
    path = run / "metrics.jsonl"
    lines = read_text(path).splitlines(keepends=True) if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            row = dict(json.loads(line))
            rows.append(row | {"epoch": int(row["epoch"])})
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path} is damaged in line {number}. `python train.py --resume {run.name}` "
                "writes it again from the last checkpoint."
            ) from None
    return rows


def keep_metrics(run: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write metrics.jsonl anew, as a checkpoint knows it."""
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for a number that is not finite but null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def add_metrics(run: Path, row: dict[str, Any]) -> None:
    """Append one row."""
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
