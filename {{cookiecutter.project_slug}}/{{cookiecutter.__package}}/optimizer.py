"""Step 4, the optimizer: its parameter groups, the schedule, and the average of the weights."""

import math
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .hyperparameters import Hyperparameters


def make_optimizer(model: nn.Module, hparams: Hyperparameters) -> Optimizer:
    """AdamW or SGD over the trainable parameters, without weight decay on norms and biases."""
    groups: dict[float, list[nn.Parameter]] = {}  # by weight decay
    for parameter in model.parameters():
        if parameter.requires_grad:
            weight_decay = hparams.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault(weight_decay, []).append(parameter)
    params = [{"params": group, "weight_decay": decay} for decay, group in groups.items()]
    lr, momentum = hparams.learning_rate, hparams.momentum
    if hparams.optimizer == "adamw":
        return AdamW(params, lr=lr, fused=True)
    return SGD(params, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True)


def lr_factor(hparams: Hyperparameters, step: int, num_steps: int) -> float:
    """The learning rate of a step as a share of ``learning_rate``: a function of the step alone.

    Linear warm-up, then a cosine to zero (SGDR without restarts, Loshchilov and Hutter 2017,
    https://arxiv.org/abs/1608.03983) or a constant rate.
    """
    warmup_steps = max(1, round(hparams.warmup_fraction * num_steps))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if hparams.schedule == "constant":
        return 1.0
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def make_ema(model: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights and buffers; None if ``decay`` is 0.

    In the first steps the decay is smaller, (1 + step) / (10 + step), so that the initial weights
    are soon forgotten.
    """
    if not decay:
        return None

    def average(averaged: Any, current: Any, num_averaged: Tensor | int) -> None:
        step = int(num_averaged)
        if not averaged[0].is_floating_point():  # indices and counts have no average
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
            return
        get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))(averaged, current, num_averaged)

    ema = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    return ema.requires_grad_(False)
