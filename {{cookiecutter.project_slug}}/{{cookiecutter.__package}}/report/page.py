"""The page of a run: one HTML file that has its figures, metrics and hyperparameters inside."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from ..engine.data import Data
from ..engine.files import PROJECT, read_text, write_text
from ..engine.judgement import (
    describe_bootstrap,
    describe_calibration,
    describe_margin,
    describe_subgroups,
    metrics_of,
    write_interval,
)
from ..engine.run_records import describe_time

PACKAGE = __name__.partition(".")[0]


def write_page(
    path: Path,
    template: str,
    heading: str,
    sections: Mapping[str, str],
    pictures: Sequence[Mapping[str, Any]],
    **content: Any,
) -> None:
    """Fill ``template``. Autoescape keeps text such as ``<script>`` harmless.

    The table of contents has the pictures and the ``sections``, each an id with its text.
    """
    files, strict = jinja2.FileSystemLoader(Path(__file__).parent), jinja2.StrictUndefined
    jinja = jinja2.Environment(loader=files, autoescape=True, undefined=strict)
    first, *others = sections.items()
    figures = [(item["name"], item["name"].replace("_", " ").capitalize()) for item in pictures]
    page = jinja.get_template(template).render(
        content,
        project=project_name(),
        heading=heading,
        sections=[first, *figures, *others],
        pictures=pictures,
    )
    write_text(path, page)


def project_name() -> str:
    """The heading of the project's README."""
    readme = PROJECT / "README.md"
    lines = read_text(readme).splitlines() if readme.exists() else []
    headings = [line[2:].strip() for line in lines if line.startswith("# ")]
    return headings[0] if headings else PACKAGE


def evaluation_tables(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evaluation.json as sentences and tables; the first row has the names."""
    metrics = [[n, v, write_interval(evaluation, n)] for n, v in metrics_of(evaluation).items()]
    tables: dict[str, Any] = {"metrics": [["metric", "value", "95 % interval"], *metrics]}
    subgroups, thresholds = evaluation.get("subgroups"), evaluation.get("thresholds")
    if subgroups:
        rows = [
            [row["value"], row["samples"]]
            + [f"{value:.3g} {write_interval(row, n, 2)}" for n, value in metrics_of(row).items()]
            for row in subgroups["rows"]
        ]
        tables["subgroups"] = [[subgroups["by"], "samples", *metrics_of(subgroups["rows"][0])]]
        tables["subgroups"] += rows
        tables["about_subgroups"] = describe_subgroups(evaluation)
    worst = evaluation.get("worst", [])
    return {
        "about": describe_bootstrap(evaluation),
        "calibration": describe_calibration(evaluation.get("calibration", {}))
        or describe_margin(evaluation.get("prediction_intervals", {})),
        "thresholds": as_grid(thresholds["rows"]) if thresholds else [],
        "class": thresholds["class"] if thresholds else "",
        "worst": as_grid(worst),
        "subgroups": [],
    } | tables


def as_grid(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Rows with the same names as a table whose first row has the names."""
    return [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []


def data_tables(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of data.json as tables: the first row of each has the names of the columns."""
    samples = data.get("num_samples", {})
    classes = data.get("classes", {})
    names: list[str] = list(next(iter(classes.values()), {}))
    values = [
        [what, split, *numbers.values()]
        for what, splits in data.get("distributions", {}).items()
        for split, numbers in splits.items()
        if numbers["count"]
    ]
    quantiles = ["count", "min", "5%", "median", "95%", "max"]
    return {
        "notes": data.get("notes", []),
        "samples": [["", *samples], ["samples", *samples.values()]],
        "classes": [["class", *classes], *([n, *(c[n] for c in classes.values())] for n in names)]
        if names
        else [],
        "columns": data.get("columns", {}),
        "distributions": [["values", "split", *quantiles], *values] if values else [],
    }


def flatten(values: Mapping[str, Any]) -> dict[str, str]:
    """Each list as one line, and the entries of an inner dict as entries of their own."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value)
        else:
            flat[name] = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def picture(name: str, png: bytes, caption: str) -> dict[str, Any]:
    """A figure as the page shows it; the title follows from the name: ``confusion_matrix``."""
    pixels = int.from_bytes(png[16:20], "big")
    return {
        "name": name,
        "caption": caption,
        "base64": b64encode(png).decode("ascii"),
        "width": round(pixels / 1.5),  # a PNG with more pixels is sharp on every screen
    }


def summarize(
    rows: Sequence[Mapping[str, Any]], best_epoch: int | None, data: Data | None
) -> dict[str, str]:
    """How long the run trained, from the rows of metrics.jsonl, and on how many samples."""
    seconds = sum(row["seconds"] for row in rows)
    splits = {"Training": data.train, "Validation": data.val, "Test": data.test} if data else {}
    return {
        "Epochs": str(len(rows)),
        "Best epoch": str(best_epoch or "none"),
        "Time": describe_time(seconds),
        **{f"{name} samples": f"{len(dataset):,}" for name, dataset in splits.items()},
    }
