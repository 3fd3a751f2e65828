"""What follows from what was found: the torch build, and the defaults for this machine.

The build belongs to the project and is committed. The defaults belong to the machine and stand in
``device.toml``. Standard library only, Python 3.10 or newer.
"""

from dataclasses import dataclass, field, replace

from .builds import TORCH, Capability
from .choose import choose_build, why_no_wheel
from .detect import Found
from .gpus import Gpu


@dataclass(frozen=True)
class Plan:
    """What fits this machine."""

    torch_build: str
    index_url: str | None
    """Where pip and uv find the build; None: on PyPI."""
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
    """Why, by the name of the field."""
    notes: tuple[str, ...] = ()


def make_plan(found: Found, choice: str = "auto") -> Plan:
    """Decide the build and the defaults.

    Args:
        found: what was found on the machine.
        choice: the answer to the template's question: auto, pypi or the name of a build.
    """
    chosen = choose_build(found, choice if choice != "auto" else found.requested)
    plan = Plan(chosen.name, chosen.index_url, reasons={"torch_build": chosen.reason})
    if found.kind == "cuda" and chosen.supported:
        plan = _with_cuda(plan, found, chosen.supported)
    elif found.kind == "rocm" and chosen.supported:
        plan = _with_rocm(plan, chosen.supported)
    elif found.kind == "xpu" and chosen.supported:
        plan = _with_xpu(plan)
    elif found.kind == "mps":
        plan = _with_mps(plan)
    else:
        plan = _with_cpu(plan, found)
    reasons = plan.reasons | {"num_workers": f"usable CPUs: {found.num_cpus}"}
    notes = (*chosen.notes, *why_no_wheel(found))
    return replace(plan, num_workers=_num_workers(found, plan), reasons=reasons, notes=notes)


def _num_workers(found: Found, plan: Plan) -> int:
    visible = found.num_visible if found.num_visible is not None else len(found.gpus)
    processes = max(1, min(visible, len(found.gpus))) if plan.device == "cuda" else 1
    return min(8, (found.num_cpus - 1) // processes)


def _with_cuda(plan: Plan, found: Found, supported: tuple[Gpu, ...]) -> Plan:
    """By the lowest compute capability, so that the defaults work on every GPU in use."""
    lowest = min(gpu.capability or (0, 0) for gpu in supported)
    ampere, volta, linux = lowest >= (8, 0), lowest >= (7, 0), found.system == "Linux"
    precision = "bf16" if ampere else "fp16" if volta else "fp32"
    reasons = _cuda_reasons(lowest, precision, found.system)
    reasons["device"] = f"{found.source} found {supported[0].name}"
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


def _cuda_reasons(lowest: Capability, precision: str, system: str) -> dict[str, str]:
    gpu = "compute capability {}.{}".format(*lowest) if lowest > (0, 0) else "unknown GPU"
    why = {
        "bf16": "bf16 needs 8.0",
        "fp16": "with gradient scaling; bf16 needs 8.0",
        "fp32": "fp16 needs 7.0, bf16 needs 8.0",
    }
    return {
        "precision": f"{gpu}: {why[precision]}",
        "tf32": f"{gpu}: TF32 needs 8.0",
        "compile": f"{gpu} on {system}: Triton needs 7.0 and Linux",
        "channels_last": f"{gpu}: faster from 7.0 on",
    }


def _with_rocm(plan: Plan, supported: tuple[Gpu, ...]) -> Plan:
    """AMD's GPUs; torch calls them cuda."""
    tf32 = all(str(gpu.gfx).startswith(("gfx94", "gfx95")) for gpu in supported)
    reasons = {
        "device": f"{supported[0]}; torch calls AMD's GPUs cuda",
        "precision": "AMD's GPUs have bf16",
        "channels_last": "may be faster: measure it",
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
        "device": "an Intel GPU, as requested",
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
    """Apple's GPU."""
    reasons = {
        "device": "Apple silicon with macOS 14 or newer",
        "precision": "the safe one; bf16 also works and may be faster: measure it",
        "compile": "still experimental on Apple's GPUs",
        "channels_last": "may be faster: measure it",
    }
    return replace(plan, device="mps", reasons=plan.reasons | reasons)


def _with_cpu(plan: Plan, found: Found) -> Plan:
    reasons = {
        "device": "this build does not support the GPU" if found.gpus else "no GPU found",
        "precision": "exact; bf16 is faster only on CPUs with hardware for it",
        "compile": "may speed up long runs; needs a C++ compiler",
        "channels_last": "convolutions are faster",
    }
    return replace(plan, device="cpu", channels_last=True, reasons=plan.reasons | reasons)
