"""What the system lets this process use. Only this module calls what Windows does not have."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

SHM = Path("/dev/shm")  # where Linux keeps the batches on their way from one process to another


def usable_cpus(root: Path = Path("/")) -> int:
    """CPUs by this process's affinity and its container's quota; ``root`` has /proc and /sys."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    top = root / "sys/fs/cgroup"
    # Version 2 of control groups: each group above this process may have a quota.
    own = re.search(r"^0::/(.*)", _read(root / "proc/self/cgroup"), re.MULTILINE)
    folder = top / (own[1] if own else "")
    texts = [_read(it / "cpu.max") for it in (folder, *folder.parents) if it.is_relative_to(top)]
    # Version 1: one group, whose folder has one of two names.
    for name in ("cpu", "cpu,cpuacct"):
        parts = [_read(top / name / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
        texts.append(" ".join(parts))
    # Quota and period; instead of a number, "max" and -1 mean no quota.
    pairs = re.findall(r"^([1-9]\d*)\s+([1-9]\d*)", "\n".join(texts), re.MULTILINE)
    return max(1, min([cpus, *(int(quota) // int(period) for quota, period in pairs)]))


def process_peak_mib() -> float | None:
    """Most memory that this process had so far; None on Windows, which does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def describe_shared_memory() -> str:
    """The size of /dev/shm, and how much of it is free."""
    if not SHM.is_dir():
        return "its size is unknown"
    usage = shutil.disk_usage(SHM)
    return f"{SHM} has {usage.total / 2**20:,.0f} MiB, {usage.free / 2**20:,.0f} of them free"


def max_open_files() -> str:
    """How many files this process may have open."""
    try:
        import resource  # which Windows does not have
    except ImportError:
        return "no more"
    return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"


def kill_workers() -> None:
    """End the processes at once that Python would ask to end, and wait for, when this one ends."""
    from multiprocessing import active_children  # needed at the end, not at the start

    if sys.platform != "win32":  # torch's handler would raise an error for each of them
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for process in active_children():
        if process.daemon:
            process.kill()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
