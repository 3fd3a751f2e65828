"""Metrics of a run's best checkpoint on the test set: ``python -m PACKAGE evaluate RUN``."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .arguments import load_settings, program, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.run import Run
    from ..hyperparameters import Hyperparameters


@dataclass(frozen=True)
class EvaluateArguments:
    """Compute the metrics of a run's best checkpoint on the test set, and save evaluation.json."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    data: Path | None = None
    """The data, if it is not where it was in training."""
    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where to compute."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(EvaluateArguments, prog=program("evaluate"), args=argv)
    from ..engine.device import resolve
    from ..engine.distributed import process_group
    from ..engine.run import Run
    from ..engine.run_directory import find_run

    directory = find_run(arguments.run)
    settings = dataclasses.replace(load_settings(directory), device=arguments.device)
    settings = dataclasses.replace(settings, data=arguments.data or settings.data, compile=False)
    hardware = resolve(settings, requested_settings(argv))
    warn([*hardware.notes, *settings.debug_settings.notes()])
    with process_group(hardware.backend) as dist:
        run = Run(directory, settings.run_settings, hardware, dist)
        metrics = evaluate_run(settings.hparams, run)
    if run.is_main:
        print("Test set: " + "  ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
        print(f"Saved as {directory / 'evaluation.json'}")
    return 0


def evaluate_run(hparams: "Hyperparameters", run: "Run") -> dict[str, float]:
    """The metrics of the best checkpoint on the test set, saved as evaluation.json."""
    from ..engine.checkpoint import require_same_info
    from ..engine.evaluation import evaluate
    from ..engine.files import write_json
    from ..loaders import make_data, make_eval_loader
    from .best_model import load_best

    best = load_best(hparams, run)
    data = make_data(hparams)
    require_same_info(dataclasses.asdict(best.info), dataclasses.asdict(data.info))
    loader = make_eval_loader(data.test, data, run)
    metrics, _ = evaluate(best.model, best.criterion, loader, run)
    if run.is_main:
        write_json(run.directory / "evaluation.json", metrics)
    return metrics
