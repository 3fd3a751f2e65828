"""Are exported files the same model? Answers come from fresh processes without this project."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import pt2_session
from .errors import TrainingFailed
from .evaluation import Criterion, Metrics, evaluate
from .exporting import ExportForm, Inputs, Outputs, StandIn, compute_with
from .run import Run

TOLERANCE = 1e-4
"""Difference of an output in shares of the largest number in it; metrics may differ as much."""


class FreshProcess:
    """An exported file, run in a process that knows nothing of this project."""

    def __init__(self, process: subprocess.Popen[str], path: Path, errors: Path) -> None:
        self.process, self.path, self.errors = process, path, errors

    def __call__(self, inputs: Inputs) -> Outputs:
        """The outputs by name."""
        arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
        np.savez(self.path, **arrays)  # type: ignore[arg-type]
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{self.path}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "done":
            raise TrainingFailed(f"The exported file cannot be run: {answer or self._last_words()}")
        with np.load(self.path) as outputs:
            return {name: torch.from_numpy(outputs[name]) for name in outputs.files}

    def _last_words(self) -> str:
        self.process.wait()
        return (self.errors.read_text().strip().splitlines() or ["no reason given"])[-1]


@contextmanager
def fresh_process(*command: str | Path) -> Iterator[FreshProcess]:
    """Run a program of Python in a process and a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "errors.txt")
        with (
            errors.open("w") as file,
            subprocess.Popen(
                [sys.executable, "-P", *command],
                cwd=folder,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
            ) as process,
        ):
            try:
                yield FreshProcess(process, Path(folder, "batch.npz"), errors)
            finally:
                process.kill()


class Compared(StandIn):
    """Answers as an exported file does, and keeps the largest difference from the model."""

    def __init__(self, form: ExportForm, model: nn.Module, exported: FreshProcess) -> None:
        super().__init__(form, self.compare)
        self.model, self.exported = model, exported
        self.expect = compute_with(form)
        self.difference = 0.0

    def compare(self, inputs: Inputs) -> Outputs:
        """The outputs of the exported file, beside those of the module that was exported."""
        found, expected = self.exported(inputs), self.expect(inputs)
        for name in expected:
            self.note_difference(found[name], expected[name])
        return found

    def forward(self, *arguments: Any) -> Any:
        """What the exported file says, beside what the model itself says."""
        result = super().forward(*arguments)
        if isinstance(result, Tensor):
            self.note_difference(result, self.model(*arguments))
        return result

    def note_difference(self, found: Tensor, expected: Tensor) -> None:
        """Keep the largest difference so far, in shares of the largest expected number."""
        known = expected.isfinite()
        if found.shape != expected.shape or not torch.equal(found.isfinite(), known):
            self.difference = float("inf")
        elif known.any():
            largest = expected[known].abs().max().clamp(min=1e-12)
            difference = ((found[known] - expected[known]).abs().max() / largest).item()
            self.difference = max(self.difference, difference)


def different_metrics(found: dict[str, float], expected: dict[str, float]) -> list[str]:
    """The metrics that are not the same, beside what they should be."""
    return [
        f"{name} {found[name]:.6f} instead of {value:.6f}"
        for name, value in expected.items()
        if name != "loss"
        and not np.isclose(found[name], value, TOLERANCE, TOLERANCE, equal_nan=True)
    ]


def check_export(
    form: ExportForm,
    model: nn.Module,
    criterion: Criterion,
    loaders: Mapping[str, Iterable[Any]],
    run: Run,
    folder: Path,
) -> tuple[Metrics, list[str]]:
    """The metrics of model.onnx on the test set, and in what the files differ from the model.

    ``loaders`` are those of "val", on which outputs are compared, and of "test".
    """
    folder, metrics, problems = folder.resolve(), Metrics(), list[str]()
    expected, _ = evaluate(model, criterion, loaders["test"], run)
    programs: dict[str, list[str | Path]] = {
        "model.onnx": [folder / "onnx_session.py", folder / "model.onnx"],
        "model.pt2": [Path(pt2_session.__file__), folder / "model.pt2", *form.outputs],
    }
    for name, program in programs.items():
        with fresh_process(*program) as exported:
            compared = Compared(form, model, exported)
            evaluate(compared, criterion, loaders["val"], run)
            if name == "model.onnx":
                metrics, _ = evaluate(StandIn(form, exported), criterion, loaders["test"], run)
        print(f"Largest difference on the validation set: {compared.difference:.1g} ({name})")
        if not compared.difference <= TOLERANCE:
            found = f"{compared.difference:.1g} of the largest number"
            problems.append(f"the outputs of {name} differ by {found}")
    problems += [f"on the test set {text}" for text in different_metrics(metrics, expected)]
    return metrics, problems
