"""The commands train, evaluate and report: what may be typed, and what is done with it."""

import argparse
import dataclasses
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .errors import Stopped, UserError
from .hyperparameters import Hyperparameters
from .settings import CountOrZero
from .stored_settings import machine_layer, read_toml

if TYPE_CHECKING:  # parsing takes no torch
    from .distributed import World
    from .profiling import Profile
    from .runtime import Runtime

PROGRAM = f"python -m {__package__}"
Run = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True)
class TrainArguments(Hyperparameters):
    """Train a model; each run gets a folder of its own below runs/.

    Lowest first: the defaults, device.toml (this machine), --config, the flags.
    """

    config: Path | None = None
    """TOML file of hyperparameters, such as the hyperparameters.toml of an earlier run."""
    run: str | None = None
    """Name of the run. None: the time."""
    resume: str | None = None
    """Go on with this run (its name, its folder, or latest) exactly where it stopped."""
    report: bool = True
    """Draw the figures and write the report at the end."""
    profile: CountOrZero = 0
    """Measure where the time of this many steps goes, and write a trace of them; 0: none."""

    def hyperparameters(self) -> Hyperparameters:
        """What decides the result, without what is about this call."""
        names = (item.name for item in dataclasses.fields(Hyperparameters))
        return Hyperparameters(**{name: getattr(self, name) for name in names})


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
    with (
        distributed.group(runtime.backend) as world,
        runs.opened(arguments.run, resumed, settings, world) as run,
    ):
        if world.is_main:
            warn(runtime.notes)
        if settings.deterministic:
            make_deterministic()
        try:
            progress = train(
                settings,
                run,
                runtime,
                world,
                resume=resumed is not None,
                profile=profiler(arguments.profile, run, runtime, world),
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


def profiler(num_steps: int, run: Path, runtime: "Runtime", world: "World") -> "Profile":
    """What watches the first steps of a run, if that is wanted; only the main process does."""
    from .profiling import NoProfile, StepProfile

    if num_steps and world.is_main:
        return StepProfile(num_steps, runtime.device, run / "trace.json.gz")
    return NoProfile()


def parse_train(argv: list[str]) -> TrainArguments:
    """The arguments with all layers applied; needs no torch."""
    layers = [machine_layer()]
    before = argparse.ArgumentParser(prog=program("train"), add_help=False, allow_abbrev=False)
    before.add_argument("--config", type=Path)
    before.add_argument("--resume")
    known = before.parse_known_args(argv)[0]
    if known.resume is not None:
        from . import runs

        path = runs.find(known.resume) / "hyperparameters.toml"
        layers.append((str(path), read_toml(path)))
    if known.config is not None:
        layers.append((str(known.config), read_toml(known.config)))
    defaults = TrainArguments.from_layers(*layers)
    write_optional(TrainArguments)
    return tyro.cli(TrainArguments, prog=program("train"), args=argv, default=defaults)


def write_optional(arguments: type) -> None:
    """Let the class say ``Optional[X]`` for ``X | None``: the same, but tyro knows it at sight.

    For the other one, before Python 3.14, it loads a type checker, which makes ``--help`` half as
    long again.
    """
    for name, hint in typing.get_type_hints(arguments, include_extras=True).items():
        if isinstance(hint, types.UnionType):
            arguments.__annotations__[name] = typing.Union[typing.get_args(hint)]  # noqa: UP007


def typed_flags(argv: list[str]) -> frozenset[str]:
    """Names of the hyperparameters that are among the flags."""
    flags = {word.partition("=")[0].removeprefix("--") for word in argv if word.startswith("--")}
    names = {flag.replace("-", "_") for flag in flags | {f.removeprefix("no-") for f in flags}}
    return frozenset(item.name for item in dataclasses.fields(Hyperparameters)) & names


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


def program(command: str) -> str:
    """The command as the user typed it, for messages."""
    script = Path(sys.argv[0]).name
    return f"python {script}" if script == f"{command}.py" else f"{PROGRAM} {command}"
