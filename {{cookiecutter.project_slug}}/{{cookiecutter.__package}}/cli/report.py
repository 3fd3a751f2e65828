"""The figures and the page of a run: ``python -m PACKAGE report RUN``."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..engine.errors import UserError
from ..engine.files import atomic_write, read_arrays, read_text
from ..engine.run_directory import find_run
from .arguments import Settings, load_settings, program

if TYPE_CHECKING:  # --help takes no torch
    from matplotlib.figure import Figure

    from ..engine.data import Data

SECTIONS = {
    "results": "Results",
    "data": "Data",
    "worst": "Worst samples",
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
    from ..engine.run_records import read_metrics
    from ..loaders import make_data
    from ..report.page import data_tables, evaluation_tables, flatten, summarize, write_page

    settings = load_settings(directory)
    notes = settings.debug_settings.notes()
    defaults = Settings()
    max_val = settings.debug_settings.limits(settings.batch_size).eval_samples
    best_file = directory / "checkpoints" / "best.pt"
    best = noted(notes, "There is no best model yet.", load_checkpoint, best_file) or {}
    rows = noted(notes, "There are no learning curves.", read_metrics, directory) or []
    data = noted(notes, "Some figures are missing.", make_data, settings.hparams)
    if data is not None:  # which decides a default that is None
        usual = replace(settings.hparams, epochs=defaults.epochs)
        defaults = replace(defaults, epochs=usual.num_epochs(len(data.train)))
    record = noted(notes, "", read_json, directory / "data.json")
    environment = noted(notes, "", read_json, directory / "environment.json") or {}
    test = noted(notes, "", read_json, directory / "evaluation.json")
    if test and test.get("epoch") not in (None, best.get("epoch")):
        notes.append(
            f"What is said of the test set is of epoch {test['epoch']}, but epoch {best['epoch']} "
            f"is the best one now. Type: {program('evaluate')} {directory.name}"
        )
    is_there = {"worst": bool(test and test.get("worst")), "data": bool(record)}
    write_page(
        directory / "report.html",
        "page.html.jinja",
        directory.resolve().name,
        {name: text for name, text in SECTIONS.items() if is_there.get(name, True)},
        save_figures(directory, draw_figures(directory, rows, best, data, max_val), notes),
        validation=best.get("metrics", {}),
        test=evaluation_tables(test) if test else {},
        summary=summarize(rows, best.get("epoch"), data),
        data=data_tables(record) if record else {},
        hyperparameters=asdict(settings),
        defaults=asdict(defaults),
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
    if data is None:
        return
    num_val = min(len(data.val), max_val)
    predictions = read_predictions(directory / "predictions.npz", num_val, "validation set")
    if best and predictions:
        require_same_info(best["info"], asdict(data.info))
    yield from draw(predictions if best else {}, data)
    test = read_predictions(directory / "test_predictions.npz", len(data.test), "test set")
    if best and test:
        of_training = {name for name, _, _ in draw({}, data)}
        for name, figure, caption in draw(test, replace(data, val=data.test)):
            if name not in of_training:
                yield f"test_{name}", figure, caption


def read_predictions(path: Path, num_samples: int, what: str) -> dict[str, Any]:
    """The predictions for a set; empty if there are none.

    Raises:
        UserError: the file is damaged, or the set has another size now.
    """
    predictions = read_arrays(path) if path.exists() else {}
    if predictions and len(predictions["index"]) != num_samples:
        raise UserError(f"The {what} has another size than when the model was judged.")
    return predictions


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
