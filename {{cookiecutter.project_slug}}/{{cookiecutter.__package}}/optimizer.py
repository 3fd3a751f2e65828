"""Step 4, the optimizer: its parameter groups, the schedule, and the moving average of weights."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.adamw import adamw
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from .settings import CommonHyperparameters

HOOKS = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)  # those of all optimizers


def make_optimizer(model: nn.Module, settings: CommonHyperparameters) -> Optimizer:
    """AdamW or SGD over what is to be trained, without weight decay on norms and biases."""
    groups: dict[float, list[nn.Parameter]] = {}  # by their weight decay
    for parameter in model.parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault(decay, []).append(parameter)
    params = [{"params": group, "weight_decay": decay} for decay, group in groups.items()]
    if settings.optimizer == "adamw":
        return AdamW(params, lr=settings.learning_rate, fused=True)
    momentum = settings.momentum
    return SGD(
        params, lr=settings.learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True
    )


def take_step(optimizer: Optimizer) -> None:
    """The same as ``optimizer.step()``, but fused AdamW goes to its kernel straight away.

    With a small model torch's own spends most of a step on what is not there: closures, hooks,
    rates that are tensors. It still takes the first step, and whatever is not the usual case.
    """
    usual = _is_fused_adamw(optimizer)
    gathered = [_gather(optimizer, group["params"]) for group in optimizer.param_groups if usual]
    if not usual or not all(gathered):
        optimizer.step()
        return
    with torch.no_grad():
        for group, tensors in zip(optimizer.param_groups, gathered, strict=True):
            beta1, beta2 = group["betas"]
            adamw(
                *tensors,  # type: ignore[misc]  # not None
                fused=True,
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )


def _is_fused_adamw(optimizer: Optimizer) -> bool:
    """Whether that is all that it is, and nobody has a hook on its step or another one for it."""
    if type(optimizer) is not AdamW or vars(optimizer).keys() & {"found_inf", "step"}:
        return False
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    groups, hooks = optimizer.param_groups, own or any(HOOKS)
    return not hooks and all(group["fused"] and not group["amsgrad"] for group in groups)


def _gather(optimizer: Optimizer, parameters: list[Tensor]) -> tuple[list[Tensor], ...] | None:
    """What ``adamw`` works on; None if a parameter has no gradient or did not take a step yet."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    if len(gradients) < len(parameters) or not all(states):
        return None
    means, squares, steps = (
        [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")
    )
    return parameters, gradients, means, squares, [], steps


def forget_gradients(optimizer: Optimizer) -> None:
    """The same as ``optimizer.zero_grad()``, without its note for a profiler, which costs more."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class Schedule:
    """The learning rate of every step: a function of the step alone, so it has no state to save."""

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        """``factor`` tells what part of its highest rate each parameter group has in a step."""
        self.optimizer, self.factor = optimizer, factor
        self._highest: list[float] = [group["lr"] for group in optimizer.param_groups]

    def set_rate(self, step: int) -> float:
        """Set the rates for optimizer step number ``step``, counted from 0; returns the first."""
        rates = [highest * self.factor(step) for highest in self._highest]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        return rates[0]


def make_schedule(
    optimizer: Optimizer, settings: CommonHyperparameters, num_steps: int
) -> Schedule:
    """Linear warm-up, then a cosine to zero or a constant rate.

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

    return Schedule(optimizer, factor)


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

    def update(self, step: int) -> None:
        """Take in the weights after optimizer step number ``step``, counted from 0."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            with torch.no_grad():
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
