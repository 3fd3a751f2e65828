"""A run's best model as files that run without this project: ``python -m PACKAGE export RUN``."""

import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..engine.errors import UserError
from .arguments import Settings, load_settings, program, require_extra, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.data import Data
    from ..engine.exporting import ExportForm, Inputs
    from ..engine.run import Run
    from .best_model import BestModel

NUM_CALIBRATION = 128  # training samples for int8


@dataclass(frozen=True)
class ExportArguments:
    """Write a run's best model as ONNX and .pt2, with its preprocessing, into RUN/export.

    Before the files are kept, they are run in processes without this project, one without torch.
    If outputs on the validation set or metrics on the test set differ, the exit code is 1.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    quantize: Literal["int8"] | None = None
    """Also write model.int8.onnx, which is smaller; its metrics are shown."""
    data: Path | None = None
    """The data, if it is not where it was in training."""


@dataclass(frozen=True)
class Exported:
    """A run, with its model, its data, and the form in which it is exported, once they are needed.

    All is in single precision.
    """

    settings: Settings
    run: "Run"

    @cached_property
    def best(self) -> "BestModel":
        """The best checkpoint, with the temperature of evaluate --calibrate."""
        from .best_model import load_best

        return load_best(self.settings.hparams, self.run)

    @cached_property
    def form(self) -> "ExportForm":
        """How its graph is made.

        Raises:
            UserError: models.py says nothing about export.
        """
        from .. import models

        make_export = getattr(models, "make_export", None)
        if make_export is None:
            raise UserError("models.py has no function make_export, which this command needs.")
        form: ExportForm = make_export(self.best.model, self.settings.hparams, self.best.info)
        form.module.to(self.run.device)
        return form

    @cached_property
    def data(self) -> "Data":
        """The data of the training."""
        from ..engine.checkpoint import require_same_info
        from ..loaders import make_data

        data = make_data(self.settings.hparams)
        require_same_info(dataclasses.asdict(self.best.info), dataclasses.asdict(data.info))
        return data

    def loader(self, split: str) -> Any:
        """The batches of "val" or "test"."""
        from ..loaders import make_eval_loader

        return make_eval_loader(self.data.splits[split], self.data, self.run)


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(ExportArguments, prog=program("export"), args=argv)
    from ..engine.exporting import PACKAGES

    require_extra("export", PACKAGES)
    exported = load(arguments.run, arguments.data)
    directory = exported.run.directory
    with tempfile.TemporaryDirectory(dir=directory, prefix=".export-") as name:
        beside = Path(name) / "export"
        beside.mkdir()
        problems = export(exported, beside, arguments.quantize)
        if problems:
            print(f"Error: not kept, because {'; '.join(problems)}.", file=sys.stderr)
            return 1
        if (directory / "export").exists():
            (directory / "export").rename(Path(name) / "before")  # and is deleted with this folder
        beside.rename(directory / "export")
    print(f"Saved in {directory / 'export'}")
    return 0


def load(name: str, data: Path | None, device: str = "cpu") -> Exported:
    """The run, to be computed on this device."""
    from ..engine.device import resolve
    from ..engine.distributed import Distributed
    from ..engine.run import Run
    from ..engine.run_directory import find_run

    directory = find_run(name)
    settings = load_settings(directory)
    changes: dict[str, Any] = {"device": device, "precision": "fp32", "compile": False}
    settings = dataclasses.replace(settings, data=data or settings.data, **changes)
    hardware = resolve(settings, frozenset())
    return Exported(settings, Run(directory, settings.run_settings, hardware, Distributed()))


def export(exported: Exported, folder: Path, quantize: str | None) -> list[str]:
    """Write all files into ``folder``; returns in what they differ from the model."""
    from ..engine import onnx_session
    from ..engine.calibration import Calibrated
    from ..engine.export_check import check_export
    from ..engine.exporting import write_graphs
    from ..engine.server_files import write_server

    form, best = exported.form, exported.best
    hparams = vars(exported.settings.hparams)
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in hparams.items()}
    facts = {**dataclasses.asdict(best.info), **form.metadata, "task": form.task}
    if isinstance(best.model, Calibrated):
        facts["temperature"] = best.model.temperature  # in the graph already
    write_graphs(form, {**facts, "hyperparameters": plain}, folder)
    for module in (onnx_session, form.reference):
        shutil.copy(str(module.__file__), folder)
    write_server(Path(str(form.reference.__file__)), folder)
    loaders, file = {name: exported.loader(name) for name in ("val", "test")}, folder / "model.onnx"
    judges = (best.model, best.criterion, loaders, exported.run)
    metrics, problems = check_export(form, *judges, folder)
    if problems:
        return problems
    rows = [{"file": file.name, **facts_of(exported, file, metrics)}]
    if quantize:
        rows.append(add_int8(exported, file, metrics))
    finish(exported, folder, metrics, rows, plain)
    return []


def add_int8(exported: Exported, file: Path, expected: dict[str, float]) -> dict[str, str]:
    """Write the file in int8 beside it; returns its row of the table.

    ``expected`` are the metrics of the file.
    """
    from ..engine.evaluation import evaluate
    from ..engine.exporting import StandIn
    from ..engine.quantization import describe_loss, quantize
    from ..engine.speed import onnx_compute

    target = file.with_name("model.int8.onnx")
    quantize(file, target, training_inputs(exported))
    stand_in = StandIn(exported.form, onnx_compute(target))
    loader = exported.loader("test")
    metrics, _ = evaluate(stand_in, exported.best.criterion, loader, exported.run)
    warn(describe_loss(metrics, expected, exported.best.criterion.LOWER_IS_BETTER))
    return {"file": target.name, **facts_of(exported, target, metrics)}


def training_inputs(exported: Exported) -> Iterator["Inputs"]:
    """What the graph would get from the first training samples, as they are augmented."""
    from ..engine.exporting import graph_inputs
    from ..loaders import make_train_loader

    loader = make_train_loader(exported.data, exported.settings.hparams, exported.run)
    batches, count = chain.from_iterable(loader.steps(0)), 0
    for inputs in graph_inputs(exported.form, exported.best.criterion, batches):
        yield inputs
        count += len(next(iter(inputs.values())))
        if count >= NUM_CALIBRATION:
            return


def sample_of(exported: Exported) -> "Inputs":
    """The first validation sample, as the graph gets it."""
    from ..engine.exporting import graph_inputs

    batches = exported.loader("val")
    inputs = next(graph_inputs(exported.form, exported.best.criterion, batches))
    return {name: value[:1] for name, value in inputs.items()}


def facts_of(exported: Exported, file: Path, metrics: dict[str, float]) -> dict[str, str]:
    """Size, speed and metrics of an exported file, as cells of a table."""
    from ..engine.speed import measure, onnx_compute

    speed = measure(onnx_compute(file), sample_of(exported))
    size = {"MB": f"{file.stat().st_size / 1e6:.2f}"}
    known = {name: f"{value:.4f}" for name, value in metrics.items() if name != "loss"}
    return {**size, **speed.cells(), **known}


def finish(
    exported: Exported,
    folder: Path,
    metrics: dict[str, float],
    rows: list[dict[str, str]],
    hyperparameters: dict[str, Any],
) -> None:
    """Print the table of the files, and write the model card."""
    from ..engine.calibration import describe_temperature
    from ..engine.export_check import TOLERANCE
    from ..engine.model_card import write_card
    from ..engine.onnx_session import OnnxModel
    from ..engine.speed import format_table

    table = format_table(rows)
    print(table)
    session = OnnxModel(folder / "model.onnx").session
    lines = [
        f"- {kind} `{item.name}`: {item.type}, {item.shape}"
        for kind, items in (("input", session.get_inputs()), ("output", session.get_outputs()))
        for item in items
    ]
    directory = exported.run.directory
    saved = {}
    for name in ("data", "evaluation"):
        path = directory / f"{name}.json"
        saved[name] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    write_card(
        folder / "README.md",
        exported.form.task,
        {name: value for name, value in metrics.items() if name != "loss"},
        hyperparameters,
        saved["data"],
        saved["evaluation"],
        calibration=describe_temperature(exported.best.model),
        files=table,
        inputs="\n".join(lines),
        tolerance=TOLERANCE,
    )
