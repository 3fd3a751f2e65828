"""The README of an export, in the format of model cards on the Hugging Face hub."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .files import PROJECT

LICENSES = {"MIT": "mit", "Apache-2.0": "apache-2.0", "BSD-3-Clause": "bsd-3-clause"}
Values = Mapping[str, Any]
CARD = """\
---
{header}
---

# {name}

{description}

## Metrics

On the test set ({samples} samples), computed with the float file:

{metrics}{calibration}

## Files

{files}

`model.pt2` is the same graph for `torch.export.load`. The outputs of both on the validation set
were compared with those of the model, in processes without the project: they differ by less than
{tolerance:g} of the largest number. Inputs and outputs:

{inputs}

`onnx_session.py` runs the file with numpy and ONNX Runtime. `reference.py` has the rest of the way
from data to an answer. Classes, columns, vocabulary and hyperparameters are in the metadata of the
file, as JSON.

`docker build` makes an image of a server from this folder. Without Docker it is `python server`, in
an environment with what `requirements.txt` lists; `python server --help` shows its limits.

## Data

{data}

## Limits

The metrics are those of data like the training data; on other data they say nothing. Anything that
the training data does not have (other classes, cameras, languages, ranges of numbers) was never
tested. Programs that decode and scale files in another way than this project change answers a
little.

## Hyperparameters

{hyperparameters}
"""


def write_card(
    path: Path,
    task: str,
    metrics: Values,
    hyperparameters: Values,
    data: Values,
    evaluation: Values,
    **texts: Any,
) -> None:
    """Write the card.

    Args:
        path: the file.
        task: what the hub calls the task.
        metrics: of the test set.
        hyperparameters: all of them.
        data: the content of data.json.
        evaluation: the content of evaluation.json; its intervals are shown.
        texts: the other parts of ``CARD``, as they are.
    """
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    result = {
        "task": {"type": task},
        "dataset": {"name": "test set", "type": "own"},
        "metrics": [{"type": name, "value": value} for name, value in metrics.items()],
    }
    header = {
        "license": LICENSES.get(project.get("license"), "other"),
        "library_name": "onnx",
        "pipeline_tag": task,
        "tags": ["onnx", "pytorch"],
        "metrics": list(metrics),
        "model-index": [{"name": project["name"], "results": [result]}],
    }
    counts = data.get("num_samples", {})
    intervals = evaluation.get("intervals", {})
    path.write_text(
        CARD.format(
            header="\n".join(f"{name}: {json.dumps(value)}" for name, value in header.items()),
            name=project["name"],
            description=project.get("description", ""),
            samples=counts.get("test", "?"),
            metrics="\n".join(
                f"- {name}: {value:.4f}{format_interval(intervals.get(name))}"
                for name, value in metrics.items()
            ),
            data=format_list({**counts, "notes": " ".join(data.get("notes", [])) or "none"}),
            hyperparameters=format_list(hyperparameters),
            **texts,
        ),
        encoding="utf-8",
    )


def format_interval(interval: Any) -> str:
    """The 95 % interval of a metric behind its value, if evaluate found one."""
    if not interval:
        return ""
    low, high = interval
    return f" (95 % interval {low:.4f} to {high:.4f})"


def format_list(values: Values) -> str:
    """A line for each value."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())
