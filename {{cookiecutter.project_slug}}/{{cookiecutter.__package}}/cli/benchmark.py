"""Speed, memory and metrics of a run's best model: ``python -m PACKAGE benchmark RUN``."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..engine.errors import first_line
from .arguments import program, require_extra
from .export import Exported, load, sample_of

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.exporting import Inputs
    from ..engine.speed import Compute

FILES = {"onnx": "model.onnx", "int8": "model.int8.onnx", "openvino": "model.onnx"}


@dataclass(frozen=True)
class BenchmarkArguments:
    """Measure a run's best model: as it is, compiled, and the files that export wrote.

    Each is measured in a process of its own, all with the preprocessing in the graph. openvino, if
    it is installed, runs the ONNX file too.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    data: Path | None = None
    """The data, if it is not where it was in training."""
    compile: bool = True
    """Measure the compiled model too, which takes a minute."""
    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where the model computes; the exported files run on the CPU."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(BenchmarkArguments, prog=program("benchmark"), args=argv)
    from ..engine.exporting import PACKAGES
    from ..engine.run_directory import find_run
    from ..engine.speed import format_table

    folder = find_run(arguments.run) / "export"
    files = [kind for kind, name in FILES.items() if (folder / name).is_file()]
    if find_spec("openvino") is None and "openvino" in files:
        files.remove("openvino")
    if files:
        require_extra("export", PACKAGES)
    rows, sample = [], sample_of(load(arguments.run, arguments.data))
    for kind in ["eager", *(["compiled"] if arguments.compile else []), *files]:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            rows.append(process.submit(measure_kind, kind, arguments, sample).result())
    print(format_table(rows))
    if not files:
        print("The ONNX file is measured after: " + program("export") + f" {arguments.run}")
    return 0


def measure_kind(kind: str, arguments: BenchmarkArguments, sample: "Inputs") -> dict[str, str]:
    """The row of the table for one kind; the data is loaded after the memory was measured."""
    from .. import models  # noqa: F401  # so that its own memory does not count
    from ..engine.evaluation import evaluate
    from ..engine.exporting import StandIn
    from ..engine.metric_log import peak_memory_mib
    from ..engine.speed import measure

    device = "cpu" if kind in FILES else arguments.device
    exported = load(arguments.run, arguments.data, device)
    run = exported.run
    before = peak_memory_mib(run.device)
    compute, file = compute_of(kind, exported)
    try:
        speed = measure(compute, {name: value.to(run.device) for name, value in sample.items()})
    except Exception as error:
        if kind != "compiled":
            raise
        print(f"Not compiled: {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return {"model": "compiled"}
    after = peak_memory_mib(run.device)
    stand_in, loader = StandIn(exported.form, compute), exported.loader("test")
    metrics, _ = evaluate(stand_in, exported.best.criterion, loader, run)
    memory = f"{after - before:,.0f}" if before is not None and after is not None else "–"
    return {
        "model": kind,
        "device": run.device.type,
        **speed.cells(),
        "MiB more memory": memory,
        "file, MB": f"{file.stat().st_size / 1e6:.2f}",
        **{name: f"{value:.4f}" for name, value in metrics.items() if name != "loss"},
    }


def compute_of(kind: str, exported: Exported) -> tuple["Compute", Path]:
    """The function to measure, and the file it comes from."""
    from ..engine.exporting import compute_with
    from ..engine.speed import onnx_compute, openvino_compute

    directory = exported.run.directory
    if kind in FILES:
        file = directory / "export" / FILES[kind]
        return (openvino_compute if kind == "openvino" else onnx_compute)(file), file
    module = exported.form.module.eval()
    if kind == "compiled":
        module.compile(dynamic=True)
    return compute_with(exported.form), directory / "checkpoints" / "best.pt"
