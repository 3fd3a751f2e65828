"""An exported model with 8-bit integers in the place of most weights and activations."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from .errors import UserError
from .exporting import Inputs, quiet

KINDS = ("Conv", "Gemm", "MatMul")
MOST_LOST = 0.02
"""Share of a metric that int8 may cost without a warning."""


class Samples:
    """What ONNX Runtime asks for inputs, batch by batch."""

    def __init__(self, batches: Iterable[Inputs]) -> None:
        self.batches: Iterator[Inputs] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {name: v.cpu().numpy() for name, v in batch.items()}


def quantize(file: Path, target: Path, batches: Iterable[Inputs]) -> None:
    """Write ``file`` as int8. Training samples show how large the numbers between layers become.

    Only layers with weights change: resizing and other preprocessing stay exact.

    Raises:
        UserError: there is no such layer.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static

    original = onnx.load(file)
    weights = {tensor.name for tensor in original.graph.initializer}
    layers = [
        node.name
        for node in original.graph.node
        if node.op_type in KINDS and weights.intersection(node.input)
    ]
    if not layers:
        raise UserError("This model has no layers that int8 would change. Leave out --quantize.")
    with quiet():
        quantize_static(
            file,
            target,
            Samples(batches),
            nodes_to_quantize=layers,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    model = onnx.load(target)
    del model.metadata_props[:]  # ONNX Runtime adds its own
    model.metadata_props.extend(original.metadata_props)
    onnx.save(model, target)


def describe_loss(
    found: Mapping[str, float], expected: Mapping[str, float], lower_is_better: Collection[str]
) -> list[str]:
    """Which metrics are worse than they were by more than ``MOST_LOST``."""
    return [
        f"int8 costs more than {MOST_LOST:.0%} of {name}: {found[name]:.4f} instead of {value:.4f}."
        for name, value in expected.items()
        if name != "loss"
        and (found[name] - value) * (1 if name in lower_is_better else -1) > MOST_LOST * abs(value)
    ]
