"""Rendered projects and programs that run in them, far from the user's own settings."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
# One thread: with several, a step waits at random for a core that was taken away.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONPATH": str(TEMPLATE),
    "PYTHONUNBUFFERED": "1",
}


def config_file(folder: Path) -> Path:
    """Cookiecutter's settings: nothing of this machine's user is read or written."""
    path = folder / "cookiecutter.yaml"
    settings = {key: str(folder / key) for key in ("replay_dir", "cookiecutters_dir")}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def generate(template: Path, folder: Path, *answers: str) -> Path:
    """A new project of ``template`` in ``folder``, by cookiecutter's own command."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input", *answers]
    where = ["--output-dir", str(folder), "--config-file", str(config_file(folder))]
    subprocess.run([*command, *where], check=True, capture_output=True, env=ENVIRONMENT)
    return next(path for path in folder.iterdir() if (path / "pyproject.toml").exists())


def render(folder: Path, task: str) -> Path:
    """The project of a task, made once for all who run in it."""
    place = folder / task
    if not place.exists():
        return generate(TEMPLATE, place, f"task={task}")
    return next(path for path in place.iterdir() if (path / "pyproject.toml").exists())


def prepare(folder: Path, project: Path, share: float, names: list[str]) -> Path:
    """Write the data of the workloads, once; ``share`` below 1: so much less of it."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    missing = [name for name in names if not (data / f"{name}.made").exists()]
    command = [sys.executable, "-m", "benchmarks.workloads", str(data), str(share), *missing]
    subprocess.run(command, check=True, cwd=project, env=ENVIRONMENT)
    for name in missing:
        (data / f"{name}.made").touch()
    return data


def lines(command: list[str], project: Path) -> Iterator[str]:
    """The lines that a program prints, at the moment at which it does.

    Raises:
        RuntimeError: it failed.
    """
    with subprocess.Popen(
        command,
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            yield line
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {line}")
