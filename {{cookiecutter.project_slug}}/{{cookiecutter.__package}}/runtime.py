"""Where and how this run computes: what was asked for, as far as this machine's torch can do it.

A value that nobody typed is a preference: what the machine cannot do falls back with one note.
A flag is a command: what cannot be done is an error with the remedy.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from .device import detect
from .errors import UserError
from .machine import usable_cpus

if TYPE_CHECKING:
    import torch

DOCTOR = f"`python -m {__package__} doctor`"


class Settings(Protocol):
    """The hyperparameters that are about the machine."""

    @property
    def device(self) -> Literal["auto", "cuda", "mps", "cpu"]: ...
    @property
    def precision(self) -> Literal["fp32", "bf16", "fp16"]: ...
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
    pin_memory: bool
    backend: str
    """For torch.distributed: nccl or gloo."""
    name: str
    """Of the GPU or the CPU."""
    notes: list[str] = field(default_factory=list)
    """What was wished for and is not done, one sentence each, for the user."""


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
        pin_memory=device.type == "cuda",
        backend="nccl" if device.type == "cuda" and _has_nccl() else "gloo",
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
    problem = {"cuda": cuda_problem, "mps": mps_problem}[wish]() if wish != "auto" else None
    if problem is None and wish != "auto":
        return _own_gpu() if wish == "cuda" else torch.device(wish)
    device = best_device()
    if problem is not None:
        wishes.other_device = True
        remedy = f"Type {DOCTOR} to see what would help, or use `--device {device.type}`."
        instead = f"Using {device.type} with its plain settings; {DOCTOR} says more."
        wishes.refuse("device", problem, instead=instead, remedy=remedy)
    return _own_gpu() if device.type == "cuda" else device


def best_device() -> "torch.device":
    """The GPU, if torch can use it; else the CPU."""
    import torch

    if torch.cuda.is_available() and cuda_problem() is None:
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def cuda_problem() -> str | None:
    """Why torch cannot compute on an NVIDIA or AMD GPU here, in a sentence; None if it can."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "finds no GPU that it can use" if built else "is a build without CUDA"
        return f"torch {torch.__version__} {why} (this machine: {detect().summary()})."
    capability, architectures = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if torch.version.hip is None and not has_kernels(capability, architectures):
        name, (major, minor) = torch.cuda.get_device_name(), capability
        return (
            f"torch {torch.__version__} has no kernels for {name} (compute capability "
            f"{major}.{minor}; it has {' '.join(architectures)})."
        )
    return None


def has_kernels(capability: tuple[int, int], architectures: Iterable[str]) -> bool:
    """Whether code for one of ``architectures`` (sm_86, compute_90 ...) runs on this GPU.

    Compiled code (sm) runs on the same major version and any higher minor one; PTX (compute) is
    translated for everything newer.
    """
    for architecture in architectures:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", architecture)
        if match is None:
            continue
        built = int(match[2]), int(match[3])
        if match[1] == "sm" and built[0] == capability[0] and built[1] <= capability[1]:
            return True
        if match[1] == "compute" and built <= capability:
            return True
    return False


def mps_problem() -> str | None:
    """Why torch cannot compute on an Apple GPU here; None if it can."""
    import torch

    if torch.backends.mps.is_available():
        return None
    return f"torch {torch.__version__} finds no Apple GPU (this machine: {detect().summary()})."


def _own_gpu() -> "torch.device":
    """This process's GPU: under torchrun every process of a machine has its own."""
    import torch

    index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= count:
        raise UserError(
            f"torchrun started more processes than the {count} GPUs that are visible here. "
            f"Use `--nproc-per-node {count}`, or `--device cpu`."
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


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


def precision_problem(device: "torch.device", wish: str) -> tuple[str | None, str]:
    """What is wrong with ``wish`` on this device (None: nothing), and the precision to take."""
    import torch

    if wish == "fp16" and device.type == "cpu":
        return "The CPU cannot train in fp16.", "fp32"
    if wish == "bf16" and device.type == "cpu" and not _cpu_has_bf16():
        return "This CPU has no bf16 arithmetic; bf16 would only be slower.", "fp32"
    real = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wish == "bf16" and not real:
        better = "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"
        return f"{torch.cuda.get_device_name(device)} has no bf16 arithmetic.", better
    if wish == "bf16" and device.type == "mps" and not torch.backends.mps.is_macos_or_newer(14, 0):
        return "bf16 needs macOS 14 or newer.", "fp32"
    return None, wish


def _cpu_has_bf16() -> bool:
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16"))


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


def compile_problem(device: "torch.device") -> str | None:
    """Why torch.compile would fail on this device, in a sentence; None if nothing is known."""
    import torch

    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] < 7:
            return f"torch.compile does not support {torch.cuda.get_device_name(device)}."
        if importlib.util.find_spec("triton") is None:
            return "torch.compile needs the package triton for GPUs, which is not installed."
    compilers = ["cl"] if sys.platform == "win32" else ["c++", "g++", "clang++", "clang", "gcc"]
    if not any(map(shutil.which, [os.environ.get("CXX") or "c++", *compilers])):
        return "torch.compile needs a C++ compiler (such as g++), and there is none here."
    return None


def _has_nccl() -> bool:
    import torch

    return torch.distributed.is_available() and torch.distributed.is_nccl_available()


def device_name(device: "torch.device") -> str:
    """Name of the GPU, or of the CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor())
    cpu = cpu or platform.machine()
    return f"{cpu} GPU" if device.type == "mps" else cpu
