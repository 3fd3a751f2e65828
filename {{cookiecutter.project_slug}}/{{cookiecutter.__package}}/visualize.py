"""Step 6, visualise: draws a run's figures; report.py puts them on a page.

Training writes, this module only reads. ``python -m PACKAGE report RUN`` draws again.
"""

import io
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator

from . import checkpoint, runs
from .datasets import make_data
from .errors import UserError
from .figures import draw
from .loaders import Data
from .report import Picture, Row, load_best, sizes, summarize, write_report
from .utils import atomic_write

# Okabe and Ito's colours, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color/).
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# The installed ones of these lend their letters where matplotlib's own font has none.
FONTS = ["Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "Malgun Gothic"]
FONTS += ["Apple SD Gothic Neo", "Microsoft YaHei", "PingFang SC", "Arial Unicode MS"]


def visualize(run: Path) -> Path:
    """Draw the figures of the folder ``run``, write report.html there, and return its path.

    What the run does not have is left out with a note: the best model before the first validation,
    test metrics, data that moved away.

    Raises:
        UserError: the folder is not that of a run.
    """
    settings = runs.load_hyperparameters(run)
    best, notes = load_best(run)
    rows = read_rows(run, notes)
    summary, pictures = summarize(rows, best), list[Picture]()
    with style():
        if rows:
            caption = "The dashed line marks the best epoch, whose weights are kept."
            pictures.append(picture("learning_curves", draw_curves(rows, best), caption))
        try:
            data = make_data(settings)
            summary |= sizes(data)
            pictures += draw_predictions(run, best, data)
        except UserError as error:
            notes.append(f"Some figures are missing. {error}")
    save(run / "figures", pictures)
    return write_report(run, settings, pictures, best, summary, notes)


def draw_predictions(run: Path, best: Mapping[str, Any], data: Data) -> Iterator[Picture]:
    """The task's own figures; before the first validation those that need no predictions."""
    predictions: dict[str, np.ndarray] = {}
    path = run / "predictions.npz"
    if best and path.exists():
        predictions = read_predictions(path)
        checkpoint.require_same_data(best["facts"], data.facts)
        if len(predictions["index"]) != len(data.val):
            raise UserError("The validation set has another size than when the run was trained.")
    for name, figure, caption in draw(predictions, data):
        yield picture(name, figure, caption)


def read_rows(run: Path, notes: list[str]) -> list[Row]:
    """The rows of metrics.jsonl; none, with a note, if the file is damaged."""
    try:
        return runs.read_metrics(run)
    except UserError as error:
        notes.append(str(error))
        return []


_ZIP_ERRORS = (BadZipFile, zlib.error)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """The arrays in the file.

    Raises:
        UserError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, LookupError, EOFError, RuntimeError, *_ZIP_ERRORS) as error:
        raise UserError(f"{path} is damaged ({error}).") from None


def save(folder: Path, pictures: list[Picture]) -> None:
    """Write each picture as a PNG file."""
    folder.mkdir(exist_ok=True)
    for drawn in pictures:
        with atomic_write(folder / f"{drawn.name}.png") as file:
            file.write(drawn.png)


def picture(name: str, figure: Figure, caption: str) -> Picture:
    """The figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return Picture(name, caption, file.getvalue())


def draw_curves(rows: list[Row], best: Mapping[str, Any]) -> Figure:
    """One panel for each metric, training and validation together, then rate and speed."""
    keys, epochs = dict.fromkeys(key for row in rows for key in row), [row["epoch"] for row in rows]
    names = (key.split("/", 1)[1] for key in keys if "/" in key)
    panels = {name: [f"train/{name}", f"val/{name}"] for name in names}
    panels |= {"learning rate": ["lr"], "samples per second": ["samples_per_second"]}
    lines = math.ceil(len(panels) / 3)
    figure = Figure(figsize=(9.6, 2.6 * lines))
    for number, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(lines, 3, number)
        for colour, key in zip(COLOURS, curves, strict=False):
            if key in keys:
                values = [row.get(key, math.nan) for row in rows]
                label = "training" if key.startswith("train/") else "validation"
                marker = "o" if len(rows) <= 30 else ""
                axes.plot(epochs, values, color=colour, marker=marker, markersize=3, label=label)
        if best:
            axes.axvline(best["epoch"], color="0.45", linestyle="--", linewidth=1, zorder=0)
        axes.set(title=title, xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(curves) == 1:
            axes.set_ylim(bottom=0)
        elif curves[0] in keys:
            axes.legend()
    return figure


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, and letters for names in any script."""
    installed = {font.name for font in fontManager.ttflist}
    look = rc_context(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 144,
            "font.family": ["DejaVu Sans", *(name for name in FONTS if name in installed)],
            "font.size": 9,
            "legend.frameon": False,
            "savefig.bbox": "tight",  # nothing is cut off
            "text.parse_math": False,  # a class may be named "$x$"
        }
    )
    with look, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
