"""A run's best model as files that run without this project: ``python -m PACKAGE export RUN``."""

import dataclasses
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .arguments import Settings, load_settings, program

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.run import Run


@dataclass(frozen=True)
class ExportArguments:
    """Write a run's best model as ONNX and .pt2, with its preprocessing, into RUN/export.

    Before the files are kept, ONNX Runtime runs them in a process without this project. If their
    outputs on the validation set or their metrics on the test set differ, the exit code is 1.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    data: Path | None = None
    """The data, if it is not where it was in training."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(ExportArguments, prog=program("export"), args=argv)
    from ..engine.exporting import require_packages

    require_packages()
    settings, run = prepare(arguments.run, arguments.data)
    folder = run.directory / "export"
    with tempfile.TemporaryDirectory(dir=run.directory, prefix=".export-") as name:
        beside = Path(name) / "export"
        beside.mkdir()
        problems = export(settings, run, beside)
        if problems:
            print(f"Not kept: {'; '.join(problems)}", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    print(f"Saved in {folder}")
    return 0


def prepare(name: str, data: Path | None) -> tuple[Settings, "Run"]:
    """The settings of the run, to be computed on the CPU in single precision."""
    from ..engine.device import resolve
    from ..engine.distributed import Distributed
    from ..engine.run import Run
    from ..engine.run_directory import find_run

    directory = find_run(name)
    settings = load_settings(directory)
    settings = dataclasses.replace(
        settings, data=data or settings.data, device="cpu", precision="fp32", compile=False
    )
    hardware = resolve(settings, frozenset())
    return settings, Run(directory, settings.run_settings, hardware, Distributed())


def export(settings: Settings, run: "Run", folder: Path) -> list[str]:
    """Write all files into ``folder``; returns in what they differ from the model."""
    from ..engine import onnx_session
    from ..engine.checkpoint import require_same_info
    from ..engine.export_check import check_export
    from ..engine.exporting import write_graphs
    from ..loaders import make_data, make_eval_loader
    from ..models import make_export
    from .best_model import load_best

    hparams = settings.hparams
    best = load_best(hparams, run)
    form = make_export(best.model, hparams, best.info)
    data = make_data(hparams)
    info = dataclasses.asdict(best.info)
    require_same_info(info, dataclasses.asdict(data.info))
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in vars(hparams).items()}
    metadata = {**info, **form.metadata, "task": form.task, "hyperparameters": plain}
    write_graphs(form, metadata, folder)
    for module in (onnx_session, form.reference):
        shutil.copy(str(module.__file__), folder)
    loaders = {
        name: make_eval_loader(dataset, data, run)
        for name, dataset in (("val", data.val), ("test", data.test))
    }
    metrics, problems = check_export(
        form, best.model, best.criterion, loaders, run, folder / "model.onnx"
    )
    print("Test set: " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return problems
