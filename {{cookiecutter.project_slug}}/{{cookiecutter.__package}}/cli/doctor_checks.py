"""The doctor's checks that need torch; ``python -m PACKAGE.cli.doctor_checks`` runs them.

It prints a line of JSON for each, so what was found before a crash is not lost.
"""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator

import torch

from ..engine import device as hardware
from ..engine.builds import CHANGE_BUILD, CU130, INSTALL, REINSTALL, TORCH, build_for
from ..engine.errors import UserError
from ..engine.files import PROJECT, read_text, read_toml, write_text
from ..engine.machine import usable_cpus
from .doctor import GIB, WRITE, Check, State, judge

DEVICE_TOML = PROJECT / "device.toml"
NVIDIA_SIGNS = [*filter(os.path.exists, ("/dev/nvidia0", "/proc/driver/nvidia"))]
NVIDIA_SIGNS += filter(shutil.which, ["nvidia-smi"])


def main(argv: list[str]) -> None:
    """Print the checks, and the settings that suit this machine; --write writes device.toml."""
    on_cuda = check_gpus if torch.cuda.is_available() else check_cuda
    first = [write_device_toml] if "--write" in argv else []
    for check in [*first, check_torch, on_cuda, check_arithmetic, check_settings]:
        try:
            for result in check():
                print(json.dumps(result), flush=True)
        except Exception as error:  # a broken line, not a traceback
            text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            remedy = INSTALL if isinstance(error, ModuleNotFoundError) else REINSTALL
            name = check.__name__.removeprefix("check_")
            print(json.dumps(Check(name, "broken", text, remedy)), flush=True)
    print(json.dumps(suggest_settings()))


def check_torch() -> Iterator[Check]:
    """Version of torch, its build compared with the project's, and torchvision if it is there."""
    version, _, build = torch.__version__.partition("+")  # 2.14.1+cu130; not every build says it
    oldest, too_new = TORCH.removeprefix(">=").split(",<")
    tested = numbers(oldest) <= numbers(version) < numbers(too_new)
    text = f"{torch.__version__} (the project was tested with {TORCH})"
    yield judge("torch", tested, text, REINSTALL)
    named = named_build()
    # Another build than the team's may be the right one here: without a GPU, or for an old one.
    fits = build.startswith(named) or not build or (build == "cpu") == (not NVIDIA_SIGNS)
    text = f"{build or 'unknown'}; the project's default is {named or 'the registry'}"
    yield judge("torch build", fits, text, REINSTALL)
    if importlib.util.find_spec("torchvision") is not None:
        version = importlib.import_module("torchvision").__version__
        fits = not build or version.partition("+")[2] in ("", build)
        text = f"{version}, with torch {torch.__version__}"
        yield judge("torchvision", fits, text, REINSTALL, "broken")


def numbers(version: str) -> tuple[int, ...]:
    """(2, 15) for 2.15.0."""
    return tuple(int(number) for number in version.split(".")[:2])


def named_build() -> str:
    """The build that the project installs where nothing else is typed; empty: the registry's."""
    pyproject = PROJECT / "pyproject.toml"
    text = read_text(pyproject) if pyproject.is_file() else ""
    groups = re.search(r"^default-groups = \[(.*)\]", text, re.MULTILINE)
    builds = re.findall(r'"([\w.-]+)"', groups[1]) if groups else []
    return next((build for build in builds if build != "dev"), "")


def check_cuda() -> Iterator[Check]:
    """Why torch sees no GPU, if one seems to be here."""
    if not NVIDIA_SIGNS and not torch.version.hip:
        yield Check("cuda", "ok", "no NVIDIA GPU")
        return
    problem = f"{hardware.why_no_gpu('cuda')} Signs of a GPU: {', '.join(NVIDIA_SIGNS) or 'ROCm'}"
    state: State = "warning"
    if torch.version.hip:
        remedy = "sudo usermod -aG render,video $USER, and log in again"
    elif torch.version.cuda is None:
        remedy = f"{CHANGE_BUILD} cu130 (cu126 for GPUs before Turing)"
    elif "No CUDA GPUs" in problem and "CUDA_VISIBLE_DEVICES" in os.environ:
        remedy = "Unset CUDA_VISIBLE_DEVICES, which may hide the GPU"
    elif "too old" in problem:
        state = "broken"
        remedy = f"Update NVIDIA's driver to {CU130.driver} or newer. Or: {CHANGE_BUILD} cu126"
    else:
        state = "broken" if "/dev/nvidia0" in NVIDIA_SIGNS else "warning"
        remedy = "If nvidia-smi fails: restart, or reinstall the driver. Containers need --gpus all"
    yield Check("cuda", state, problem, remedy)


def check_gpus() -> Iterator[Check]:
    """Each GPU: its compute capability and free memory, and whether torch has code for it."""
    usable, architectures = hardware.usable_indices("cuda"), " ".join(torch.cuda.get_arch_list())
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        free, total = (size / GIB for size in torch.cuda.mem_get_info(index))
        text = f"{gpu.name} ({gpu.major}.{gpu.minor}), {free:.1f} of {total:.1f} GiB free"
        yield judge(f"cuda:{index}", free >= 1, text, "End the programs that nvidia-smi lists")
        build = build_for((gpu.major, gpu.minor))
        remedy = f"No build of torch {TORCH} has it. Train with --device cpu"
        if build is not None and not torch.__version__.endswith(build.name):
            remedy = f"{CHANGE_BUILD} {build.name}"
        text = f"torch has code for {architectures}"
        bad: State = "warning" if usable else "broken"
        yield judge(f"kernels of cuda:{index}", index in usable, text, remedy, bad)
    cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"  # may raise
    yield Check("cuda", "ok", f"ROCm {torch.version.hip}" if torch.version.hip else cuda)


def check_arithmetic() -> Iterator[Check]:
    """Precisions, --compile, and a product of matrices compared with the CPU's in float64."""
    device, precisions = hardware.best_device(), ("fp32", "bf16", "fp16")
    good = [name for name in precisions if not hardware.precision_problem(device, name)[0]]
    yield Check("precision", "ok", f"{', '.join(good)} on {device}")
    problem = hardware.compile_problem(device)
    remedy = "Install it. Without --compile, training works all the same"
    yield judge("compile", not problem, problem or "a compiler is there", remedy)
    left, right = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    product = (left.to(device) @ right.to(device)).cpu().double()
    error = (product - left.double() @ right.double()).abs().max().item()
    text = f"a product on {device} differs from float64 by {error:.1g}"
    remedy = "Train with --device cpu. If a restart does not help, the GPU is defective"
    # TF32 keeps three digits of sums of about 8; NaN is not below 0.1.
    yield judge("arithmetic", error < 0.1, text, remedy, "broken")


def check_settings() -> Iterator[Check]:
    """Whether torch can do here what device.toml says."""
    from ..engine.settings import from_plain  # needs more packages than torch
    from .arguments import Settings

    try:
        values = read_toml(DEVICE_TOML) if DEVICE_TOML.exists() else {}
        settings = from_plain(Settings, values, "device.toml").run_settings
    except UserError as error:
        yield Check("settings", "broken", str(error), WRITE)
        return
    chosen, best = hardware.resolve(settings, frozenset()), hardware.best_device().type
    problem = " ".join(chosen.notes)
    if not problem and settings.device not in ("auto", best):
        problem = f"device.toml says {settings.device}, but torch can use {best}."
    text = f"trains on {chosen.name} in {chosen.precision}"
    yield judge("settings", not problem, problem or text, WRITE)


def suggest_settings() -> dict[str, str | int | bool]:
    """The values of device.toml that suit this machine."""
    device, lowest = hardware.best_device(), (0, 0)
    kind, indices = device.type, hardware.usable_indices(device.type)
    is_amd = kind == "cuda" and torch.version.hip is not None
    if kind == "cuda" and not is_amd:
        lowest = min(map(torch.cuda.get_device_capability, indices))
    has_bf16 = lowest >= (8, 0) or is_amd or kind == "xpu"
    may_compile = kind in ("cuda", "xpu") and sys.platform == "linux"
    return {
        "device": kind,
        "precision": "bf16" if has_bf16 else "fp16" if lowest >= (7, 0) else "fp32",
        "num_workers": min(8, (usable_cpus() - 1) // len(indices)),
        "channels_last": kind in ("cpu", "xpu") or lowest >= (7, 0),
        "tf32": lowest >= (8, 0) or (is_amd and torch.cuda.is_tf32_supported()),
        "compile": may_compile and not hardware.compile_problem(device),
    }


def write_device_toml() -> Iterator[Check]:
    """Write device.toml again."""
    text = "# Defaults for this machine; --config files and flags override them. Not in git.\n"
    text += f"# For another machine or driver, write it again: {WRITE}\n\n"
    for name, value in suggest_settings().items():
        text += f"{name} = {json.dumps(value)}\n"
    write_text(DEVICE_TOML, text)
    yield Check("written", "ok", str(DEVICE_TOML))


if __name__ == "__main__":
    main(sys.argv[1:])
