"""What the torch that is installed can do on this machine; each problem is told in a sentence."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .device import detect

if TYPE_CHECKING:
    import torch


def best_device() -> "torch.device":
    """The GPU, if torch can use it; else the CPU."""
    import torch

    if torch.cuda.is_available() and cuda_problem() is None:
        return torch.device("cuda", usable_gpus("cuda")[0])
    if torch.xpu.is_available():
        return torch.device("xpu", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_problem(kind: str) -> str | None:
    """Why torch cannot compute on a GPU of this kind (cuda, mps, xpu); None if it can."""
    import torch

    if kind == "cuda":
        return cuda_problem()
    if torch.backends.mps.is_available() if kind == "mps" else torch.xpu.is_available():
        return None
    maker = {"mps": "Apple", "xpu": "Intel"}[kind]
    return f"torch {torch.__version__} finds no {maker} GPU (this machine: {detect().summary()})."


def cuda_problem() -> str | None:
    """Why torch cannot compute on an NVIDIA or AMD GPU here, in a sentence; None if it can."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "finds no GPU that it can use" if built else "is a build without CUDA"
        return f"torch {torch.__version__} {why} (this machine: {detect().summary()})."
    if usable_gpus("cuda"):
        return None
    name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    return (
        f"torch {torch.__version__} has no kernels for {name} (compute capability "
        f"{major}.{minor}; it has {' '.join(torch.cuda.get_arch_list())})."
    )


def usable_gpus(kind: str) -> list[int]:
    """Numbers of the GPUs of this kind that the installed torch has code for."""
    import torch

    every = list(range(torch.get_device_module(kind).device_count()))
    if kind != "cuda" or torch.version.hip is not None:
        return every
    codes = torch.cuda.get_arch_list()
    return [index for index in every if has_kernels(torch.cuda.get_device_capability(index), codes)]


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


def compile_problem(device: "torch.device") -> str | None:
    """Why torch.compile would fail on this device, in a sentence; None if nothing is known."""
    import torch

    old = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 7
    if old and torch.version.hip is None:
        return f"torch.compile does not support {torch.cuda.get_device_name(device)}."
    if device.type in ("cuda", "xpu") and importlib.util.find_spec("triton") is None:
        return "torch.compile needs the package triton for GPUs, which is not installed."
    compilers = ["cl"] if sys.platform == "win32" else ["c++", "g++", "clang++", "clang", "gcc"]
    if not any(map(shutil.which, [os.environ.get("CXX") or "c++", *compilers])):
        return "torch.compile needs a C++ compiler (such as g++), and there is none here."
    return None


def distributed_backend(device: "torch.device") -> str:
    """What processes on such devices talk through."""
    from torch import distributed

    has = distributed.is_available()
    if device.type == "cuda" and has and distributed.is_nccl_available():
        return "nccl"
    if device.type == "xpu" and has and distributed.is_xccl_available():
        return "xccl"
    return "gloo"


def device_name(device: "torch.device") -> str:
    """Name of the GPU, or of the CPU."""
    import torch

    if device.type in ("cuda", "xpu"):
        return str(torch.get_device_module(device).get_device_name(device))
    cpu = str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor())
    cpu = cpu or platform.machine()
    return f"{cpu} GPU" if device.type == "mps" else cpu
