"""The directory of a run: its name, its records, its lock, and how to find it again."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from filelock import FileLock, Timeout

from .errors import Stopped, UserError, explain
from .files import PROJECT, read_toml, write_json, write_text
from .settings import require_same_hyperparameters

if TYPE_CHECKING:  # to find a run takes no torch
    from .data import Data
    from .distributed import Distributed
    from .run import Run

RUNS = Path("runs")
PACKAGES = {"torch", "torchvision", "torchmetrics", "numpy", "pandas", "scikit-learn"}
HOLDER = ".holder.json"
MAY_CHANGE = ("data", "epochs", "patience", "cache_gib")
"""Hyperparameters that can differ when a run is resumed."""


@contextmanager
def open_run(
    name: str | None,
    resumed: Path | None,
    hparams: Mapping[str, Any],
    settings: Mapping[str, Any],
    dist: "Distributed",
) -> Iterator[Path]:
    """The directory of a new or resumed run: the same for all processes, locked by the main one.

    A run that fails before its first checkpoint leaves no directory behind.

    Raises:
        UserError: the name is taken, the run is in use, or has other hyperparameters.
    """
    with ExitStack() as stack:

        def prepare() -> Path:
            run = resumed or create_directory(name)
            stack.enter_context(lock(run))
            if resumed is not None:
                saved = read_toml(run / "hyperparameters.toml")
                saved = {name: value for name, value in saved.items() if name in hparams}
                require_same_hyperparameters(saved, hparams, MAY_CHANGE, run)
                for left in run.rglob(".*.tmp"):  # of a save that was killed
                    left.unlink()
            write_text(run / "hyperparameters.toml", tomli_w.dumps({**hparams, **settings}))
            save_end(run, None)
            return run

        run: Path = dist.on_main(prepare)
        try:
            yield run
        except BaseException as error:
            if dist.is_main and resumed is None and not any((run / "checkpoints").glob("*.pt")):
                stack.close()
                shutil.rmtree(run)
            elif dist.is_main:
                if isinstance(error, Stopped | KeyboardInterrupt):
                    save_end(run, "stopped")
                else:
                    save_end(run, "failed", str(explain(error) or error))
            raise
        if dist.is_main:
            save_end(run, "finished")


def create_directory(name: str | None) -> Path:
    """A new directory below ``runs/``, named by the user or by the time.

    Raises:
        UserError: the name is taken, or is not a plain name.
    """
    if os.path.lexists(RUNS) and not RUNS.is_dir():
        target = f"links to {os.readlink(RUNS)}, which is not there" if RUNS.is_symlink() else ""
        what = target or "is a file, not a folder"
        raise UserError(f"{RUNS} {what}. Remove or rename it, or mount the disk that is missing.")
    if name is None:
        time = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        for name in (time, *(f"{time}-{number}" for number in range(2, 1000))):
            with suppress(FileExistsError):  # of a run that began in the same second
                (RUNS / name).mkdir(parents=True)
                return RUNS / name
    if name is None or not re.fullmatch(r"\w[\w.+=-]*", name) or name == "latest":
        raise UserError(
            f"{name!r} cannot be the name of a run. Use letters, digits, - and _, "
            "for example --run first-try."
        )
    try:
        (RUNS / name).mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"{RUNS / name} exists. Use another name for --run, or resume it: --resume {name}."
        ) from None
    return RUNS / name


def all_runs() -> list[Path]:
    """The directories of all runs, in the order in which they were last started."""
    known = sorted(RUNS.glob("*/hyperparameters.toml"), key=lambda file: file.stat().st_mtime)
    return sorted((file.parent for file in known), key=lambda run: read_holder(run)["order"])


def find_run(name: str) -> Path:
    """The directory that the user means: a path, the name of a run, or ``latest``.

    Raises:
        UserError: there is no such run.
    """
    runs = all_runs()
    if name == "latest" and runs:
        return runs[-1]
    for run in (Path(name), RUNS / name):
        if (run / "hyperparameters.toml").is_file():
            return run
    names = ", ".join(map(name_run, runs[-10:]))
    listed = f"The runs are: {names}." if runs else "There are none yet: train."
    raise UserError(f"There is no run {name!r}. {listed}")


def name_run(run: Path) -> str:
    """What to type for a run: its name if it is in ``runs/``, else its whole path."""
    path = run.resolve()
    return run.name if path == (RUNS / run.name).resolve() else quote(str(path))


def quote(path: str) -> str:
    """A path as shells of all systems take it."""
    return f'"{path}"' if re.search(r"[^\w./:\\+=~-]", path) else path


@contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold the directory ``run``; the system releases it when this process ends, however it ends.

    Raises:
        UserError: another process holds it.
    """
    order = 1 + max((read_holder(other)["order"] for other in all_runs()), default=0)
    try:
        with FileLock(run / ".lock", timeout=0):
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "order": order}
            write_json(run / HOLDER, read_holder(run) | holder | {"launch": launch_id()})
            yield
    except Timeout:
        holder = read_holder(run)
        raise UserError(
            f"{run} is in use by process {holder.get('pid')} on {holder.get('host')}. Wait until "
            "it ends, or stop it."
        ) from None


def is_in_use(run: Path) -> bool:
    """Whether a process holds the directory."""
    try:
        if (run / ".lock").exists():
            with FileLock(run / ".lock", timeout=0):
                return False
    except Timeout:
        return True
    except OSError:  # the directory cannot be written to
        return False
    return False


def save_end(run: Path, ended: str | None, reason: str = "") -> None:
    """Keep how the run ended, for ``runs``; None while it runs."""
    with suppress(OSError):  # a full disk, of which the error speaks already
        write_json(run / HOLDER, read_holder(run) | {"ended": ended, "reason": reason})


def read_holder(run: Path) -> dict[str, Any]:
    """Who holds the directory or held it last; ``order`` is higher for runs started later."""
    try:
        return {"order": 0} | dict(json.loads((run / HOLDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {"order": 0}


def launch_id() -> str | None:
    """What stays the same when torchrun or Slurm starts this program again by itself."""
    environment, command = os.environ, " ".join(sys.argv[1:])
    if "TORCHELASTIC_RUN_ID" in environment:
        agent = f"{socket.gethostname()} {os.getppid()}"
        return f"torchrun {environment['TORCHELASTIC_RUN_ID']} {agent} {command}"
    if "SLURM_JOB_ID" in environment:
        return f"slurm {environment['SLURM_JOB_ID']} {command}"
    return None


def find_restarted(name: str | None) -> Path | None:
    """The run for which torchrun or Slurm has started this program again; None if there is none."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    if launch_id() is None or all(os.environ.get(count, "0") == "0" for count in counts):
        return None
    runs = [run for run in all_runs() if name in (None, run.name)]
    mine = [run for run in runs if read_holder(run).get("launch") == launch_id()]
    return mine[-1] if mine else None


def save_epochs(run: Path, num_epochs: int) -> None:
    """Put the number of epochs into hyperparameters.toml, where the data has decided it."""
    path = run / "hyperparameters.toml"
    values = read_toml(path)
    if values.get("epochs") != num_epochs:
        write_text(path, tomli_w.dumps({**values, "epochs": num_epochs}))


def save_environment(run: "Run", data: "Data", num_parameters: int) -> None:
    """Write what is needed to judge or repeat the run: versions, commit, machine, command, data."""
    changes = _git("status", "--porcelain")
    environment = {
        "command": [sys.executable, *sys.argv],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "device": str(run.device),
        "device_name": run.hardware.name,
        "parameters": num_parameters,
        "initial_weights": str(run.initial.run) if run.initial else None,
        "packages": {
            package.name: package.version
            for package in metadata.distributions()
            if package.name in PACKAGES
        },
    }
    write_json(run.directory / "environment.json", environment)
    write_json(run.directory / "data.json", data.to_json())


def _git(*arguments: str) -> str | None:
    """What git says of the project; None outside of git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()
