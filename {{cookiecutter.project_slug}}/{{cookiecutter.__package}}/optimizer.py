"""Step 4, the optimizer: its parameter groups, the schedule, and the moving average of weights."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .settings import CommonHyperparameters


def make_optimizer(model: nn.Module, settings: CommonHyperparameters) -> Optimizer:
    """AdamW or SGD over what is to be trained, without weight decay on norms and biases."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=settings.learning_rate, fused=True)
    momentum = settings.momentum
    return SGD(
        groups, lr=settings.learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True
    )


def make_schedule(
    optimizer: Optimizer, settings: CommonHyperparameters, num_steps: int
) -> LambdaLR:
    """Linear warm-up, then a cosine to zero or a constant rate; one ``step()`` per optimizer step.

    The cosine is that of SGDR without restarts (Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983).
    """
    warmup = max(1, round(settings.warmup_fraction * num_steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if settings.schedule == "constant":
            return 1.0
        progress = (step - warmup) / max(1, num_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


class WeightAverage:
    """An exponential moving average of a model's weights, itself a model that can be evaluated.

    Without decay it is the model itself and ``update`` does nothing. In the first steps the decay
    is smaller, ``(1 + step) / (10 + step)``, so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False) if decay else model
        self._source = _floating(model)
        self._average = _floating(self.model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step number ``step``, counted from 0."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._average, self._source, 1 - decay)


def _floating(model: nn.Module) -> list[Tensor]:
    """Parameters and the buffers that can be averaged (a batch norm's statistics, say)."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


class Kept:
    """What a forward pass changes in the model, to be put back if the step is not to count."""

    def __init__(self, model: nn.Module) -> None:
        self.buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self._copies = [buffer.clone() for buffer in self.buffers]

    @torch.no_grad()
    def put_back(self, optimizer: Optimizer, norm: Tensor, scaler: torch.amp.GradScaler) -> None:
        """If the gradients' ``norm`` is not finite, undo, and let the optimizer do nothing.

        It is decided on the device, so nothing waits for it.
        """
        wrong = ~norm.isfinite()
        for buffer, before in zip(self.buffers, self._copies, strict=True):
            buffer.copy_(torch.where(wrong, before, buffer))
        if not scaler.is_enabled():  # which does the same by itself
            optimizer.grad_scale = None  # type: ignore[attr-defined]
            optimizer.found_inf = wrong.float()  # type: ignore[attr-defined]
