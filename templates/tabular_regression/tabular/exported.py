"""The model as it is exported: numbers as they are in the table, and answers in its units."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..engine.exporting import ExportForm, Inputs, Outputs
from . import reference


class FromNumbers(nn.Module):
    """Adds to the graph what is done in float64 outside of the model: the offsets of columns."""

    offsets: Tensor

    def __init__(self, model: nn.Module, offsets: list[float], target_offset: float | None) -> None:
        super().__init__()
        self.model, self.target_offset = model, target_offset
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.float64))

    def forward(self, numeric: Tensor | None = None, categories: Tensor | None = None) -> Tensor:
        """Numbers (N, F) float64 and codes (N, K) int64 to predictions (N,) or logits (N, classes).

        Predictions are float64. A table without columns of a kind has no input for them.
        """
        some = numeric if numeric is not None else categories
        assert some is not None
        if numeric is None:
            numeric = self.offsets.new_zeros(some.shape[0], 0)
        if categories is None:
            categories = some.new_zeros(some.shape[0], 0, dtype=torch.int64)
        output: Tensor = self.model((numeric - self.offsets).float(), categories)
        return output if self.target_offset is None else output.double() + self.target_offset


def table_form(
    model: nn.Module, offsets: list[float], num_categorical: int, target_offset: float | None
) -> ExportForm:
    """What export needs of a model for tables; classes have no ``target_offset``."""
    module, batch = FromNumbers(model, offsets, target_offset), Dim("batch")
    name = "prediction" if target_offset is not None else "logits"
    examples = {
        "numeric": torch.zeros(2, len(offsets), dtype=torch.float64),
        "categories": torch.zeros(2, num_categorical, dtype=torch.int64),
    }
    inputs = {name: values for name, values in examples.items() if values.shape[1]}

    def to_calls(numeric: Tensor, categories: Tensor) -> list[Inputs]:
        given = {"numeric": numeric.double() + module.offsets, "categories": categories}
        return [{name: given[name] for name in inputs}]

    def to_result(outputs: list[Outputs], *arguments: Any) -> Tensor:
        output = outputs[0][name]
        return output if target_offset is None else (output - target_offset).float()

    return ExportForm(
        task="tabular-classification" if target_offset is None else "tabular-regression",
        module=module,
        inputs=inputs,
        dynamic={name: {0: batch} for name in inputs},
        outputs=[name],
        reference=reference,
        to_calls=to_calls,
        to_result=to_result,
    )
