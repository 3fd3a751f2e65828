"""What this machine is, what torch can do with it, and what to type to mend what is wrong.

``python -m PACKAGE doctor`` works before anything is installed: torch is imported only for the
checks that are about it, and nothing else is needed.
"""

import argparse
import importlib.util
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .device import Found, detect
from .errors import UserError
from .machine import Machine
from .plan import Plan, make_plan, write_device_toml
from .torch_build import TORCH, project_build, version_numbers

if TYPE_CHECKING:
    import torch

PACKAGE = __package__ or "package"
PROJECT = Path(__file__).resolve().parent.parent
INSTALL = "uv sync   (or: python -m pip install -r requirements-torch.txt -e .)"
WRITE = f"python -m {PACKAGE} doctor --write"
GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warning", "broken"]
    text: str
    remedy: str = ""
    """What to type or do."""

    def __str__(self) -> str:
        line = f"{self.state:<8} {self.name}: {self.text}"
        return f"{line}\n{'':<8} -> {self.remedy}" if self.remedy else line


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
        yield Check("machine", "warning", note)
    yield check_device_toml(plan)
    yield check_workers(found, plan)
    yield check_disk()
    if found.container:
        yield check_shared_memory()
    installed = check_torch()
    yield installed
    if installed.state == "broken":
        return
    yield check_build(found, plan)
    yield from check_gpu(found)
    device = chosen_device(found)
    for check in (check_arithmetic, check_precision, check_compile, check_memory):
        yield guarded(check, device)


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
    state: Literal["warning", "broken"] = "warning" if free >= 0.5 else "broken"
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


def check_torch() -> Check:
    """Whether torch is there, can be imported and has the right version."""
    if importlib.util.find_spec("torch") is None:
        return Check("torch", "broken", "not installed", INSTALL)
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("torch", "broken", f"cannot be imported ({error})", INSTALL)
    low, high = (version_numbers(bound) for bound in TORCH.split(","))
    if not low <= version_numbers(torch.__version__)[:2] < high:
        text = f"{torch.__version__}, but the project is made for {TORCH}"
        return Check("torch", "warning", text, INSTALL)
    return Check("torch", "ok", torch.__version__)


def check_build(found: Found, plan: Plan) -> Check:
    """Whether the installed build is the one that the project names, and fits the machine."""
    import torch

    cuda, hip = torch.version.cuda, torch.version.hip
    installed = f"for CUDA {cuda}" if cuda else f"for ROCm {hip}" if hip else "without CUDA"
    text = f"{torch.__version__} {installed}; the project names {project_build(PROJECT)}"
    if plan.device == "cuda" and not (hip if found.kind == "rocm" else cuda):
        remedy = f"python -m {PACKAGE}.torch_build {plan.torch_build}, then: {INSTALL}"
        return Check("torch build", "warning", f"{text}; the GPU needs {plan.torch_build}", remedy)
    return Check("torch build", "ok", text)


def check_gpu(found: Found) -> Iterator[Check]:
    """Whether torch can use the GPU that is here."""
    import torch

    from .capabilities import cuda_problem, device_problem

    if hangs(found):
        return
    if found.kind == "mps":
        problem = device_problem("mps")
        yield Check("gpu", "broken" if problem else "ok", problem or "torch can use it", "")
    elif found.gpus:
        problem = cuda_problem()
        if problem:
            gpu_build = torch.version.cuda or torch.version.hip
            state: Literal["warning", "broken"] = "broken" if gpu_build else "warning"
            yield Check("gpu", state, problem, "See the lines above; --device cpu works meanwhile")
            return
        yield from cuda_facts(found)


def cuda_facts(found: Found) -> Iterator[Check]:
    """Name, compute capability, driver, CUDA, cuDNN of a GPU that works."""
    import torch

    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        name = torch.cuda.get_device_name(index)
        yield Check("gpu", "ok", f"{name}, compute capability {major}.{minor}")
    if torch.version.cuda is None:
        return
    speaks = f"driver {found.driver} speaks CUDA {found.cuda or '?'}"
    yield Check("cuda", "ok", f"{speaks}, torch has CUDA {torch.version.cuda}")
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    if cudnn is None:
        yield Check("cudnn", "broken", "torch finds no cuDNN", INSTALL)
    else:
        yield Check("cudnn", "ok", str(cudnn))
    yield Check("kernels", "ok", "torch has code for " + " ".join(torch.cuda.get_arch_list()))


def hangs(found: Found) -> bool:
    """Whether the driver hangs, so that torch must not touch it either."""
    return any(re.search("did not answer", note) for note in found.notes)


def chosen_device(found: Found) -> "torch.device":
    """Where a run without flags would compute; torch must not touch a driver that hangs."""
    import torch

    from .capabilities import best_device

    return torch.device("cpu") if hangs(found) else best_device()


def guarded(check: Callable[["torch.device"], Check], device: "torch.device") -> Check:
    """A check that crashes is a broken line, not a traceback."""
    try:
        return check(device)
    except Exception as error:
        name = check.__name__.removeprefix("check_")
        first = (str(error).splitlines() or [""])[0]
        return Check(name, "broken", f"{device}: {type(error).__name__}: {first}", INSTALL)


def check_arithmetic(device: "torch.device") -> Check:
    """A product of matrices on the device, compared with the CPU's in double precision."""
    import torch

    left, right = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    product = (left.to(device) @ right.to(device)).cpu().double()
    error = (product - left.double() @ right.double()).abs().max().item()
    if error < 0.1:  # TF32 keeps three digits of sums of about 8
        return Check("arithmetic", "ok", f"a product on {device} agrees with the CPU's")
    return Check("arithmetic", "broken", f"{device} computes wrongly: off by {error:.3g}", INSTALL)


def check_precision(device: "torch.device") -> Check:
    """Which precisions the device is made for."""
    from .capabilities import precision_problem

    good = [name for name in ("fp32", "bf16", "fp16") if precision_problem(device, name)[0] is None]
    return Check("precision", "ok", f"{', '.join(good)} on {device}")


def check_compile(device: "torch.device") -> Check:
    """Whether --compile can work."""
    from .capabilities import compile_problem

    problem = compile_problem(device)
    if problem is None:
        return Check("compile", "ok", "--compile should work")
    return Check("compile", "warning", problem, "Without --compile, training works all the same")


def check_memory(device: "torch.device") -> Check:
    """Free memory of the GPU, or of the machine."""
    import torch

    if device.type == "cuda":
        free, total = (size / GIB for size in torch.cuda.mem_get_info(device))
    else:
        free, total = memory_gib(Machine())
    if not total:
        return Check("memory", "ok", "unknown")
    text = f"{free:.1f} of {total:.1f} GiB free on {device}"
    if free >= 1:
        return Check("memory", "ok", text)
    return Check("memory", "warning", text, "End other programs, or use a smaller --batch-size")


def memory_gib(machine: Machine) -> tuple[float, float]:
    """Free and total memory of a Linux machine; zeros elsewhere."""
    lines = machine.read("/proc/meminfo") or ""
    sizes = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", lines, re.MULTILINE)}
    free, total = (sizes.get(name, 0) * 1024 / GIB for name in ("MemAvailable", "MemTotal"))
    return free, total
