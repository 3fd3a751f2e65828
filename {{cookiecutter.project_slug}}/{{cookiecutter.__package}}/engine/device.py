"""Device, precision and the like: what torch can do on this machine, and what a run does.

A default that this machine cannot do falls back with a note. A flag that it cannot do is an error.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from .errors import UserError
from .machine import usable_cpus

if TYPE_CHECKING:
    from .settings import RunSettings  # needs more packages than the doctor may ask for


@dataclass(frozen=True)
class Hardware:
    """How the run uses the machine."""

    device: torch.device
    precision: str  # fp32, bf16 or fp16
    autocast_dtype: torch.dtype | None  # None in fp32: no autocast
    channels_last: bool
    compile: bool
    compile_requested: bool  # --compile was typed, so a failure is an error
    num_workers: int
    workers_requested: bool  # --num-workers was typed, so the number is taken as it is
    pin_memory: bool
    backend: str  # of torch.distributed: nccl, xccl or gloo
    name: str  # of the GPU or the CPU
    notes: Sequence[str] = ()  # settings that are not followed, a sentence each, for the user

    def autocast(self) -> AbstractContextManager[Any]:
        """Automatic mixed precision; does nothing in fp32."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)


@dataclass
class Fallbacks:
    """What is used instead of the settings that this machine cannot do."""

    requested: frozenset[str]
    notes: list[str]

    def allow(self, setting: str, problem: str, better: str = "") -> bool:
        """Whether there is no problem; if there is, note it, or raise if the setting was typed."""
        flag = f"--{setting} {better}" if better else f"--no-{setting}"
        if problem and setting in self.requested:
            raise UserError(f"{problem} Use `{flag}`.")
        if problem:
            self.notes.append(f"{problem} Using `{flag}` instead.")
        return not problem


def resolve(settings: "RunSettings", requested: frozenset[str]) -> Hardware:
    """Choose device, precision and the rest; sets torch's TF32 mode and current GPU.

    Raises UserError where this machine cannot do what was typed (its name is in ``requested``).
    """
    fallbacks = Fallbacks(requested, [])
    device = _choose_device(settings.device, fallbacks)
    if fallbacks.notes:  # the other defaults were meant for the device that is missing
        plain: dict[str, Any] = {"precision": "fp32", "compile": False}
        settings = replace(settings, **{name: plain[name] for name in plain.keys() - requested})
    precision = _choose_precision(device, settings.precision, fallbacks)
    _set_tf32(device, settings.tf32, "tf32" in requested)
    if "OMP_NUM_THREADS" not in os.environ and usable_cpus() < torch.get_num_threads():
        torch.set_num_threads(usable_cpus())  # torch does not know a container's quota
    return Hardware(
        device=device,
        precision=precision,
        autocast_dtype={"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision),
        channels_last=settings.channels_last,
        compile=settings.compile and fallbacks.allow("compile", compile_problem(device)),
        compile_requested="compile" in requested,
        num_workers=_choose_num_workers(settings.num_workers, "num_workers" in requested),
        workers_requested="num_workers" in requested,
        pin_memory=device.type in ("cuda", "xpu"),
        backend=_distributed_backend(device),
        name=device_name(device),
        notes=fallbacks.notes,
    )


def _choose_device(setting: str, fallbacks: Fallbacks) -> torch.device:
    """Under torchrun each process of a machine has its own GPU; it becomes torch's current one."""
    kind = best_device().type if setting == "auto" else setting
    if not usable_indices(kind):
        kind = best_device().type
        doctor = f"`python -m {__name__.partition('.')[0]} doctor` says what would help."
        fallbacks.allow("device", f"{why_no_gpu(setting)} {doctor}", kind)
    if kind not in ("cuda", "xpu"):
        return torch.device(kind)
    gpus, local_rank = usable_indices(kind), int(os.environ.get("LOCAL_RANK") or "0")
    if local_rank >= len(gpus):
        raise UserError(
            f"torch can use only {len(gpus)} GPUs here: one for each process of torchrun. "
            f"Use `--nproc-per-node {len(gpus)}`, or `--device cpu`."
        )
    torch.get_device_module(kind).set_device(gpus[local_rank])
    return torch.device(kind, gpus[local_rank])


def _choose_precision(device: torch.device, setting: str, fallbacks: Fallbacks) -> str:
    problem, better = precision_problem(device, setting)
    if device.type == "cpu" and setting == "bf16" and "precision" in fallbacks.requested:
        return setting  # slow on most CPUs, but correct
    return setting if fallbacks.allow("precision", problem, better) else better


def _set_tf32(device: torch.device, setting: bool, requested: bool) -> None:
    """This call is the one way that works with torch.compile in torch 2.9 to 2.15."""
    possible = device.type == "cuda" and torch.cuda.is_tf32_supported()
    if setting and requested and not possible:
        raise UserError(f"{device_name(device)} has no TF32 arithmetic. Use `--no-tf32`.")
    torch.set_float32_matmul_precision("high" if setting and possible else "highest")


def _choose_num_workers(setting: int, requested: bool) -> int:
    """A default is cut to this process's share of the CPUs, less the one that it uses itself."""
    share = usable_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE") or "1")
    return setting if requested else max(0, min(setting, share - 1))


def _distributed_backend(device: torch.device) -> str:
    backend = {"cuda": "nccl", "xpu": "xccl"}.get(device.type, "gloo")
    has_it = distributed.is_available() and distributed.is_backend_available(backend)
    return backend if has_it else "gloo"


def best_device() -> torch.device:
    """The GPU, if torch can use it; else the CPU."""
    for kind in ("cuda", "xpu", "mps"):
        if gpus := usable_indices(kind):
            return torch.device(kind, gpus[0])
    return torch.device("cpu")


def usable_indices(kind: str) -> list[int]:
    """Indices of the devices of this kind (cuda, xpu, mps, cpu) that torch has code for."""
    module = torch.get_device_module(kind)
    indices = range(module.device_count() if module.is_available() else 0)
    if kind != "cuda" or torch.version.hip is not None:
        return list(indices)
    architectures = torch.cuda.get_arch_list()
    return [i for i in indices if has_kernels(torch.cuda.get_device_capability(i), architectures)]


def has_kernels(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether code for one of ``architectures`` (sm_86, compute_90 ...) runs on this GPU."""
    for kind, major, minor in re.findall(r"\b(sm|compute)_(\d+)(\d)", " ".join(architectures)):
        is_older = (int(major), int(minor)) <= capability
        # Compiled code (sm) stays within a major version; PTX (compute) fits every newer GPU.
        if is_older and (kind == "compute" or int(major) == capability[0]):
            return True
    return False


def why_no_gpu(kind: str) -> str:
    """Why torch can use no GPU of this kind (cuda, xpu, mps), in a sentence."""
    reason = "none was found"
    if kind == "cuda" and torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        reason = f"it has no kernels for {torch.cuda.get_device_name()}, capability {major}.{minor}"
    elif kind == "cuda":
        try:
            torch.cuda.init()
        except (AssertionError, RuntimeError) as error:  # AssertionError: a build without CUDA
            reason = str(error).partition(". ")[0].partition("\n")[0]
    return f"torch {torch.__version__} can use no {kind} GPU ({reason})."


def precision_problem(device: torch.device, precision: str) -> tuple[str, str]:
    """What is wrong with a precision on this device ("": nothing), and which one to use."""
    if device.type == "cpu" and precision != "fp32":
        has = torch.cpu.get_capabilities()
        has_bf16 = any(map(has.get, ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16")))
        if precision == "fp16" or not has_bf16:
            return f"This CPU has no {precision} arithmetic to train with.", "fp32"
    native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not native:
        better = "fp16" if torch.cuda.get_device_capability(device) >= (7, 0) else "fp32"
        return f"{device_name(device)} has no bf16 arithmetic.", better
    return "", precision


def compile_problem(device: torch.device) -> str:
    """Why torch.compile would fail on this device; empty if no reason is known."""
    is_nvidia = device.type == "cuda" and torch.version.hip is None
    if is_nvidia and torch.cuda.get_device_capability(device) < (7, 0):
        return f"torch.compile does not support {device_name(device)}."
    if device.type in ("cuda", "xpu") and importlib.util.find_spec("triton") is None:
        return "torch.compile needs the package triton for GPUs, which is not installed."
    compilers = ["cl"] if sys.platform == "win32" else ["c++", "g++", "clang++", "clang", "gcc"]
    if not any(map(shutil.which, [os.environ.get("CXX") or "c++", *compilers])):
        return "torch.compile needs a C++ compiler (such as g++), which is not installed."
    return ""


def device_name(device: torch.device) -> str:
    """Name of the GPU or the CPU."""
    if device.type in ("cuda", "xpu"):
        return str(torch.get_device_module(device).get_device_name(device))
    cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{cpu} GPU" if device.type == "mps" else str(cpu)
