"""The figures and the page of a run: ``python -m PACKAGE report RUN``."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..engine.errors import UserError
from ..engine.files import atomic_write, read_text
from ..engine.run_directory import find_run
from .arguments import Settings, load_settings, program

if TYPE_CHECKING:  # --help takes no torch
    from matplotlib.figure import Figure

    from ..engine.data import Data

SECTIONS = {
    "results": "Results",
    "data": "Data",
    "hyperparameters": "Hyperparameters",
    "environment": "Environment",
}


@dataclass(frozen=True)
class ReportArguments:
    """Draw the figures of a run and write its report.html again."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Name or directory of the run, or latest."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(ReportArguments, prog=program("report"), args=argv)
    print(f"Report: {write_report(find_run(arguments.run))}")
    return 0


def write_report(directory: Path) -> Path:
    """Write figures/*.png and report.html from the files of a run, and return the page's path.

    What the run does not have, or not anymore, is left out with a note on the page.
    """
    from ..engine.checkpoint import load_checkpoint
    from ..engine.metric_log import read_metrics
    from ..loaders import make_data
    from ..report.page import data_tables, flatten, summarize, write_page

    settings = load_settings(directory)
    notes = settings.debug_settings.notes()
    max_val = settings.debug_settings.limits(settings.batch_size).eval_samples
    best_file = directory / "checkpoints" / "best.pt"
    best = noted(notes, "There is no best model yet.", load_checkpoint, best_file) or {}
    rows = noted(notes, "There are no learning curves.", read_metrics, directory) or []
    data = noted(notes, "Some figures are missing.", make_data, settings.hparams)
    record = noted(notes, "", read_json, directory / "data.json")
    environment = noted(notes, "", read_json, directory / "environment.json") or {}
    write_page(
        directory / "report.html",
        "page.html.jinja",
        directory.resolve().name,
        SECTIONS if record else {k: v for k, v in SECTIONS.items() if k != "data"},
        save_figures(directory, draw_figures(directory, rows, best, data, max_val), notes),
        validation=best.get("metrics", {}),
        test=noted(notes, "", read_json, directory / "evaluation.json"),
        summary=summarize(rows, best.get("epoch"), data),
        data=data_tables(record) if record else {},
        hyperparameters=asdict(settings),
        defaults=asdict(Settings()),
        environment=flatten(environment),
        notes=notes,
    )
    return directory / "report.html"


def noted(notes: list[str], consequence: str, function: Callable[..., Any], *inputs: Any) -> Any:
    """What the function returns; after a UserError None, with a note of it and its consequence."""
    try:
        return function(*inputs)
    except UserError as error:
        notes.append(f"{consequence} {error}".strip())
        return None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file."""
    try:
        return dict(json.loads(read_text(path))) if path.exists() else {}
    except (ValueError, TypeError):
        raise UserError(f"{path} is damaged.") from None


def read_arrays(path: Path) -> dict[str, Any]:
    """The arrays in an .npz file."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # of many kinds, as the file may be damaged in any place
        raise UserError(f"{path} is damaged ({error}).") from None


def draw_figures(
    directory: Path,
    rows: list[dict[str, Any]],
    best: Mapping[str, Any],
    data: "Data | None",
    max_val: int,
) -> Iterator[tuple[str, "Figure", str]]:
    """The learning curves, then the task's figures: (file name, figure, caption).

    ``max_val`` is how many validation samples the run used at most.
    """
    from ..engine.checkpoint import require_same_info
    from ..report.curves import draw_learning_curves
    from ..visualize import draw

    if rows:
        curves = draw_learning_curves(rows, best.get("epoch"))
        yield "learning_curves", curves, "The weights of the best epoch are kept."
    if data is not None:
        path, predictions = directory / "predictions.npz", {}
        if best and path.exists():
            predictions = read_arrays(path)
            require_same_info(best["info"], asdict(data.info))
            if len(predictions["index"]) != min(len(data.val), max_val):
                raise UserError("The validation set has another size than in training.")
        yield from draw(predictions, data)


def save_figures(
    directory: Path, figures: Iterable[tuple[str, "Figure", str]], notes: list[str]
) -> list[dict[str, Any]]:
    """Write figures/*.png, and return what the page needs to show them."""
    from ..report.page import picture
    from ..report.style import style, to_png

    pictures = []
    (directory / "figures").mkdir(exist_ok=True)
    with style():
        try:
            for name, figure, caption in figures:
                png = to_png(figure)
                pictures.append(picture(name, png, caption))
                with atomic_write(directory / "figures" / f"{name}.png") as file:
                    file.write(png)
        except UserError as error:
            notes.append(f"Some figures are missing. {error}")
    return pictures
