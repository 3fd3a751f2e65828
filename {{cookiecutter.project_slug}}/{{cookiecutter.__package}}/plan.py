"""What follows from what was found: the torch build, and the settings that suit this machine.

The build belongs to the project and is committed; the settings belong to the machine and stand in
``device.toml``. Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from .device import Found
from .gpus import Gpu
from .torch_build import (
    BUILDS,
    INDEX,
    TORCH,
    Build,
    Capability,
    covers,
    pypi_build,
    version_numbers,
    write_text,
)

JETSON_WHEELS = "https://pypi.jetson-ai-lab.io"


@dataclass(frozen=True)
class Plan:
    """What suits this machine; ``reasons`` says why, by the name of the field."""

    torch_build: str
    index_url: str | None
    """Where pip and uv find the build; None: PyPI has it."""
    torch_spec: str = TORCH
    device: str = "cpu"
    """cuda, mps or cpu."""
    precision: str = "fp32"
    grad_scaler: bool = False
    tf32: bool = False
    compile: bool = False
    channels_last: bool = False
    pin_memory: bool = False
    num_workers: int = 0
    backend: str = "gloo"
    """For torch.distributed."""
    reasons: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def make_plan(found: Found, choice: str = "auto") -> Plan:
    """Conclude.

    Args:
        found: what is here.
        choice: the answer to the template's question: auto, pypi or the name of a build.
    """
    choice = choice if choice != "auto" else found.asked
    plan, build = _auto_build(found) if choice == "auto" else _chosen_build(found, choice)
    served = _served(build, found)
    if found.kind == "cuda" and served:
        plan = _with_cuda(plan, found, served)
    elif found.kind == "rocm" and served:
        plan = _with_rocm(plan, served)
    elif found.kind == "mps":
        plan = _with_mps(plan)
    else:
        plan = _with_cpu(plan, found)
    workers = _num_workers(found, plan)
    reasons = plan.reasons | {"num_workers": f"{found.cpus} CPUs can be used here"}
    return replace(
        plan, num_workers=workers, reasons=reasons, notes=(*plan.notes, *_no_wheel(found))
    )


def _num_workers(found: Found, plan: Plan) -> int:
    shown = found.visible_gpus if found.visible_gpus is not None else len(found.gpus)
    processes = max(1, min(shown, len(found.gpus))) if plan.device == "cuda" else 1
    return min(8, (found.cpus - 1) // processes)


def _auto_build(found: Found) -> tuple[Plan, Build]:
    """The build that runs most of the GPUs; PyPI's own first."""
    if found.kind == "mps" or found.system == "Darwin":
        return _plan("pypi", None, "macOS has one build"), BUILDS["cpu"]
    if found.kind == "cpu":
        return _automatic(found, BUILDS["cpu"], "no GPU that these builds run on"), BUILDS["cpu"]
    builds = _candidates(found)
    build = max(builds, key=lambda build: len(_served(build, found)))
    served = _served(build, found)
    if not served:
        plan = _automatic(found, BUILDS["cpu"], "no build runs on the GPU as it is")
        return replace(plan, notes=(_why_none(found, builds),)), BUILDS["cpu"]
    plan = _automatic(found, build, f"runs on {served[0]}{_with_driver(found)}")
    notes = []
    if len(served) < len(found.gpus):
        others = ", ".join(gpu.name for gpu in found.gpus if gpu not in served)
        covered = f"{len(served)} of {len(found.gpus)} GPUs"
        notes.append(f"The build {build.name} covers {covered}, not {others}; no build covers all.")
    if build.name == "cu126":
        notes.append(_why_cu126(found, served))
    return replace(plan, notes=tuple(notes)), build


def _candidates(found: Found) -> list[Build]:
    """The builds to choose from, the best first."""
    if found.kind == "rocm":
        return [BUILDS["rocm7.2"]]
    return [BUILDS["cu130"], BUILDS["cu126"]] + [BUILDS["cu132"]] * found.jetson


def _plan(name: str, index_url: str | None, reason: str) -> Plan:
    return Plan(name, index_url, reasons={"torch_build": reason})


def _automatic(found: Found, build: Build, reason: str) -> Plan:
    index_url = None if found.system in build.pypi_on else INDEX + build.name
    return _plan(build.name, index_url, reason)


def _chosen_build(found: Found, choice: str) -> tuple[Plan, Build]:
    """The build that was asked for, with a note where the GPU here cannot use it."""
    build = pypi_build(found.system) if choice == "pypi" else BUILDS[choice]
    index_url = None if choice == "pypi" else INDEX + choice
    plan = _plan(choice, index_url, "asked for")
    if found.gpus and found.kind != "mps" and not _served(build, found):
        why = f"The build {choice} does not run on {found.gpus[0]}{_with_driver(found)}."
        plan = replace(plan, notes=(f"{why} The CPU is used.",))
    return plan, build


def _served(build: Build, found: Found) -> list[Gpu]:
    """The GPUs here that a build runs on."""
    if found.kind == "rocm":
        return [gpu for gpu in found.gpus if gpu.gfx in build.gfx and found.machine == "x86_64"]
    if found.kind != "cuda" or not _driver_will_do(build, found):
        return []
    return [gpu for gpu in found.gpus if _covers(build, gpu, found)]


def _covers(build: Build, gpu: Gpu, found: Found) -> bool:
    if gpu.capability is None:
        return bool(build.x86_64) and not found.jetson  # a guess; small boards are never ordinary
    return covers(build, gpu.capability, found.machine)


def _driver_will_do(build: Build, found: Found) -> bool:
    """By the driver's version, or by the CUDA version that it speaks; unknown counts as yes."""
    oldest = build.driver(windows=found.system == "Windows" or found.wsl)
    if not oldest:
        return False
    if found.cuda and version_numbers(found.cuda) >= build.cuda:
        return True
    if found.driver:
        return version_numbers(found.driver) >= version_numbers(oldest)
    return not found.cuda


def _why_none(found: Found, builds: list[Build]) -> str:
    """Why no build runs on the GPUs, and what would help."""
    gpu = found.gpus[0]
    if found.kind == "rocm":
        return f"torch 2.14 has no build with code for {gpu}. The CPU is used."
    fitting = [build for build in builds if any(_covers(build, gpu, found) for gpu in found.gpus)]
    if found.jetson:
        own = f"NVIDIA's own torch for Jetson ({JETSON_WHEELS}) or a newer JetPack"
        return f"{gpu} needs {own}. Until then: CPU."
    if fitting:
        windows = found.system == "Windows" or found.wsl
        oldest = min((build.driver(windows) for build in fitting), key=version_numbers)
        has = found.driver or f"for CUDA {found.cuda}"
        where = " (in Windows)" if found.wsl else ""
        return (
            f"The driver {has} is too old for torch 2.14 on {gpu.name}: update the driver to "
            f"{oldest} or newer{where}. Until then: CPU."
        )
    return f"torch 2.14 has no build with code for {gpu} on {found.machine}. The CPU is used."


def _why_cu126(found: Found, served: list[Gpu]) -> str:
    old = [gpu for gpu in served if gpu.capability and gpu.capability < (7, 5)]
    if old:
        return f"torch 2.14 is the last for {old[0].name}: keep torch < 2.15 (and driver 580)."
    driver = found.driver or f"for CUDA {found.cuda}"
    return (
        f"The driver {driver} needs the build cu126, which ends with 2.14: keep torch < 2.15, "
        "or update the driver to 580 or newer."
    )


def _with_driver(found: Found) -> str:
    return f" with driver {found.driver}" if found.driver else ""


def _with_cuda(plan: Plan, found: Found, served: list[Gpu]) -> Plan:
    """Settings by the lowest compute capability, so that they hold on every GPU in use."""
    unknown: Capability = (0, 0)
    lowest = min(gpu.capability or unknown for gpu in served)
    ampere, volta, linux = lowest >= (8, 0), lowest >= (7, 0), found.system == "Linux"
    precision = "bf16" if ampere else "fp16" if volta else "fp32"
    of = "compute capability {}.{}".format(*lowest) if lowest > unknown else "an unknown GPU"
    reasons = {
        "device": f"{found.source} found {served[0].name}",
        "precision": f"{of}: " + ("bf16" if ampere else "fp16, scaled" if volta else "no better"),
        "tf32": f"{of}: {'yes, from' if ampere else 'no, only from'} 8.0 on",
        "compile": f"{of} on {found.system}: Triton needs 7.0 and Linux",
        "channels_last": f"{of}: {'yes, from' if volta else 'no, only from'} 7.0 on",
    }
    return replace(
        plan,
        device="cuda",
        precision=precision,
        grad_scaler=precision == "fp16",
        tf32=ampere,
        compile=volta and linux,
        channels_last=volta,
        pin_memory=True,
        backend="nccl" if linux else "gloo",
        reasons=plan.reasons | reasons,
    )


def _with_rocm(plan: Plan, served: list[Gpu]) -> Plan:
    """AMD's GPUs; torch calls them cuda."""
    tf32 = all(str(gpu.gfx).startswith(("gfx94", "gfx95")) for gpu in served)
    reasons = {
        "device": f"{served[0]}; torch calls AMD's GPUs cuda",
        "precision": "AMD's GPUs have bf16",
        "channels_last": "measure it",
    }
    return replace(
        plan,
        device="cuda",
        precision="bf16",
        tf32=tf32,
        compile=True,
        pin_memory=True,
        backend="nccl",
        reasons=plan.reasons | reasons,
    )


def _with_mps(plan: Plan) -> Plan:
    reasons = {
        "device": "Apple silicon with macOS 14 or newer",
        "precision": "the safe one; bf16 works too, measure it",
        "compile": "still experimental on Apple's GPUs",
        "channels_last": "measure it",
    }
    return replace(plan, device="mps", reasons=plan.reasons | reasons)


def _with_cpu(plan: Plan, found: Found) -> Plan:
    reasons = {
        "device": "a GPU that this build cannot use" if found.gpus else "no GPU found",
        "precision": "exact; bf16 pays only on CPUs made for it",
        "compile": "long runs may gain from it; it needs a C++ compiler",
        "channels_last": "convolutions are faster",
    }
    return replace(plan, device="cpu", channels_last=True, reasons=plan.reasons | reasons)


def _no_wheel(found: Found) -> tuple[str, ...]:
    """A note where torch has no wheel at all."""
    machines = {"Linux": ("x86_64", "aarch64"), "Windows": ("amd64", "x86_64")}
    if found.machine.lower() in machines.get(found.system, (found.machine.lower(),)):
        return ()
    return (f"torch has no wheel for {found.system} on {found.machine}.",)


SETTINGS = ("device", "precision", "num_workers", "channels_last", "tf32", "compile")
"""What device.toml sets; the names are those of the hyperparameters."""


def device_toml(found: Found, plan: Plan) -> str:
    """The text of device.toml."""
    lines = [
        "# What suits this machine; hyperparameters and flags may differ from it. Not for git.",
        "# `python -m PACKAGE doctor --write` writes it again, for another machine or driver.",
        f"# Found on {date.today()}: {found.summary()}",
        *(f"# Note: {note}" for note in (*found.notes, *plan.notes)),
        "",
    ]
    for name in SETTINGS:
        value = json.dumps(getattr(plan, name))
        reason = plan.reasons.get(name, "")
        lines.append(f"{name} = {value}" + (f"  # {reason}" if reason else ""))
    package = __name__.partition(".")[0]
    return "\n".join(lines).replace("PACKAGE", package) + "\n"


def write_device_toml(project: Path, found: Found, plan: Plan) -> None:
    """Write device.toml in the project's folder."""
    write_text(project / "device.toml", device_toml(found, plan))
