"""The further measurements: quality, phases, starting, generating, costs, growth."""

import bisect
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .arena import compete
from .plan import COSTS, GROWTH
from .projects import ENVIRONMENT, TEMPLATE, generate, lines, prepare, render

# The metric of which tests/promises.py states something.
METRICS = {
    "image_classification": "accuracy",
    "tabular_regression": "r2",
    "text_classification": "accuracy",
    "semantic_segmentation": "miou",
    "object_detection": "map50",
}
OPENING = re.compile(r"\d+ training, ")  # printed right before the first step
EPOCH = re.compile(r"epoch +(\d+)/")

Seconds = list[dict[str, Any]]
"""Rows of {"what": ..., "seconds": [of each repeat]}."""


def timed(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def run(command: list[str], project: Path) -> None:
    """A program that must succeed, without its words."""
    subprocess.run(command, cwd=project, env=ENVIRONMENT, check=True, capture_output=True)


def quality(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """When a training with every default first reaches, in validation, what its task promises."""
    return [
        time_to_quality(task, metric, render(folder, task))
        for task, metric in METRICS.items()
        if not quick or task == "image_classification"
    ]


def time_to_quality(task: str, metric: str, project: Path) -> dict[str, Any]:
    """Seconds from the start of the program to the end of the epoch; None if it was never so."""
    began, seconds = time.perf_counter(), []
    for line in lines([sys.executable, "train.py", "--no-report", "--run", "quality"], project):
        if EPOCH.match(line):
            seconds.append(time.perf_counter() - began)
    total = time.perf_counter() - began
    promises = runpy.run_path(str(TEMPLATE / "tests" / "promises.py"))["PROMISES"]
    values = best_so_far(project / "runs" / "quality" / "metrics.jsonl", f"val/{metric}")

    def keeps(value: float) -> bool:
        try:
            promises[task](project, {metric: value}, "val")
        except AssertionError:
            return False
        return True

    epoch = bisect.bisect_left(values, True, key=keeps)
    reached = epoch < len(values)
    return {
        "task": task,
        "metric": metric,
        "value": values[epoch] if reached else values[-1],
        "epoch": epoch + 1 if reached else None,
        "epochs": len(values),
        "seconds": seconds[epoch] if reached else None,
        "total": total,
    }


def best_so_far(path: Path, name: str) -> list[float]:
    """The highest value of a metric up to each epoch, from the rows of metrics.jsonl."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return list(itertools.accumulate((row[name] for row in rows), max))


def phases(folder: Path, quick: bool, install: bool = False) -> Seconds:
    """From nothing installed to a trained model, by phase; installing takes minutes."""
    place = folder / "phases"
    found = {"generation": timed(lambda: generate(TEMPLATE, place))}
    project = next(path for path in place.iterdir() if (path / "pyproject.toml").exists())
    if install:
        found["installation with pip into a new environment"] = timed(lambda: set_up(project))
    began = time.perf_counter()
    marks = {"start": began}
    for line in lines([sys.executable, "train.py"], project):
        if OPENING.search(line):
            marks["first step"] = time.perf_counter()
        elif EPOCH.match(line):
            marks["last epoch"] = time.perf_counter()
    found["start of train.py to the first step"] = marks["first step"] - began
    found["training with every default"] = marks["last epoch"] - marks["first step"]
    found["report and end"] = time.perf_counter() - marks["last epoch"]
    found["together"] = sum(found.values())
    return [{"what": what, "seconds": [seconds]} for what, seconds in found.items()]


def set_up(project: Path) -> None:
    """The two commands of the project's README, in an environment of its own."""
    run([sys.executable, "-m", "venv", ".venv"], project)
    python = project / (".venv/Scripts/python.exe" if os.name == "nt" else ".venv/bin/python")
    for wanted in (torch_requirements(project), ["-e", "."]):
        run([str(python), "-m", "pip", "install", *wanted], project)


def torch_requirements(project: Path) -> list[str]:
    """The project's file; its pins alone, from the registry, where its index cannot be reached."""
    lines = (project / "requirements-torch.txt").read_text("utf-8").splitlines()
    indexes = [line.split()[1] for line in lines if line.startswith("--index-url")]
    is_reachable = runpy.run_path(str(TEMPLATE / "tools" / "install.py"))["is_reachable"]
    if all(is_reachable(f"{index}/torch/") for index in indexes):
        return ["-r", "requirements-torch.txt"]
    return [line for line in lines if line.startswith("torch")]


def start(folder: Path, quick: bool) -> Seconds:
    """How long one waits before anything is learned."""
    project = render(folder, "image_classification")
    python = sys.executable
    programs: dict[str, Callable[[], float]] = {
        "import torch": lambda: timed(lambda: run([python, "-c", "import torch"], project)),
        "python train.py to the first step": lambda: to_first_step(project),
        "python train.py --help": lambda: timed(
            lambda: run([python, "train.py", "--help"], project)
        ),
    }
    repeats = 2 if quick else 5
    found: dict[str, list[float]] = {what: [] for what in programs}
    for _ in range(repeats):
        for what, measure in programs.items():
            found[what].append(measure())
    return [{"what": what, "seconds": seconds} for what, seconds in found.items()]


def to_first_step(project: Path) -> float:
    """Seconds until the opening line."""
    began, seconds = time.perf_counter(), 0.0
    for line in lines([sys.executable, "train.py", "--epochs", "1", "--no-report"], project):
        if OPENING.search(line):
            seconds = time.perf_counter() - began
    return seconds


def generation(folder: Path, quick: bool) -> Seconds:
    """A project from this template, and what cookiecutter needs for any template of 20 files."""
    least = folder / "least"
    write_least_template(least)
    what = {"this template": TEMPLATE, "20 small files and a hook that prints": least}
    found: dict[str, list[float]] = {name: [] for name in what}
    for repeat in range(2 if quick else 5):
        for name, template in what.items():
            place = folder / "generation" / f"{name} {repeat}"
            found[name].append(timed(lambda t=template, p=place: generate(t, p)))  # type: ignore[misc]
    return [{"what": name, "seconds": seconds} for name, seconds in found.items()]


def write_least_template(folder: Path) -> None:
    """Cookiecutter's own floor."""
    project = folder / "{{cookiecutter.project_slug}}"
    for path in (project, folder / "hooks"):
        path.mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"project_slug": "least"}', encoding="utf-8")
    (folder / "hooks" / "post_gen_project.py").write_text('print("done")\n', encoding="utf-8")
    for name in ("pyproject.toml", *(f"file_{number}.py" for number in range(19))):
        (project / name).write_text("# {{ cookiecutter.project_slug }}\n", encoding="utf-8")


def costs(folder: Path, quick: bool, repeats: int) -> dict[str, Any]:
    """Ours without the parts that others do not have."""
    project = render(folder, COSTS.task)
    data = prepare(folder, project, 0.125 if quick else 1, [COSTS.workload])
    return compete(COSTS, project, data, repeats)


def growth(folder: Path, quick: bool) -> dict[str, Any]:
    """Ours and bare with ten and a hundred times the data; of the last, the first epoch."""
    project = render(folder, GROWTH.task)
    data = prepare(folder, project, 0.125 if quick else 1, [GROWTH.workload])
    return {
        str(times): compete(GROWTH, project, data, repeats=int(times < 100), times=times)
        for times in ((1, 10) if quick else (1, 10, 100))
    }
