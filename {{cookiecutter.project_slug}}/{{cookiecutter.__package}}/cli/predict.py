"""Predictions for the user's own files: ``python -m PACKAGE predict RUN PATH...``."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..engine.errors import UserError
from .arguments import RowOptions, program, requested_settings


@dataclass(frozen=True, kw_only=True)
class PredictArguments(RowOptions):
    """Predict for your own files with a run's best checkpoint. Needs no training data.

    Prints a table (CSV), or writes it to --output. A file that cannot be read is named, the others
    are done, and the exit code is 1. In folders, files of another kind are left aside and counted.

    - reads standard input. It has the names of images, one a line; for tables and texts it has the
    data itself: CSV with the names of the columns in the first line, JSON lines (each begins with
    a brace), or, of texts, one in each line.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""
    paths: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Files, folders, patterns such as "*.png"; - for standard input."""
    output: Path | None = None
    """File for the table: .csv, .jsonl or .parquet."""
    draw: Path | None = None
    """Folder for pictures with boxes or masks drawn in."""
    device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
    """Where to compute."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(PredictArguments, prog=program("predict"), args=argv)
    from tqdm import tqdm

    from ..engine.inputs import find_inputs
    from ..engine.result_table import open_table
    from ..loaders import INPUTS
    from .library import load

    draw, notes = picture_writer(arguments.draw), list[str]()
    files = find_inputs(arguments.paths, INPUTS, notes)
    for note in notes:
        print(note, file=sys.stderr)
    failures, count = list[str](), 0
    with open_table(arguments.output) as write:
        model = load(arguments.run, requested_settings(argv), device=arguments.device)
        rows = model.rows(files, arguments, failures)
        for row in tqdm(rows, "predicting", unit=" samples", leave=False, disable=None):
            draw(row, model.info)
            write(row)
            count += 1
    for failure in failures:
        print(f"Error: {failure}", file=sys.stderr)
    where = f", in {arguments.output}" if arguments.output else ""
    print(f"{count:,} predictions{where}; {len(failures):,} failures", file=sys.stderr)
    return 1 if failures else 0


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
