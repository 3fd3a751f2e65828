"""Asks NVIDIA's libraries about the GPUs and prints the answer as JSON: `python nvidia.py nvml`.

A program of its own, because a broken driver can block or crash the process that calls it:
detection starts it as a child with a time limit. `nvml` asks the management library, `cuda` the
driver itself (the only one of the two on Jetson boards and in some containers).
"""

import ctypes
import json
import os
import sys
from typing import Any

Answer = dict[str, Any]
"""driver and cuda: str or None; gpus: name, capability, memory_mib, uuid of each. Or only error."""


class LibraryError(Exception):
    """A call failed; the argument is the library's error number."""


def load(*names: str) -> ctypes.CDLL:
    """The first of these libraries that exists."""
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise LibraryError(None)


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call a function that returns 0 on success."""
    code = getattr(library, name)(*arguments)
    if code != 0:
        raise LibraryError(code)


def text_of(library: ctypes.CDLL, name: str, *arguments: Any) -> str | None:
    """What a function writes into a buffer; None if it fails."""
    buffer = ctypes.create_string_buffer(256)
    try:
        call(library, name, *arguments, buffer, ctypes.c_uint(len(buffer)))
    except (LibraryError, AttributeError):
        return None
    return buffer.value.decode("utf-8", "replace")


def version(number: int) -> str | None:
    """13020 is CUDA 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}" if number > 0 else None


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = tuple((name, ctypes.c_ulonglong) for name in ("total", "free", "used"))


def ask_nvml() -> Answer:
    """Ask the management library; it ignores CUDA_VISIBLE_DEVICES."""
    nvml = load("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1", "nvml.dll")
    call(nvml, "nvmlInit_v2")
    number, count = ctypes.c_int(), ctypes.c_uint()
    call(nvml, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(number))
    gpus = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == 0:
            gpus.append(nvml_gpu(nvml, handle))
    driver = text_of(nvml, "nvmlSystemGetDriverVersion")
    return {"driver": driver, "cuda": version(number.value), "gpus": gpus}


def nvml_gpu(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> Answer:
    """One GPU; None where it has no answer (the memory of a GPU that shares the CPU's)."""
    major, minor, memory = ctypes.c_int(), ctypes.c_int(), Memory()
    capability = nvml.nvmlDeviceGetCudaComputeCapability(
        handle, ctypes.byref(major), ctypes.byref(minor)
    )
    known = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
    return {
        "name": text_of(nvml, "nvmlDeviceGetName", handle),
        "uuid": text_of(nvml, "nvmlDeviceGetUUID", handle),
        "capability": [major.value, minor.value] if capability == 0 else None,
        "memory_mib": memory.total // 2**20 if known and memory.total else None,
    }


def ask_cuda() -> Answer:
    """Ask the driver. CUDA_VISIBLE_DEVICES is removed, because all GPUs are wanted."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    cuda = load("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "nvcuda.dll")
    call(cuda, "cuInit", 0)
    number, count = ctypes.c_int(), ctypes.c_int()
    call(cuda, "cuDriverGetVersion", ctypes.byref(number))
    call(cuda, "cuDeviceGetCount", ctypes.byref(count))
    gpus = [cuda_gpu(cuda, index) for index in range(count.value)]
    return {"driver": None, "cuda": version(number.value), "gpus": gpus}


def cuda_gpu(cuda: ctypes.CDLL, index: int) -> Answer:
    """One GPU."""
    device, value, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    call(cuda, "cuDeviceGet", ctypes.byref(device), index)
    capability = []
    for attribute in (75, 76):  # compute capability: major, minor
        call(cuda, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        capability.append(value.value)
    name = ctypes.create_string_buffer(256)
    call(cuda, "cuDeviceGetName", name, len(name), device)
    known = cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device) == 0
    return {
        "name": name.value.decode("utf-8", "replace"),
        "uuid": None,
        "capability": capability,
        "memory_mib": total.value // 2**20 if known else None,
    }


def main() -> None:
    """Print the answer, or the library's error number (null: there is no such library)."""
    try:
        answer = ask_nvml() if sys.argv[1] == "nvml" else ask_cuda()
    except LibraryError as error:
        answer = {"error": error.args[0]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
