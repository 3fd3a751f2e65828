"""What follows from what was found: the torch build, and the settings that suit this machine.

The build belongs to the project and is committed; the settings belong to the machine and stand in
``device.toml``. Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from .build_choice import choose_build, no_wheel
from .device import Found
from .gpus import Gpu
from .torch_build import TORCH, Capability, write_text


@dataclass(frozen=True)
class Plan:
    """What suits this machine; ``reasons`` says why, by the name of the field."""

    torch_build: str
    index_url: str | None
    """Where pip and uv find the build; None: PyPI has it."""
    torch_spec: str = TORCH
    device: str = "cpu"
    """cuda, mps, xpu or cpu."""
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
    chosen = choose_build(found, choice if choice != "auto" else found.asked)
    plan = Plan(chosen.name, chosen.index_url, reasons={"torch_build": chosen.reason})
    if found.kind == "cuda" and chosen.served:
        plan = _with_cuda(plan, found, chosen.served)
    elif found.kind == "rocm" and chosen.served:
        plan = _with_rocm(plan, chosen.served)
    elif found.kind == "xpu" and chosen.served:
        plan = _with_xpu(plan)
    elif found.kind == "mps":
        plan = _with_mps(plan)
    else:
        plan = _with_cpu(plan, found)
    workers = _num_workers(found, plan)
    reasons = plan.reasons | {"num_workers": f"{found.cpus} CPUs can be used here"}
    notes = (*chosen.notes, *no_wheel(found))
    return replace(plan, num_workers=workers, reasons=reasons, notes=notes)


def _num_workers(found: Found, plan: Plan) -> int:
    shown = found.visible_gpus if found.visible_gpus is not None else len(found.gpus)
    processes = max(1, min(shown, len(found.gpus))) if plan.device == "cuda" else 1
    return min(8, (found.cpus - 1) // processes)


def _with_cuda(plan: Plan, found: Found, served: tuple[Gpu, ...]) -> Plan:
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


def _with_rocm(plan: Plan, served: tuple[Gpu, ...]) -> Plan:
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


def _with_xpu(plan: Plan) -> Plan:
    """Intel's GPUs."""
    reasons = {
        "device": "an Intel GPU, asked for",
        "precision": "Intel's GPUs have bf16",
        "channels_last": "convolutions are faster",
    }
    return replace(
        plan,
        device="xpu",
        precision="bf16",
        compile=True,
        channels_last=True,
        pin_memory=True,
        backend="xccl",
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


SETTINGS = ("device", "precision", "num_workers", "channels_last", "tf32", "compile")
"""What device.toml sets; the names are those of the hyperparameters."""


def device_toml(found: Found, plan: Plan) -> str:
    """The text of device.toml."""
    lines = [
        "# What suits this machine; hyperparameters and flags may differ from it. Not for git.",
        "# `python -m PACKAGE doctor --write` writes it again, for another machine or driver.",
        f"# Found on {time.strftime('%Y-%m-%d')}: {found.summary()}",
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
