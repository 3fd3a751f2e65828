"""The doors through which detection looks at a computer: files, environment, other programs.

Everything that detection asks passes through one `Machine`, so a test can hand it another one.
Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import glob
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:  # where no program needs to be asked, none of this is loaded
    import subprocess

MOST_OUTPUT = 1_000_000
"""Bytes; a program that writes more than this has gone mad and is ended."""


@dataclass(frozen=True)
class Output:
    """What a program wrote (stdout and stderr together) and how it ended."""

    code: int | None
    """Exit code; None if it could not be started, or had to be ended."""
    text: str = ""
    timed_out: bool = False


HIDDEN = frozenset({"CUDA_VISIBLE_DEVICES", "LD_PRELOAD"})
"""Variables that programs do not get: they are to tell of every GPU."""


def run(argv: Sequence[str], limit: float, hidden: Collection[str] = HIDDEN) -> Output:
    """Run a program for at most ``limit`` seconds, and one more to end it. Never raises OSError.

    subprocess.run(timeout=...) is not enough: it kills the program and then waits for it without a
    limit, and a program that hangs inside a driver cannot be killed. So this one is given up. Its
    output goes to a file, because a grandchild can keep a pipe open.
    """
    import subprocess
    import tempfile

    environ = {name: value for name, value in os.environ.items() if name not in hidden}
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
            text = output.read(MOST_OUTPUT).decode("utf-8", "replace")
    except (OSError, ValueError):
        return Output(None)
    return Output(process.returncode, text) if ended else Output(None, text, timed_out=True)


def _wait(process: "subprocess.Popen[bytes]", output: IO[bytes], limit: float) -> bool:
    """Whether the program ended by itself; if not, it is ended or given up."""
    start = time.monotonic()
    try:
        while process.poll() is None:
            seconds = time.monotonic() - start
            if seconds > limit or os.fstat(output.fileno()).st_size > MOST_OUTPUT:
                return False
            time.sleep(min(max(seconds / 10, 0.001), 0.05))  # notices the end a tenth late at most
        return True
    finally:  # also on Ctrl-C, which a program in a session of its own does not get
        if process.returncode is None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the program with its children; do not wait long for it to go."""
    import signal
    import subprocess

    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=1)
    except (OSError, subprocess.TimeoutExpired):
        process.returncode = -9  # given up; this also spares us Python's warning about it


def usable_cpus() -> int:
    """CPUs that this process may run on: the machine's, its affinity, a container's limit."""
    return Machine().cpus


def _affinity() -> int:
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
    """Where /proc, /sys, /dev and /usr are."""
    run: Callable[[Sequence[str], float], Output] = run
    affinity: int = field(default_factory=_affinity)
    """CPUs that the scheduler gives us."""

    def path(self, name: str) -> Path:
        """The file with the absolute POSIX name ``name``."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str | None:
        """The text of a file (its first megabyte); None if it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(MOST_OUTPUT).decode("utf-8", "replace")
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
        """The files with names like ``pattern``, sorted."""
        found = glob.glob(pattern.lstrip("/"), root_dir=self.root)
        return [self.root / name for name in sorted(found)]

    def which(self, program: str) -> str | None:
        """Where on PATH the program is."""
        return shutil.which(program, path=self.environ.get("PATH", ""))

    @property
    def is_wsl(self) -> bool:
        """Linux inside Windows; its driver is the Windows one."""
        return self.system == "Linux" and ("microsoft" in self.release.lower() or self.has_dxg)

    @property
    def has_dxg(self) -> bool:
        """Whether Windows lends its GPU to this Linux."""
        return self.exists("/dev/dxg")

    @property
    def is_container(self) -> bool:
        """Docker, Podman or Kubernetes."""
        marks = ("/.dockerenv", "/run/.containerenv")
        names = ("container", "KUBERNETES_SERVICE_HOST")
        return any(map(self.exists, marks)) or any(name in self.environ for name in names)

    @property
    def is_musl(self) -> bool:
        """Alpine and the like, whose C library is not the one that wheels are built for."""
        ours = self.glob("/lib/ld-linux*") or self.glob("/lib64/ld-linux*")
        return self.system == "Linux" and bool(self.glob("/lib/ld-musl-*")) and not ours

    @property
    def is_jetson(self) -> bool:
        """NVIDIA's small boards, whose GPU needs a torch of its own."""
        if self.system != "Linux" or self.machine != "aarch64":
            return False
        compatible = self.read("/proc/device-tree/compatible") or ""
        return (
            "tegra" in self.release
            or "nvidia,tegra" in compatible
            or self.exists("/etc/nv_tegra_release")
        )

    @property
    def cpus(self) -> int:
        """CPUs that this process may use: scheduler's affinity and control group's quota."""
        quotas = [self.affinity, *self._quotas()] if self.system == "Linux" else [self.affinity]
        return max(1, int(min(quotas)))

    def _quotas(self) -> list[float]:
        """CPUs that each control group above this process allows (version 2, then version 1)."""
        pairs = []
        own = (self.read("/proc/self/cgroup") or "").splitlines()
        group = next((line[3:] for line in own if line.startswith("0::/")), "/")
        while True:
            limit = self.read(f"/sys/fs/cgroup{group.rstrip('/')}/cpu.max")
            pairs.append((limit or "").split())
            if group in ("/", ""):
                break
            group = group.rpartition("/")[0] or "/"
        for folder in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"):
            names = (f"{folder}/cpu.cfs_quota_us", f"{folder}/cpu.cfs_period_us")
            pairs.append([(self.read(name) or "").strip() for name in names])
        return [
            int(pair[0]) / int(pair[1])
            for pair in pairs
            if len(pair) == 2 and all(part.isdecimal() and int(part) > 0 for part in pair)
        ]
