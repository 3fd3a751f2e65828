"""What is in the data, and what is wrong with it: ``python -m PACKAGE check-data --data DATA``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import UserError
from .arguments import Settings, parse

if TYPE_CHECKING:  # --help takes no torch
    from matplotlib.figure import Figure

    from ..engine.data import Data


@dataclass(frozen=True)
class CheckDataArguments(Settings):
    """Read the data as train does, and say what is in it and what is wrong. Trains nothing.

    Takes the flags of train. Also looks for what takes longer to find, such as duplicates.
    """

    config: Path | None = None
    """TOML file of settings, such as the hyperparameters.toml of an earlier run."""
    output: Path = Path("check-data.html")
    """The page with counts, samples and histograms."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(CheckDataArguments, "check-data", argv)
    if not arguments.output.parent.is_dir():
        raise UserError(f"There is no folder {arguments.output.parent}. Type another --output.")
    from ..loaders import make_data
    from ..report.page import data_tables, write_page

    data = make_data(arguments.hparams)
    problem = inspect(data)
    sizes = ", ".join(f"{len(dataset):,} {name}" for name, dataset in data.splits.items())
    print(f"Samples: {sizes}", *data.report.lines(), sep="\n")
    name = "the embedded data" if arguments.data is None else arguments.data.resolve().name
    write_page(
        arguments.output,
        "data.html.jinja",
        f"Data: {name}",
        {"data": "What was read"},
        draw_pictures(data),
        data=data_tables(data.to_json()),
    )
    print(f"Page: {arguments.output}")
    if problem is not None:
        raise problem
    return 0


def inspect(data: "Data") -> UserError | None:
    """Fill the report with what takes longer to find. Returns why the data cannot be used."""
    try:
        if data.inspect is not None:
            data.inspect()
    except UserError as error:
        data.report.note(str(error))
        return error
    return None


def draw_pictures(data: "Data") -> list[dict[str, object]]:
    """The figures, each as the page shows it."""
    from ..report.page import picture
    from ..report.style import style, to_png

    with style():
        return [picture(name, to_png(drawn), caption) for name, drawn, caption in figures(data)]


def figures(data: "Data") -> Iterator[tuple[str, "Figure", str]]:
    """Class balance, histograms, then what the task shows of its samples."""
    from ..report.data_figures import draw_class_counts, draw_histograms
    from ..visualize import draw

    if data.report.classes:
        yield "class_balance", *draw_class_counts(data.report.classes)
    if data.report.values:
        yield "histograms", draw_histograms(data.report.values), "Share of each split."
    yield from draw({}, data)
