"""A model as files that run without this project: ONNX, and PyTorch's own .pt2."""

import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from .errors import TrainingFailed
from .evaluation import Criterion

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
Inputs = dict[str, Tensor]
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class ExportForm:
    """How a task's model becomes a graph, and how what the model is called with becomes inputs."""

    task: str
    """What the Hugging Face hub calls the task, for the model card."""
    module: nn.Module
    """Takes the inputs by name, and returns the outputs: a tensor, or a tuple of several."""
    inputs: Inputs
    """An example with two samples."""
    dynamic: Mapping[str, Mapping[int, Dim]]
    """The dimensions of each input that may have any size."""
    outputs: Sequence[str]
    reference: ModuleType
    """The preparation of inputs and the meaning of outputs in numpy; its file goes along."""
    to_calls: Callable[..., list[Inputs]]
    """The arguments of the model, as inputs of one or more calls of the graph."""
    to_result: Callable[..., Any]
    """What the model would return, from the outputs of these calls and the model's arguments."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the reference needs beside ``DataInfo`` and the hyperparameters."""


class StandIn(nn.Module):
    """Is called like the model, but another function computes the outputs of the graph."""

    def __init__(self, form: ExportForm, compute: Callable[[Inputs], Outputs]) -> None:
        super().__init__()
        self.form, self.compute = form, compute

    def forward(self, *arguments: Any) -> Any:
        """What the model would return."""
        outputs = [self.compute(call) for call in self.form.to_calls(*arguments)]
        return self.form.to_result(outputs, *arguments)


def compute_with(form: ExportForm) -> Callable[[Inputs], Outputs]:
    """The function of a ``StandIn`` that calls the form's module."""

    def compute(inputs: Inputs) -> Outputs:
        outputs = form.module(**inputs)
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        return dict(zip(form.outputs, several, strict=True))

    return compute


def graph_inputs(
    form: ExportForm, criterion: Criterion, batches: Iterable[Any]
) -> Iterator[Inputs]:
    """What the graph is called with when a criterion evaluates these batches."""
    calls: list[Inputs] = []
    compute = compute_with(form)

    def record(inputs: Inputs) -> Outputs:
        calls.append(inputs)
        return compute(inputs)

    stand_in = StandIn(form, record).eval()
    for batch in batches:
        with torch.no_grad():
            criterion.evaluate(stand_in, batch)
        yield from calls
        calls.clear()


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what exporters say about their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def write_graphs(form: ExportForm, metadata: Mapping[str, Any], folder: Path) -> None:
    """Write ``model.onnx`` and ``model.pt2``, with ``metadata`` as JSON in both.

    Raises:
        TrainingFailed: torch cannot export this model.
    """
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()}
    try:
        with quiet():
            program = torch.onnx.export(
                form.module.eval(),
                (),
                kwargs=dict(form.inputs),
                dynamic_shapes={name: dict(sizes) for name, sizes in form.dynamic.items()},
                input_names=list(form.inputs),
                output_names=list(form.outputs),
                dynamo=True,
                verbose=False,
            )
            assert program is not None and program.exported_program is not None
            program.model.metadata_props.update(texts)
            program.save(str(folder / "model.onnx"))
            torch.export.save(program.exported_program, folder / "model.pt2", extra_files=texts)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise TrainingFailed(f"torch cannot export this model: {reason}") from None
    kept = {item.name for item in program.model.graph.inputs}
    if lost := form.inputs.keys() - kept:
        raise TrainingFailed(f"The graph has no input {', '.join(sorted(lost))}.")
