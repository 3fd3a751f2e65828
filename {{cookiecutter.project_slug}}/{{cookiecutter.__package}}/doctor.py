"""What this machine is, what torch can do with it, and what to type to mend what is wrong.

``python -m PACKAGE doctor`` needs nothing but Python: before torch is installed, it says what to
type for that. Checks that need torch run in a program of their own (torch_checks.py).
"""

import argparse
import importlib.util
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from json import dumps, loads

from .device import Found, detect
from .errors import UserError
from .machine import Machine, Output, run
from .plan import Plan, make_plan, write_device_toml
from .torch_build import BUILDS, TORCH, version_numbers
from .torch_checks import GIB, INSTALL, PACKAGE, PROJECT, Check, Facts, State

WRITE = f"python -m {PACKAGE} doctor --write"
LIMIT = 120.0
"""Seconds for the checks that need torch; a slow disk needs many of them to load it."""


def main(argv: list[str]) -> int:
    """The command; argparse is enough, and is there before anything is installed."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {PACKAGE} doctor",
        description="What this machine is, and what torch can do with it. "
        "Exit code 1: something is broken.",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: found, plan, checks"
    )
    parser.add_argument(
        "--write", action="store_true", help="write device.toml, this machine's defaults, again"
    )
    arguments = parser.parse_args(argv)
    return doctor(json=arguments.json, write=arguments.write)


def doctor(json: bool = False, write: bool = False) -> int:
    """Examine this machine and print what was found; returns the exit code.

    Args:
        json: print one JSON object (found, plan, checks) for programs.
        write: write device.toml again.
    """
    found = detect()
    plan = make_plan(found)
    if write:
        try:
            write_device_toml(PROJECT, found, plan)
        except OSError as error:
            raise UserError(f"Cannot write device.toml in {PROJECT}: {error.strerror}.") from None
    checks = list(examine(found, plan))
    if json:
        print(
            dumps({"found": asdict(found), "plan": asdict(plan), "checks": [*map(asdict, checks)]})
        )
    else:
        print(f"found    {found.summary()}")
        print(f"plan     {plan.torch_build}, {plan.device}, {plan.precision}")
        for check in checks:
            print(check)
        states = [check.state for check in checks]
        print(f"{states.count('broken')} broken, {states.count('warning')} warnings")
    return int(any(check.state == "broken" for check in checks))


def examine(found: Found, plan: Plan) -> Iterator[Check]:
    """Every check, those without torch first."""
    yield check_python()
    for note in (*found.notes, *plan.notes):
        yield Check("machine", "warning", note, remedy_in(note))
    yield from check_gpus(found, plan)
    yield check_device_toml(plan)
    yield check_workers(found, plan)
    yield check_memory(Machine())
    yield check_disk()
    if found.container:
        yield check_shared_memory()
    if importlib.util.find_spec("torch") is None:
        yield Check("torch", "broken", "not installed", INSTALL)
    else:
        yield from checks_of(ask_torch(found, plan))


def remedy_in(note: str) -> str:
    """What a note says to do: what stands behind its last colon."""
    return note.rpartition(": ")[2].rstrip(".")


def check_gpus(found: Found, plan: Plan) -> Iterator[Check]:
    """The GPUs with their compute capabilities, and the driver."""
    if not found.gpus:
        yield Check("gpu", "ok", "none found: the CPU is used")
    state: State = "ok" if plan.device != "cpu" else "warning"
    remedy = "" if plan.device != "cpu" else "The lines `machine` say what would help"
    for gpu in found.gpus:
        yield Check("gpu", state, str(gpu), remedy)
    if found.kind == "cuda":
        text = f"{found.driver or 'unknown version'}, speaks CUDA {cuda_of_driver(found)}"
        yield Check("driver", state, text, remedy)


def cuda_of_driver(found: Found) -> str:
    """The newest CUDA that the driver speaks; not every source tells, but its version does."""
    if found.cuda or not found.driver:
        return found.cuda or "unknown"
    windows = found.system == "Windows" or found.wsl
    needs = {build.cuda: build.driver(windows) for build in BUILDS.values() if build.cuda > (0, 0)}
    driver = version_numbers(found.driver)
    fitting = [cuda for cuda, oldest in needs.items() if driver >= version_numbers(oldest)]
    return "{}.{} or newer".format(*max(fitting)) if fitting else "older than 12.0"


def ask_torch(found: Found, plan: Plan) -> Output:
    """Run the checks that need torch, in a program of their own."""
    hangs = any("did not answer" in note for note in found.notes)
    facts = Facts(found.kind, cuda_of_driver(found), hangs, plan.device, plan.torch_build)
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT)!r}); "
        f"from {PACKAGE}.torch_checks import main; main(sys.argv[1])"
    )
    return run([sys.executable, "-c", code, dumps(asdict(facts))], LIMIT, hidden=())


def checks_of(output: Output) -> Iterator[Check]:
    """What that program printed, and how it ended if not well."""
    lines = [line for line in output.text.splitlines() if line.startswith('{"name": ')]
    yield from (Check(**loads(line)) for line in lines)
    if output.timed_out:
        text = f"its checks do not end within {LIMIT:.0f} s"
        yield Check("torch", "broken", text, "Restart the computer, and type this again")
    elif output.code != 0:
        last = (output.text.strip().splitlines() or [""])[-1][:200]
        yield Check("torch", "broken", f"crashed with exit code {output.code} ({last})", INSTALL)


def check_python() -> Check:
    """Whether torch has wheels for this Python."""
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 14):
        return Check("python", "ok", version)
    remedy = "Use Python 3.11 to 3.14, for example: uv python install 3.13"
    return Check("python", "broken", f"{version} does not fit torch {TORCH}", remedy)


def check_device_toml(plan: Plan) -> Check:
    """Whether device.toml is there and made for a machine like this."""
    path = PROJECT / "device.toml"
    if not path.exists():
        return Check("device.toml", "warning", "not there: this machine has no defaults", WRITE)
    try:
        device = tomllib.loads(path.read_text(encoding="utf-8")).get("device", "auto")
    except (ValueError, OSError) as error:
        return Check("device.toml", "broken", f"cannot be read ({error})", WRITE)
    if device in ("auto", plan.device):
        return Check("device.toml", "ok", f"says {device}")
    text = f"says {device}, but what suits this machine is {plan.device}"
    return Check("device.toml", "warning", text, WRITE)


def check_workers(found: Found, plan: Plan) -> Check:
    """CPUs, by affinity and container limits, and the workers that they can feed."""
    return Check("workers", "ok", f"{found.cpus} CPUs to use, {plan.num_workers} loading workers")


def check_disk() -> Check:
    """Room for runs and their checkpoints."""
    free = shutil.disk_usage(PROJECT).free / GIB
    if free >= 5:
        return Check("disk", "ok", f"{free:.0f} GiB free")
    state: State = "warning" if free >= 0.5 else "broken"
    return Check("disk", state, f"only {free:.1f} GiB free", "Delete what is not needed in runs/")


def check_shared_memory() -> Check:
    """Loading workers hand over their batches in /dev/shm, which containers keep small."""
    try:
        size = shutil.disk_usage("/dev/shm").total / GIB
    except OSError:
        size = 0.0
    if size >= 1:
        return Check("shared memory", "ok", f"/dev/shm has {size:.0f} GiB")
    remedy = "Start the container with --shm-size=8g, or train with --num-workers 0"
    return Check("shared memory", "warning", f"/dev/shm has only {size:.2f} GiB", remedy)


def check_memory(machine: Machine) -> Check:
    """Free memory of the machine, where Linux tells."""
    lines = machine.read("/proc/meminfo") or ""
    sizes = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", lines, re.MULTILINE)}
    free, total = (sizes.get(name, 0) * 1024 / GIB for name in ("MemAvailable", "MemTotal"))
    if not total:
        return Check("memory", "ok", "unknown")
    text = f"{free:.1f} of {total:.1f} GiB free"
    if free >= 1:
        return Check("memory", "ok", text)
    return Check("memory", "warning", text, "End other programs, or use a smaller --batch-size")
