"""Train a model: ``python train.py``, or ``python -m PACKAGE train``."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import Stopped, UserError
from ..engine.run_directory import name_run, read_holder
from ..engine.settings import CountOrZero, to_plain
from ..engine.tracking import Tracking, installed
from .arguments import PACKAGE, Settings, parse, program, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.checkpoint import Progress
    from ..engine.run import Run
    from ..hyperparameters import Hyperparameters


@dataclass(frozen=True)
class TrainArguments(Settings):
    """Train a model. Each run gets a directory of its own below runs/.

    Precedence, lowest first: the defaults, device.toml (this machine), --config, the flags.
    """

    config: Path | None = None
    """TOML file of settings, such as the hyperparameters.toml of an earlier run."""
    run: str | None = None
    """Name of the run. None: the time."""
    resume: str | None = None
    """Resume this run (its name, its directory, or latest) exactly where it stopped."""
    report: bool = True
    """Draw the figures and write the report at the end."""
    fast_dev_run: bool = False
    """Try everything once: short for --epochs 1 --limit-batches 1."""
    profile: CountOrZero = 0
    """Measure where the time of this many steps goes, after the first six; 0: no steps."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(TrainArguments, "train", argv)
    if arguments.run and arguments.resume:
        raise UserError("A run that is resumed has a name already. Leave out --run.")
    if arguments.fast_dev_run:
        arguments = dataclasses.replace(arguments, epochs=1, limit_batches=1)
    trackers, notes = installed(arguments.track, requested_settings(argv))
    from torch.autograd import set_detect_anomaly

    from ..engine.checkpoint import find_initial
    from ..engine.device import resolve
    from ..engine.distributed import process_group
    from ..engine.run import Run
    from ..engine.run_directory import find_restarted, find_run, open_run
    from ..engine.seeding import make_deterministic

    hparams, settings = arguments.hparams, arguments.run_settings
    debug = arguments.debug_settings
    name = name_of_fold(arguments.run, hparams.fold)
    resumed = find_run(arguments.resume) if arguments.resume else find_restarted(name)
    start = to_plain(arguments.start_settings)
    initial = None if resumed else find_initial(arguments.start_settings)
    if initial is not None:
        start = dict.fromkeys(start, name_run(initial.run))  # "latest" is soon another one
    hardware = resolve(settings, requested_settings(argv))
    resolved: dict[str, Any] = {
        "device": hardware.device.type,
        "precision": hardware.precision,
        "compile": hardware.compile,
    }
    settings = dataclasses.replace(settings, **resolved)
    if settings.deterministic:
        make_deterministic()
    with process_group(hardware.backend) as dist, set_detect_anomaly(settings.detect_anomaly):
        if dist.is_main:
            warn([*notes, *hardware.notes, *debug.notes()])
            warn(notes_on_prolonging(resumed, arguments) if resumed else [])
        plain = to_plain(hparams) | to_plain(debug) | start, to_plain(settings)
        try:
            with open_run(name, resumed, *plain, dist) as directory:
                tracking = Tracking(trackers * dist.is_main, directory)
                profile, limits = arguments.profile * dist.is_main, debug.limits(hparams.batch_size)
                run = Run(directory, settings, hardware, dist, profile, limits, tracking, initial)
                with tracking:
                    progress = train_or_fall_back(hparams, run)
        except Stopped as stopped:
            return end_stopped(stopped, run)
    if run.is_main:
        warn(debug.notes())
        finish(progress, hparams, run, arguments.report)
    return 0


def notes_on_prolonging(run: Path, arguments: TrainArguments) -> list[str]:
    """That the learning rate of a finished run would rise again."""
    from ..engine.run_records import read_metrics

    rows = read_metrics(run)
    is_longer = bool(rows) and (arguments.epochs or 0) > rows[-1]["epoch"]
    has_finished = read_holder(run).get("ended") == "finished"
    if not (is_longer and has_finished) or getattr(arguments, "schedule", "") == "constant":
        return []
    return [
        f"{run} had finished, so its learning rate had come down. With more epochs it rises again, "
        "and the model gets worse before it gets better. To train on from its weights, start a new "
        f"run: --init-from {name_run(run)}, with a lower --learning-rate. Runs that are to be "
        "prolonged need --schedule constant from the beginning."
    ]


def name_of_fold(run: str | None, fold: str | None) -> str | None:
    """The name of a run; the folds of a cross-validation share its beginning: try-fold-2-5."""
    return f"{run}-fold-{fold.replace('/', '-')}" if run and fold else run


def train_or_fall_back(hparams: "Hyperparameters", run: "Run") -> "Progress":
    """Train; where torch.compile was only a default and fails, train without it.

    Raises:
        UserError: it fails, and ``--compile`` was typed.
    """
    from ..engine.errors import first_line, is_compile_error
    from ..train import train

    try:
        return train(hparams, run)
    except Exception as error:
        if not (run.hardware.compile and is_compile_error(error)):
            raise
        problem = f"torch.compile failed ({type(error).__name__}: {first_line(error)})."
        if run.hardware.compile_requested:
            raise UserError(f"{problem} Leave out `--compile`.") from error
        warn([f"{problem} Training without it."] if run.is_main else [])
    hardware = dataclasses.replace(run.hardware, compile=False)
    return train(hparams, dataclasses.replace(run, hardware=hardware))


def end_stopped(stopped: Stopped, run: "Run") -> int:
    """Say how to continue; returns the exit code."""
    from ..engine.signals import is_signal, requeue

    if run.is_main:
        command = f"{program('train')} --resume {name_run(run.directory)}"
        print(f"Stopped and saved. Continue with: {command}")
        if is_signal(stopped.signal_number, run.settings.requeue_signal):
            requeue()
    return 128 + stopped.signal_number


def finish(progress: "Progress", hparams: "Hyperparameters", run: "Run", report: bool) -> None:
    """Say how good the model is, and what to do next."""
    from ..engine.run_records import read_metrics

    if progress.best is not None:
        print(f"Best epoch: {progress.best_epoch} ({hparams.monitor} {progress.best:.4f}).")
    if run.profile_steps and not (run.directory / "trace.json.gz").exists():
        print(f"Nothing was profiled: the run had too few steps for --profile {run.profile_steps}.")
    if report:
        from .report import write_report  # imports matplotlib, which training does not need

        print(f"Report: {write_report(run.directory)}")
    run.tracking.finish(read_metrics(run.directory))
    print(f"Metrics on the test set: python -m {PACKAGE} evaluate {name_run(run.directory)}")
