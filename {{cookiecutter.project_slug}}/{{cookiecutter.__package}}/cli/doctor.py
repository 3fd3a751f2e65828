"""Examine this machine: what it is, what torch can do with it, and what to type to fix it.

It needs only Python, so it also works before torch is installed. The checks that need torch
(doctor_checks.py) run in a process of their own, because a sick driver may crash or hang.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..engine.builds import INSTALL, REINSTALL, TORCH
from ..engine.files import PROJECT
from ..engine.machine import SHM, usable_cpus

PACKAGE = __name__.partition(".")[0]
WRITE = f"python -m {PACKAGE} doctor --write"
TIME_LIMIT = 120.0  # seconds for the checks that need torch: a slow disk takes many to load it
GIB = 2**30
State = Literal["ok", "warning", "broken"]


class Check(NamedTuple):
    """One thing that was looked at; ``remedy`` is what to type or do."""

    name: str
    state: State
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<8} {self.name}: {self.text}"
        return f"{line}\n{'':<8} -> {self.remedy}" if self.remedy else line


def judge(name: str, good: bool, text: str, remedy: str, bad: State = "warning") -> Check:
    """A check that is ok, or else has a remedy."""
    return Check(name, "ok", text) if good else Check(name, bad, text, remedy)


def main(argv: list[str]) -> int:
    """Print what was found; returns 1 if something is broken."""
    description = "Examine this machine. Exit code 1: something is broken."
    parser = argparse.ArgumentParser(f"python -m {PACKAGE} doctor", description=description)
    flag = "store_true"
    parser.add_argument("--json", action=flag, help="print one JSON object: found, plan, checks")
    parser.add_argument("--write", action=flag, help="write this machine's device.toml again")
    arguments = parser.parse_args(argv)
    of_torch, plan = ask_torch(*["--write"] * arguments.write)
    checks = [*check_machine(), *of_torch]
    states = [check.state for check in checks]
    if arguments.json:
        found = {"system": platform.system(), "machine": platform.machine(), "cpus": usable_cpus()}
        of_checks = [check._asdict() for check in checks]
        print(json.dumps({"found": found, "plan": plan, "checks": of_checks}))
    else:
        print(*checks, sep="\n")
        print(f"{states.count('broken')} broken, {states.count('warning')} warnings")
    return int("broken" in states)


def ask_torch(*arguments: str) -> tuple[list[Check], dict[str, Any]]:
    """The checks that need torch, and the settings that suit this machine (empty: unknown)."""
    if importlib.util.find_spec("torch") is None:
        return [Check("torch", "broken", "not installed", INSTALL)], {}
    command = [sys.executable, "-m", f"{PACKAGE}.cli.doctor_checks", *arguments]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            process.wait(TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()  # not waited for: inside a driver it may never end
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").splitlines()
    checks = [Check(*json.loads(line)) for line in lines if line.startswith('["')]
    if process.returncode != 0:
        text = f"its checks do not end within {TIME_LIMIT:.0f} s"
        if process.returncode is not None:
            text = f"crashed with exit code {process.returncode} ({(lines or [''])[-1][:200]})"
        checks.append(Check("torch", "broken", text, f"Restart the computer, or: {REINSTALL}"))
    plans = [json.loads(line) for line in lines if line.startswith('{"device": ')]
    return checks, plans[0] if plans else {}


def check_machine() -> list[Check]:
    """Python, CPUs, free memory (where Linux tells), disk, and shared memory in containers."""
    fits, version = (3, 11) <= sys.version_info[:2] <= (3, 14), platform.python_version()
    remedy = f"torch {TORCH} needs Python 3.11 to 3.14, for example: uv python install 3.13"
    checks = [judge("python", fits, version, remedy, "broken")]
    checks.append(Check("cpus", "ok", f"{usable_cpus()} of {os.cpu_count()} can be used"))
    info = Path("/proc/meminfo").read_text("utf-8") if sys.platform == "linux" else ""
    if found := re.search(r"MemAvailable: +(\d+) kB", info):
        memory, remedy = int(found[1]) / 2**20, "End other programs, or use a smaller --batch-size"
        checks.append(judge("memory", memory >= 1, f"{memory:.1f} GiB free", remedy))
    disk, remedy = shutil.disk_usage(PROJECT).free / GIB, "Delete old folders in runs/"
    bad: State = "warning" if disk >= 0.5 else "broken"
    checks.append(judge("disk", disk >= 5, f"{disk:.1f} GiB free", remedy, bad))
    is_project = (PROJECT / "pyproject.toml").is_file()
    text, remedy = f"{PROJECT} has no pyproject.toml", "Type it in the project's folder"
    checks.append(judge("project", is_project, str(PROJECT) if is_project else text, remedy))
    toml = PROJECT / "device.toml"
    text = "has this machine's defaults" if toml.exists() else "not there"
    checks.append(judge("device.toml", toml.exists(), text, WRITE))
    if SHM.exists():
        size = shutil.disk_usage(SHM).total / GIB
        remedy = "Start the container with --shm-size=8g, or train with --num-workers 0"
        checks.append(judge("shared memory", size >= 1, f"/dev/shm has {size:.2f} GiB", remedy))
    return checks
