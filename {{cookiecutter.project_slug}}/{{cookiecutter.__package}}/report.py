"""The report of a run: one file that carries its figures, numbers and settings inside."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from . import storage
from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import Data
from .utils import write_text

Row = dict[str, Any]
"""An epoch in metrics.jsonl."""


@dataclass(frozen=True)
class Picture:
    """A figure as the report shows it."""

    name: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        """The file as text, to stand inside the page."""
        return b64encode(self.png).decode("ascii")

    @property
    def width(self) -> int:
        """Pixels of the page; the picture has half as many again, for sharp screens."""
        return round(int.from_bytes(self.png[16:20], "big") / 1.5)


def write_report(
    run: Path,
    settings: Hyperparameters,
    pictures: Sequence[Picture],
    best: Mapping[str, Any],
    summary: Mapping[str, str],
    notes: Sequence[str],
) -> Path:
    """Write report.html into the run's folder and return its path."""
    notes = list(notes)
    test, environment = (
        read_json(run / f"{name}.json", notes) for name in ("evaluation", "environment")
    )
    page = template().render(
        name=run.resolve().name,
        notes=notes,
        summary=summary,
        validation=best.get("metrics", {}),
        test=test,
        hyperparameters=asdict(settings),
        defaults=asdict(Hyperparameters()),
        environment=flatten(environment),
        pictures=pictures,
    )
    write_text(run / "report.html", page)
    return run / "report.html"


def load_best(run: Path) -> tuple[dict[str, Any], list[str]]:
    """The best checkpoint, empty if there is none that can be read, and the notes on that."""
    try:
        return storage.read(run / "checkpoints" / "best.pt"), []
    except UserError as error:
        return {}, [f"There is no best model yet. {error}"]


def read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none, or, with a note, a damaged one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError):
        notes.append(f"{path} is damaged.")
        return {}


def summarize(rows: list[Row], best: Mapping[str, Any]) -> dict[str, str]:
    """How long the run trained."""
    seconds = sum(row["seconds"] for row in rows)
    return {
        "Epochs": str(len(rows)),
        "Best epoch": str(best.get("epoch", "none")),
        "Time": f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.1f} s",
    }


def sizes(data: Data) -> dict[str, str]:
    """Number of samples in each part of the data."""
    parts = {"Training": data.train, "Validation": data.val, "Test": data.test}
    return {f"{name} samples": f"{len(part):,}" for name, part in parts.items()}


def flatten(values: Mapping[str, Any]) -> dict[str, str]:
    """Lists as a line, and what is inside dicts as entries of their own."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value)
        else:
            flat[name] = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def template() -> jinja2.Template:
    """The page. Autoescape keeps a text such as ``<script>`` harmless."""
    files, strict = jinja2.FileSystemLoader(Path(__file__).parent), jinja2.StrictUndefined
    environment = jinja2.Environment(loader=files, autoescape=True, undefined=strict)
    return environment.get_template("report.html.jinja")
