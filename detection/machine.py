"""Access to the computer: its files, its environment and its programs.

Detection asks everything through one `Machine`, so that a test can replace it.
Standard library only, Python 3.10 or newer.
"""

import glob
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # imported only when a program is started: that saves time
    import subprocess

MAX_OUTPUT = 1_000_000
"""Bytes. A program that writes more is stopped."""
HIDDEN = frozenset({"CUDA_VISIBLE_DEVICES", "LD_PRELOAD"})
"""Environment variables that programs do not get, because they must report every GPU."""


@dataclass(frozen=True)
class Output:
    """What a program wrote (stdout and stderr together) and how it ended."""

    code: int | None
    """Exit code; None if it did not start or was stopped."""
    text: str = ""
    timed_out: bool = False


def run(argv: Sequence[str], limit: float) -> Output:
    """Run a program for at most ``limit`` seconds, plus one to stop it. Never raises OSError.

    subprocess.run(timeout=...) is not enough: after the timeout it kills the program and waits for
    it without a limit, and a program that hangs inside a driver cannot be killed. Here it is
    abandoned. Its output goes to a file, because a grandchild can keep a pipe open.
    """
    import subprocess
    import tempfile

    environ = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    try:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ | {"LC_ALL": "C"},
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            ended = _wait(process, output, limit)
            output.seek(0)
            text = output.read(MAX_OUTPUT).decode("utf-8", "replace")
    except (OSError, ValueError):
        return Output(None)
    return Output(process.returncode, text) if ended else Output(None, text, timed_out=True)


def _wait(process: "subprocess.Popen[bytes]", output: IO[bytes], limit: float) -> bool:
    """Whether the program ended by itself; if not, it is killed or abandoned."""
    start = time.monotonic()
    try:
        while process.poll() is None:
            seconds = time.monotonic() - start
            if seconds > limit or os.fstat(output.fileno()).st_size > MAX_OUTPUT:
                return False
            time.sleep(min(max(seconds / 10, 0.001), 0.05))
        return True
    finally:  # also on Ctrl-C, which a program in its own session does not receive
        if process.returncode is None:
            _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the program and its children; wait at most a second."""
    import signal
    import subprocess

    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=1)
    except (OSError, subprocess.TimeoutExpired):
        process.returncode = -9  # abandoned; without this, Python warns that it still runs


def _num_scheduled_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Machine:
    """One computer; without arguments, this one."""

    system: str = field(default_factory=platform.system)
    """Linux, Darwin or Windows."""
    machine: str = field(default_factory=platform.machine)
    """x86_64, aarch64, arm64, AMD64 ..."""
    release: str = field(default_factory=platform.release)
    """Of the kernel."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = Path("/")
    """The folder that holds /proc, /sys, /dev and /usr."""
    run: Callable[[Sequence[str], float], Output] = run
    affinity: int = field(default_factory=_num_scheduled_cpus)
    """CPUs that the scheduler allows to this process."""

    def path(self, name: str) -> Path:
        """The file with the absolute POSIX name ``name``."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str | None:
        """The text of a file (its first megabyte); None if it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(MAX_OUTPUT).decode("utf-8", "replace")
        except (OSError, ValueError):
            return None

    def size(self, name: str) -> int:
        """Bytes of a file; 0 if there is none."""
        try:
            return os.path.getsize(self.path(name))
        except OSError:
            return 0

    def exists(self, name: str) -> bool:
        """Whether there is such a file, folder or device."""
        return os.path.exists(self.path(name))

    def glob(self, pattern: str) -> list[Path]:
        """The files whose names match ``pattern``, sorted."""
        found = glob.glob(pattern.lstrip("/"), root_dir=self.root)
        return [self.root / name for name in sorted(found)]

    def which(self, program: str) -> str | None:
        """Where on PATH the program is."""
        return shutil.which(program, path=self.environ.get("PATH", ""))

    @property
    def is_wsl(self) -> bool:
        """Linux inside Windows, which uses the driver of Windows."""
        if self.system != "Linux":
            return False
        return "microsoft" in self.release.lower() or self.exists("/dev/dxg")

    @property
    def is_container(self) -> bool:
        """Docker, Podman or Kubernetes."""
        marks = ("/.dockerenv", "/run/.containerenv")
        names = ("container", "KUBERNETES_SERVICE_HOST")
        return any(map(self.exists, marks)) or any(name in self.environ for name in names)

    @property
    def is_musl(self) -> bool:
        """Alpine and others whose C library is musl; torch's wheels need glibc."""
        glibc = self.glob("/lib/ld-linux*") or self.glob("/lib64/ld-linux*")
        return self.system == "Linux" and bool(self.glob("/lib/ld-musl-*")) and not glibc

    @property
    def is_jetson(self) -> bool:
        """NVIDIA's Jetson boards, most of which need a torch of their own."""
        if self.system != "Linux" or self.machine != "aarch64":
            return False
        compatible = self.read("/proc/device-tree/compatible") or ""
        return (
            "tegra" in self.release
            or "nvidia,tegra" in compatible
            or self.exists("/etc/nv_tegra_release")
        )

    @property
    def num_cpus(self) -> int:
        """CPUs that this process may use, by the scheduler and by the limits of control groups."""
        if self.system != "Linux":
            return max(1, self.affinity)
        pairs = [*self._limits_v2(), *self._limits_v1()]
        limits = [
            int(pair[0]) / int(pair[1])
            for pair in pairs
            if len(pair) == 2 and all(text.isdecimal() and int(text) > 0 for text in pair)
        ]
        return max(1, int(min([self.affinity, *limits])))

    def _limits_v2(self) -> list[list[str]]:
        """Quota and period of this process's control group and of every group above it."""
        lines = (self.read("/proc/self/cgroup") or "").splitlines()
        group = next((line[3:] for line in lines if line.startswith("0::/")), "/").rstrip("/")
        names = group.split("/")  # the first one is empty: the root
        folders = ["/".join(names[: depth + 1]) for depth in range(len(names))]
        return [(self.read(f"/sys/fs/cgroup{folder}/cpu.max") or "").split() for folder in folders]

    def _limits_v1(self) -> list[list[str]]:
        """The same from version 1 of control groups."""
        folders = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct")
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        return [
            [(self.read(f"{folder}/{file}") or "").strip() for file in files] for folder in folders
        ]
