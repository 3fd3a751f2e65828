"""Judge a model: its metrics on a set of samples, and its outputs for each of them."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .distributed import Distributed
from .run import Run

Metrics = dict[str, float]
Predictions = dict[str, np.ndarray]
Scorer = Callable[[np.ndarray], Metrics]
"""The metrics of some samples, given by their indices, which may repeat."""


class Criterion(Protocol):
    """What a task's criterion offers for evaluation."""

    def evaluate(self, model: nn.Module, batch: Any) -> dict[str, Tensor]: ...
    def metrics(self) -> Any: ...
    def update(self, metrics: Any, outputs: dict[str, Tensor]) -> None: ...


@torch.inference_mode()
def evaluate(
    model: nn.Module, criterion: Criterion, batches: Iterable[Any], run: Run
) -> tuple[Metrics, Predictions]:
    """The metrics over all processes, and the criterion's outputs for each sample, in order."""
    from torchmetrics import MeanMetric  # a second, for which the first step need not wait

    run.dist.broadcast_buffers(model)
    model.eval()
    mean_loss = MeanMetric().to(run.device)
    metrics = criterion.metrics().to(run.device)
    kept: list[dict[str, Tensor]] = []
    for batch in batches:
        with run.autocast():
            outputs = criterion.evaluate(model, batch)
        mean_loss.update(outputs["loss"])
        criterion.update(metrics, outputs)
        kept.append({name: value for name, value in outputs.items() if name[0] != "_"})
    values = {"loss": mean_loss.compute(), **metrics.compute()}
    return {name: float(value) for name, value in values.items()}, _in_order(kept, run.dist)


def _in_order(kept: list[dict[str, Tensor]], dist: Distributed) -> Predictions:
    """The outputs of all processes, each of which had every ``world_size``-th sample."""
    mine = {name: to_numpy([outputs[name] for outputs in kept]) for name in (kept or [{}])[0]}
    shares = [share for share in dist.all_gather(mine) if share]
    lengths = [len(share["loss"]) for share in shares]
    positions = [np.arange(length) * dist.world_size + rank for rank, length in enumerate(lengths)]
    order = np.argsort(np.concatenate(positions))
    joined = {name: np.concatenate([share[name] for share in shares])[order] for name in shares[0]}
    return {"index": np.arange(sum(lengths)), **joined}


def to_numpy(outputs: list[Tensor]) -> np.ndarray:
    """The tensors one after the other, as an array on the CPU."""
    joined = torch.cat(outputs)
    is_half = joined.dtype in (torch.bfloat16, torch.float16)  # NumPy does not have the first
    array: np.ndarray = (joined.float() if is_half else joined).cpu().numpy()
    return array
