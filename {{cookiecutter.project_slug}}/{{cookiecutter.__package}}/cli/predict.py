"""Predictions for the user's own files: ``python -m PACKAGE predict RUN PATH...``."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from annotated_types import Ge

from ..engine.errors import UserError
from ..engine.settings import Fraction
from .arguments import Settings, load_settings, program, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.run import Run


@dataclass(frozen=True)
class PredictArguments:
    """Predict for your own files with a run's best checkpoint. Needs no training data.

    Prints a table (CSV), or writes it to --output. A file that cannot be read is named, the others
    are done, and the exit code is 1.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    paths: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Files, folders, patterns such as "*.png"; - for names of files in standard input."""
    output: Path | None = None
    """File for the table: .csv, .jsonl or .parquet."""
    top: Annotated[int, Ge(1)] = 1
    """How many classes to list, the most probable first."""
    min_score: Fraction = 0.3
    """Boxes with a lower score are left out."""
    draw: Path | None = None
    """Folder for pictures with boxes or masks drawn in."""
    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where to compute."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(PredictArguments, prog=program("predict"), args=argv)
    from ..engine.result_table import open_table

    failures, count = list[str](), 0
    with open_table(arguments.output) as write:
        for row in predict_rows(arguments, argv, failures):
            write(row)
            count += 1
    for failure in failures:
        print(f"Error: {failure}", file=sys.stderr)
    where = f", in {arguments.output}" if arguments.output else ""
    print(f"{count:,} predictions{where}; {len(failures):,} failures", file=sys.stderr)
    return 1 if failures else 0


def predict_rows(
    arguments: PredictArguments, argv: list[str], failures: list[str]
) -> Iterator[dict[str, Any]]:
    """A row of the table for each sample; why others could not be read goes to ``failures``."""
    from tqdm import tqdm

    from ..engine.data import Data, SampleDataset
    from ..engine.inputs import TolerantInputs, find_inputs, predict
    from ..loaders import make_eval_loader, make_inputs
    from ..visualize import make_rows
    from .best_model import load_best

    draw = picture_writer(arguments.draw)
    files = find_inputs(arguments.paths)
    settings, run = prepare(arguments, argv)
    best = load_best(settings.hparams, run)
    bar = tqdm(desc="predicting", unit=" samples", leave=False, disable=None)
    for open_inputs in make_inputs(files, settings.hparams, best.info):
        try:
            dataset = open_inputs(failures)
        except UserError as error:
            failures.append(str(error))
            continue
        in_memory = not isinstance(dataset, SampleDataset)
        data = Data(dataset, dataset, dataset, best.info, in_memory)
        loader = make_eval_loader(TolerantInputs(dataset), data, run)
        for indices, outputs, failed in predict(best.model, best.criterion, loader, run):
            failures += failed
            if indices:
                places = [dataset.describe(index) for index in indices]
                for row in make_rows(outputs, places, best.info, arguments):
                    draw(row, best.info)
                    yield row
            bar.update(len(indices) + len(failed))
    bar.close()


def prepare(arguments: PredictArguments, argv: list[str]) -> tuple[Settings, "Run"]:
    """The settings of the run, and where to compute now."""
    from ..engine.device import resolve
    from ..engine.distributed import Distributed
    from ..engine.run import Run
    from ..engine.run_directory import find_run

    directory = find_run(arguments.run)
    settings = load_settings(directory)
    settings = dataclasses.replace(settings, device=arguments.device, compile=False)
    hardware = resolve(settings, requested_settings(argv))
    warn(hardware.notes)
    return settings, Run(directory, settings.run_settings, hardware, Distributed())


def picture_writer(folder: Path | None) -> Callable[[dict[str, Any], Any], None]:
    """A function that saves the picture of a row in ``folder``; without one it does nothing.

    Raises:
        UserError: the task has no pictures.
    """
    from .. import visualize

    if folder is None:
        return lambda row, info: None
    make_picture = getattr(visualize, "make_picture", None)
    if make_picture is None:
        raise UserError("Predictions of this task have no boxes or masks. Leave out --draw.")
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    names = Counter[str]()

    def save(row: dict[str, Any], info: Any) -> None:
        name = Path(row["file"]).stem
        names[name] += 1
        end = f"-{names[name]}" if names[name] > 1 else ""
        pixels = make_picture(row, info).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{name}{end}.png")

    return save
