"""Says how long the rendered projects are, as a Markdown table.

    python tools/sizes.py [--compare REV]

Counts lines of Python with comments and blank lines. With a revision of git: before → after.
"""

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
COLUMNS = """
    task | package: lines | files | top files: lines | longest | tests: lines
    | function: median | 90 % | longest
"""
# The files of the steps, which users edit; datasets, sources and figures are of older revisions.
TOP = """
    hyperparameters loaders datasets sources models utils criterion optimizer train visualize
    figures
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--compare", metavar="REV", help="a revision of git to compare with")
    revision = parser.parse_args().compare
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        after = measure(TEMPLATE, folder / "after")
        before = measure(checkout(revision, folder / "template"), folder / "before")
    print(f"| {' '.join(COLUMNS.split())} |")
    print(f"|---|{'---:|' * COLUMNS.count('|')}")
    for task, sizes in after.items():
        old = before.get(task, [None] * len(sizes))
        print(f"| {task} | {' | '.join(map(cell, old, sizes))} |")
    return 0


def checkout(revision: str | None, folder: Path) -> Path | None:
    """The template as it was in the revision; None if there is none to compare with."""
    if revision is None:
        return None
    command = ["git", "archive", revision]
    archive = subprocess.run(command, cwd=TEMPLATE, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def measure(template: Path | None, folder: Path) -> dict[str, list[int]]:
    """The numbers of the table for each task of the template."""
    if template is None:
        return {}
    tasks = json.loads((template / "cookiecutter.json").read_text("utf-8"))["task"]
    return {task: sizes_of(render(template, task, folder / task)) for task in tasks}


def render(template: Path, task: str, folder: Path) -> Path:
    """A project with default answers; in a process of its own, for each template has a module."""
    folder.mkdir(parents=True)
    config = folder / "cookiecutter.yaml"
    settings = {key: str(folder / key) for key in ("replay_dir", "cookiecutters_dir")}
    config.write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", str(template), "--no-input"]
    command += ["--config-file", str(config), "-o", str(folder), f"task={task}"]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=template, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "my-torch-project"


def sizes_of(project: Path) -> list[int]:
    """The numbers of a row, without the name of the task."""
    package = project / "my_torch_project"
    texts = {path: path.read_text("utf-8") for path in package.rglob("*.py")}
    lines = {path: text.count("\n") for path, text in texts.items()}
    top = [lines[path] for path in lines if path.parent == package and path.stem in TOP.split()]
    tests = sum(path.read_text("utf-8").count("\n") for path in project.glob("tests/*.py"))
    functions = [length for text in texts.values() for length in function_lengths(text)]
    median, ninth = (round(statistics.quantiles(functions, n=10)[place]) for place in (4, 8))
    sizes = [sum(lines.values()), len(lines), sum(top), max(top), tests]
    return [*sizes, median, ninth, max(functions)]


def function_lengths(text: str) -> list[int]:
    """Lines of each function and method, from ``def`` to its end."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [(node.end_lineno or 0) - node.lineno + 1 for node in nodes]


def cell(before: int | None, after: int) -> str:
    """The number, or both with an arrow."""
    return f"{after:,}" if before is None else f"{before:,} → {after:,}"


if __name__ == "__main__":
    sys.exit(main())
