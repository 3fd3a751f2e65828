"""Where and how this run computes: what was asked for, as far as this machine's torch can do it.

A value that nobody typed is a preference: what the machine cannot do falls back with one note.
A flag is a command: what cannot be done is an error with the remedy.
"""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from .capabilities import (
    best_device,
    compile_problem,
    device_name,
    device_problem,
    distributed_backend,
    precision_problem,
    usable_gpus,
)
from .errors import UserError
from .machine import usable_cpus

if TYPE_CHECKING:
    import torch

DOCTOR = f"`python -m {__package__} doctor`"


class Settings(Protocol):
    """The hyperparameters that are about the machine."""

    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def num_workers(self) -> int: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def tf32(self) -> bool: ...
    @property
    def compile(self) -> bool: ...


@dataclass(frozen=True)
class Runtime:
    """The machine as the run uses it."""

    device: "torch.device"
    precision: str
    autocast_dtype: "torch.dtype | None"
    """None for fp32: no autocast at all."""
    num_workers: int
    workers_typed: bool
    channels_last: bool
    compile: bool
    compile_typed: bool
    pin_memory: bool
    backend: str
    """For torch.distributed: nccl, xccl or gloo."""
    name: str
    """Of the GPU or the CPU."""
    notes: list[str] = field(default_factory=list)
    """What was wished for and is not done, one sentence each, for the user."""

    def place(self, model: "torch.nn.Module") -> None:
        """Move the model to the device, in the memory layout that the run has."""
        import torch

        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        model.to(self.device).to(memory_format=layout)

    @cached_property
    def autocast(self) -> AbstractContextManager[Any]:
        """Automatic mixed precision as the run has it; does nothing in fp32."""
        import torch

        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)


def prepare(settings: Settings, typed: frozenset[str]) -> Runtime:
    """Settle device, precision and the rest; sets torch's TF32 mode and current GPU.

    Args:
        settings: the resolved hyperparameters.
        typed: names of those that the user typed as flags.

    Raises:
        UserError: the user typed something that this machine cannot do.
    """
    import torch

    wishes = Wishes(typed)
    device = _device(settings.device, wishes)
    precision = _precision(device, settings.precision, wishes)
    _set_tf32(device, settings.tf32, wishes)
    return Runtime(
        device=device,
        precision=precision,
        autocast_dtype={"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision),
        num_workers=_num_workers(settings.num_workers, wishes),
        workers_typed="num_workers" in typed,
        channels_last=settings.channels_last,
        compile=settings.compile and _can_compile(device, wishes),
        compile_typed="compile" in typed,
        pin_memory=device.type in ("cuda", "xpu"),
        backend=distributed_backend(device),
        name=device_name(device),
        notes=wishes.notes,
    )


class Wishes:
    """Tells commands from preferences, and remembers which preferences were not followed."""

    def __init__(self, typed: Iterable[str]) -> None:
        self.typed = frozenset(typed)
        self.notes: list[str] = []
        self.other_device = False
        """The device is another than the one wished for, so its settings are of no use either."""

    def refuse(self, setting: str, problem: str, *, instead: str, remedy: str) -> None:
        """Raise if the user typed ``setting``; otherwise note what is done instead."""
        if setting in self.typed:
            raise UserError(f"{problem} {remedy}")
        self.notes.append(f"{problem} {instead}")


def _device(wish: str, wishes: Wishes) -> "torch.device":
    import torch

    if wish == "cpu":
        return torch.device("cpu")
    problem = device_problem(wish) if wish != "auto" else None
    if problem is None and wish != "auto":
        return _own_gpu(torch.device(wish))
    device = best_device()
    if problem is not None:
        wishes.other_device = True
        remedy = f"Type {DOCTOR} to see what would help, or use `--device {device.type}`."
        instead = f"Using {device.type} with its plain settings; {DOCTOR} says more."
        wishes.refuse("device", problem, instead=instead, remedy=remedy)
    return _own_gpu(device)


def _own_gpu(device: "torch.device") -> "torch.device":
    """This process's GPU: under torchrun every process of a machine has its own."""
    import torch

    if device.type not in ("cuda", "xpu"):
        return device
    gpus, number = usable_gpus(device.type), int(os.environ.get("LOCAL_RANK", "0"))
    if number >= len(gpus):
        raise UserError(
            f"torchrun started more processes than the {len(gpus)} GPUs that torch can use here. "
            f"Use `--nproc-per-node {len(gpus)}`, or `--device cpu`."
        )
    torch.get_device_module(device.type).set_device(gpus[number])
    return torch.device(device.type, gpus[number])


def _precision(device: "torch.device", wish: str, wishes: Wishes) -> str:
    if "precision" not in wishes.typed and wishes.other_device:
        return "fp32"
    problem, better = precision_problem(device, wish)
    if problem is None or (wish == "bf16" and device.type == "cpu" and "precision" in wishes.typed):
        return wish  # bf16 is slow on most CPUs, but right
    wishes.refuse(
        "precision",
        problem,
        instead=f"Using {better} instead.",
        remedy=f"Use `--precision {better}`.",
    )
    return better


def _set_tf32(device: "torch.device", wish: bool, wishes: Wishes) -> None:
    """TF32 in the one way that works with torch.compile in torch 2.9 to 2.15."""
    import torch

    possible = device.type == "cuda" and torch.cuda.is_tf32_supported()
    if wish and not possible and "tf32" in wishes.typed:
        raise UserError(f"{device_name(device)} has no TF32 arithmetic. Leave out `--tf32`.")
    torch.set_float32_matmul_precision("high" if wish and possible else "highest")


def _num_workers(wish: int, wishes: Wishes) -> int:
    """The wish; a default is cut to this process's share of the CPUs, without the one it uses."""
    if "num_workers" in wishes.typed:
        return wish
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(0, min(wish, usable_cpus() // processes - 1))


def _can_compile(device: "torch.device", wishes: Wishes) -> bool:
    if "compile" not in wishes.typed and wishes.other_device:
        return False
    problem = compile_problem(device)
    if problem is None:
        return True
    remedy = "Install it, or leave out `--compile`."
    wishes.refuse("compile", problem, instead="Going on without compiling.", remedy=remedy)
    return False
