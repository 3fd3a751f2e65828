"""The commands train, find-lr, evaluate and report: what is done with what was typed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .arguments import (
    PROGRAM,
    Arguments,
    FindLrArguments,
    parse,
    parse_train,
    program,
    typed_flags,
)
from .errors import Stopped, UserError
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:  # --help takes no torch
    from .distributed import World
    from .profiling import Profile
    from .runtime import Runtime

Run = Annotated[str, tyro.conf.Positional]


def train(argv: list[str]) -> int:
    """Train a model."""
    arguments = parse_train(argv)
    if arguments.run and arguments.resume:
        raise UserError("A run that is resumed has its name already. Leave out --run.")
    from . import distributed, runs
    from .runtime import prepare
    from .signals import requeue
    from .train import train
    from .utils import make_deterministic

    resumed = runs.find(arguments.resume) if arguments.resume else None
    resumed = resumed or runs.find_restarted(arguments.run)
    settings = arguments.hyperparameters()
    runtime = prepare(settings, typed_flags(argv))
    settings = settings.but(
        device=runtime.device.type, precision=runtime.precision, compile=runtime.compile
    )
    with distributed.group(runtime.backend) as world:
        if world.is_main:
            warn(runtime.notes)
        if settings.deterministic:
            make_deterministic()
        settings = settle_batch_size(settings, arguments, runtime, world, resumed)
        with runs.opened(arguments.run, resumed, settings, world) as run:
            profile = make_profile(arguments.profile, run, runtime, world)
            try:
                progress = train(
                    settings, run, runtime, world, resume=resumed is not None, profile=profile
                )
            except Stopped as stopped:
                if world.is_main:
                    print(f"Stopped and saved. Go on with: python train.py --resume {run.name}")
                    if stopped.is_called(settings.requeue_signal):
                        requeue()
                return 128 + stopped.number
    if world.is_main:
        if progress.best is not None:
            print(f"Best epoch: {progress.best_epoch} ({settings.monitor} {progress.best:.4f}).")
        if arguments.report:
            print(f"Report: {write_report(run)}")
        print(f"Metrics on the test set: {PROGRAM} evaluate {run.name}")
    return 0


def make_profile(num_steps: int, run: Path, runtime: "Runtime", world: "World") -> "Profile":
    """What watches the first steps of a run, if that is wanted; only the main process does."""
    from .profiling import NoProfile, StepProfile

    if num_steps and world.is_main:
        return StepProfile(num_steps, runtime.device, run / "trace.json.gz")
    return NoProfile()


def settle_batch_size(
    settings: Hyperparameters,
    arguments: Arguments,
    runtime: "Runtime",
    world: "World",
    resumed: Path | None = None,
) -> Hyperparameters:
    """``settings`` with a number where auto was wished for; a run that goes on has its own."""
    if arguments.wanted_batch_size != "auto":
        return settings
    if resumed is not None:
        from . import runs

        return settings.but(batch_size=runs.load_hyperparameters(resumed).batch_size)
    from .batch_size import find_batch_size

    return settings.but(batch_size=find_batch_size(settings, runtime, world))


def find_lr(argv: list[str]) -> int:
    """Try rising learning rates, propose one, and draw the curve."""
    arguments = parse(FindLrArguments, "find-lr", argv)
    from . import distributed
    from .find_lr import draw, find_lr, propose, table
    from .runtime import prepare
    from .utils import make_deterministic

    if not arguments.output.parent.is_dir() or arguments.output.is_dir():
        raise UserError(f"Cannot write {arguments.output}. Choose a file in a folder that exists.")
    settings = arguments.hyperparameters()
    runtime = prepare(settings, typed_flags(argv))
    if settings.deterministic:
        make_deterministic()
    with distributed.group(runtime.backend) as world:
        if world.is_main:
            warn(runtime.notes)
        settings = settle_batch_size(settings, arguments, runtime, world)
        curve = find_lr(settings, runtime, world, arguments.steps)
    rate = propose(curve)
    if world.is_main:
        draw(curve, rate, arguments.output)
        print(table(curve))
        print(f"Picture: {arguments.output}")
        others = " (and the other flags as here)" if typed_flags(argv) - {"learning_rate"} else ""
        print(f"Proposal: python train.py --learning-rate {rate:.2g}{others}")
    return 0


def evaluate(argv: list[str]) -> int:
    """Metrics of a run's best checkpoint on the test set, printed and saved as evaluation.json."""

    def arguments(
        run: Run,
        data: Path | None = None,
        device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto",
    ) -> tuple[str, Path | None, Literal["auto", "cuda", "mps", "xpu", "cpu"]]:
        """Metrics of a run's best checkpoint on the test set, saved as its evaluation.json.

        Args:
            run: Name or folder of the run, or latest.
            data: The data, if it is not where it was in training.
            device: Where to compute.
        """
        return run, data, device

    name, data, device = tyro.cli(arguments, prog=program("evaluate"), args=argv)
    from . import distributed, runs
    from .evaluate import evaluate_run
    from .runtime import prepare

    run = runs.find(name)
    settings = runs.load_hyperparameters(run).but(device=device)
    settings = settings.but(data=data) if data is not None else settings
    runtime = prepare(settings, typed_flags(argv))
    warn(runtime.notes)
    with distributed.group(runtime.backend) as world:
        metrics = evaluate_run(run, settings, runtime, world)
    if world.is_main:
        print("Test set: " + "  ".join(f"{key} {value:.4f}" for key, value in metrics.items()))
        print(f"Saved as {run / 'evaluation.json'}")
    return 0


def report(argv: list[str]) -> int:
    """Figures and report.html of a run again."""

    def arguments(run: Run) -> str:
        """Draw the figures of a run and write its report.html again.

        Args:
            run: Name or folder of the run, or latest.
        """
        return run

    name = tyro.cli(arguments, prog=program("report"), args=argv)
    from . import runs

    print(f"Report: {write_report(runs.find(name))}")
    return 0


def warn(notes: list[str]) -> None:
    """Say what was wished for and is not done."""
    for note in notes:
        print(f"Warning: {note}", file=sys.stderr)


def write_report(run: Path) -> Path:
    """Import matplotlib only now: training does not need it."""
    from .visualize import visualize

    return visualize(run)
