"""Metrics of a run's best checkpoint on the test set: ``python -m PACKAGE evaluate RUN``."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..engine.errors import NO_PERMISSION, TrainingFailed, UserError
from ..engine.files import atomic_write, read_arrays, write_json
from ..engine.settings import CountOrZero
from .arguments import load_settings, program, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    import numpy as np

    from ..engine.data import Data
    from ..engine.evaluation import Predictions
    from ..engine.run import Run
    from ..hyperparameters import Hyperparameters


@dataclass(frozen=True)
class EvaluateArguments:
    """Compute the metrics of a run's best checkpoint on the test set, and save evaluation.json.

    Each metric has a 95 % interval: how much it would differ on another test set of this size.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    data: Path | None = None
    """The data, if it is not where it was in training."""
    by: str | None = None
    """Metrics of subgroups too: a column of the table; of files, folder or a regular expression."""
    calibrate: bool = False
    """Fit a temperature to the validation set, and keep it with the model; predict uses it."""
    resamples: CountOrZero | None = None
    """Of the bootstrap. None: 1,000, or as many as take 20 seconds; 0: no intervals."""
    report: bool = True
    """Draw the figures and write the report again."""
    output: Path | None = None
    """Folder for evaluation.json and test_predictions.npz. None: the run's, with a report."""
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
        evaluation, predictions = evaluate_run(settings.hparams, run, arguments)
    if run.is_main:
        import numpy as np

        from ..engine.judgement import describe

        print("\n".join(describe(evaluation)))
        folder = arguments.output or directory
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / "test_predictions.npz") as file:
                np.savez(file, **predictions)
            write_json(folder / "evaluation.json", evaluation)
        except OSError as error:
            if error.errno not in NO_PERMISSION:
                raise
            kept = "The metrics were not kept, and no report was written"
            raise TrainingFailed(
                f"{kept} ({folder}: {error.strerror}). Add --output FOLDER."
            ) from None
        print(f"Saved as {folder / 'evaluation.json'}")
        if arguments.report and arguments.output is None:
            from .report import write_report

            print(f"Report: {write_report(directory)}")
    return 0


def evaluate_run(
    hparams: "Hyperparameters", run: "Run", arguments: EvaluateArguments
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of evaluation.json and of test_predictions.npz, in the main process."""
    from ..engine.calibration import Calibrated
    from ..engine.checkpoint import require_same_info
    from ..engine.evaluation import evaluate
    from ..engine.judgement import judge, subgroups_by
    from ..loaders import make_data, make_eval_loader
    from .best_model import load_best

    if arguments.calibrate:
        run.dist.on_main(lambda: calibrate(run))
    best = load_best(hparams, run)
    data = make_data(hparams)
    require_same_info(dataclasses.asdict(best.info), dataclasses.asdict(data.info))
    subgroups = subgroups_by(data, arguments.by)  # refused before anything is computed
    loader = make_eval_loader(data.test, data, run)
    metrics, outputs = evaluate(best.model, best.criterion, loader, run)
    if not run.is_main:
        return {}, {}
    groups = find_groups(data, hparams)
    val_file = run.directory / "predictions.npz"
    judgement = judge(
        best.criterion,
        outputs,
        data,
        read_arrays(val_file) if val_file.exists() else {},
        groups=groups,
        by=arguments.by,
        subgroups=subgroups,
        count=arguments.resamples,
        temperature=best.model.temperature if isinstance(best.model, Calibrated) else None,
    )
    evaluation = {**metrics, "epoch": best.epoch, **judgement}
    return evaluation, with_places(outputs, data, groups)


def calibrate(run: "Run") -> None:
    """Keep the temperature that fits the validation set with the best checkpoint."""
    from ..engine.calibration import save_temperature
    from ..engine.checkpoint import load_checkpoint

    epoch = load_checkpoint(run.directory / "checkpoints" / "best.pt")["epoch"]
    save_temperature(run.directory, read_arrays(run.directory / "predictions.npz"), epoch)


def find_groups(data: "Data", hparams: "Hyperparameters") -> "np.ndarray | None":
    """The groups of the test samples, as in training; None if it has none."""
    from ..engine.intervals import groups_of_test

    settings = dataclasses.asdict(hparams)
    try:
        return groups_of_test(data, settings.get("group_column") or settings.get("group_by"))
    except UserError as error:  # the user's own test set need not have them
        warn([f"The intervals are over samples, not over groups. {error}"])
        return None


def with_places(
    outputs: "Predictions", data: "Data", groups: "np.ndarray | None"
) -> dict[str, Any]:
    """The content of test_predictions.npz: the outputs, the place and the group of each sample."""
    import numpy as np

    places = np.array([data.test.describe(index) for index in range(len(data.test))])
    return {**outputs, "place": places} | ({} if groups is None else {"group": groups})
