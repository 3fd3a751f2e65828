"""Judge a model: its metrics on a set of samples, and what it said of each of them."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import checkpoint, storage
from .criterion import Criterion
from .datasets import make_data
from .distributed import World
from .hyperparameters import Hyperparameters
from .loaders import Batches, make_eval_loader, on_device
from .models import make_model
from .runtime import Runtime
from .utils import import_torchmetrics, write_text

Metrics = dict[str, float]


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    criterion: Criterion,
    loader: Batches,
    runtime: Runtime,
    world: World,
) -> tuple[Metrics, dict[str, np.ndarray]]:
    """The metrics over all processes, and the criterion's outputs of each sample, in order."""
    import_torchmetrics()  # most of a second, which the first step need not wait for
    from torchmetrics import MeanMetric

    model.eval()
    mean_loss = MeanMetric().to(runtime.device)
    metrics = criterion.metrics().to(runtime.device)
    kept: list[dict[str, Tensor]] = []
    for batch in on_device(loader, runtime.device):
        with runtime.autocast:
            outputs = criterion.evaluate(model, batch)
        mean_loss.update(outputs["loss"])
        criterion.update(metrics, outputs)
        kept.append({name: value for name, value in outputs.items() if name[0] != "_"})
    values = {"loss": mean_loss.compute(), **metrics.compute()}
    return {name: float(value) for name, value in values.items()}, _in_order(kept, world)


def _in_order(kept: list[dict[str, Tensor]], world: World) -> dict[str, np.ndarray]:
    """The outputs of all processes, each of which had every ``world.size``-th sample."""
    mine = {
        name: torch.cat([outputs[name] for outputs in kept]).float().cpu().numpy()
        if kept[0][name].is_floating_point()
        else torch.cat([outputs[name] for outputs in kept]).cpu().numpy()
        for name in (kept[0] if kept else {})
    }
    parts = [part for part in world.gather(mine) if part]
    lengths = [len(part["loss"]) for part in parts]
    positions = [np.arange(length) * world.size + rank for rank, length in enumerate(lengths)]
    order = np.argsort(np.concatenate(positions))
    together = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    return {"index": np.arange(sum(lengths)), **together}


def is_better(value: float, best: float | None, name: str, criterion: Criterion) -> bool:
    """Whether ``value`` of the metric ``name`` is better than ``best``, if there is a best yet."""
    if best is None or math.isnan(best):
        return True
    return value < best if name in criterion.LOWER_IS_BETTER else value > best


def evaluate_run(run: Path, settings: Hyperparameters, runtime: Runtime, world: World) -> Metrics:
    """Metrics of the run's best checkpoint on the test set, saved as evaluation.json."""
    saved = storage.read(run / "checkpoints" / "best.pt")
    data = make_data(settings)
    checkpoint.require_same_data(saved["facts"], data.facts)
    model = make_model(settings, saved["facts"], initialize=False)
    model.load_state_dict(saved["model"])
    runtime.place(model)
    loader = make_eval_loader(data.test, data, settings, runtime, world)
    metrics, _ = evaluate(model, Criterion(settings, saved["facts"]), loader, runtime, world)
    if world.is_main:
        write_text(run / "evaluation.json", json.dumps(metrics, indent=2) + "\n")
    return metrics
