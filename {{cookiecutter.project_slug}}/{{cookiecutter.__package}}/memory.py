"""How much memory is free, how much a training step took, and what becomes of it afterwards."""

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import torch

from .machine import Machine
from .utils import peak_memory_mib


def available(device: torch.device) -> int | None:
    """Bytes that this process may still take; None where the system does not tell."""
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if device.type != "cpu":
        return torch.accelerator.get_memory_info(device)[0]
    free = free_memory(Machine())
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if free is not None else None


def free_memory(machine: Machine) -> int | None:
    """Bytes that are free on the machine, within the limits of this process's control groups."""
    if machine.system == "Darwin":  # which tells its size only
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    lines = machine.read("/proc/meminfo") or ""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", lines, re.MULTILINE)
    return min([1024 * int(match[1]), *_rooms(machine)]) if match else None


# Folder of the control groups, file of the limit, file of what is used: version 2, and 1.
_VERSION_2 = ("/sys/fs/cgroup", "memory.max", "memory.current")
_VERSION_1 = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
_GROUP = re.compile(r"^\d+:(|\S*\bmemory\b\S*):(/.*)$", re.MULTILINE)


def _rooms(machine: Machine) -> Iterator[int]:
    """What each control group above this process leaves."""
    for controllers, group in _GROUP.findall(machine.read("/proc/self/cgroup") or ""):
        folder, *names = _VERSION_1 if controllers else _VERSION_2
        # A container sees its own group at the top, and not under its name.
        for path in (PurePosixPath(group), *PurePosixPath(group).parents):
            place = f"{folder}{path}".rstrip("/")
            most, used = ((machine.read(f"{place}/{name}") or "").strip() for name in names)
            if most.isdecimal() and used.isdecimal():
                yield int(most) - int(used) + _cache(machine.read(f"{place}/memory.stat") or "")


def _cache(statistics: str) -> int:
    """Bytes of files that the system would give up first; they count as used."""
    match = re.search(r"^(?:total_)?inactive_file (\d+)$", statistics, re.MULTILINE)
    return int(match[1]) if match else 0


def peak(device: torch.device) -> int:
    """Most bytes in use since ``forget_peak``, or since the start where that is impossible."""
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return int((peak_memory_mib(device) or 0) * 2**20)


def forget_peak(device: torch.device) -> None:
    """Let ``peak`` begin with what is in use now, where the system can do that."""
    if device.type in ("cuda", "xpu"):
        torch.accelerator.reset_peak_memory_stats(device)
    elif device.type == "cpu":
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return


LARGEST_KEPT = 2**25  # bytes; if larger pieces are kept, gaps remain that nothing fits into
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # by malloc.h


def keep_freed(device: torch.device) -> None:
    """On a CPU, let the memory that a step frees stay with this process for the next one.

    By default glibc gives back what is free at the end of its memory, so that in every step the
    system must find and clear these pages again: 6 % of the time of a ResNet-18. Other C libraries
    are left as they are.
    """
    if device.type != "cpu" or not is_glibc():
        return
    give_back(device)  # what was needed for a beginning, and is no more
    libc = ctypes.CDLL(None)
    if libc.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT):
        libc.mallopt(_TRIM_THRESHOLD, -1)


def give_back(device: torch.device) -> None:
    """Give back what is kept on a CPU; to be called before memory is used in another way.

    An evaluation has larger pieces than a training step, and would take them in addition.
    """
    if device.type == "cpu" and is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def release(device: torch.device) -> None:
    """Give back all that is not in use, on the CPU or the device."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()
    give_back(device)


def is_glibc() -> bool:
    """Whether the C library is that of most Linux systems."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")
