"""The doctor's checks that need torch, a program of its own: a sick driver can crash or block it.

It prints one check a line as JSON, so what was found before a crash is not lost.
"""

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .capabilities import (
    best_device,
    compile_problem,
    cuda_problem,
    device_problem,
    has_kernels,
    precision_problem,
)
from .torch_build import TORCH, project_build, version_numbers

if TYPE_CHECKING:
    import torch

PACKAGE = __name__.partition(".")[0]
PROJECT = Path(__file__).resolve().parent.parent
INSTALL = (
    "uv sync   (or: python -m pip install -r requirements-torch.txt, "
    "then: python -m pip install -e .)"
)
GIB = 2**30
State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    text: str
    remedy: str = ""
    """What to type or do."""

    def __str__(self) -> str:
        line = f"{self.state:<8} {self.name}: {self.text}"
        return f"{line}\n{'':<8} -> {self.remedy}" if self.remedy else line


@dataclass(frozen=True)
class Facts:
    """What was found before torch is asked."""

    kind: str
    """cuda, rocm, mps, xpu or cpu."""
    cuda: str
    """The newest CUDA that the driver speaks."""
    hangs: bool
    """The driver hangs, so torch must not touch it either."""
    device: str
    """What the plan computes on."""
    torch_build: str


def main(argument: str) -> None:
    """Print the checks; ``argument`` is a `Facts` as JSON."""
    for check in examine(Facts(**loads(argument))):
        print(dumps(asdict(check)), flush=True)


def examine(facts: Facts) -> Iterator[Check]:
    """Every check; none but the first if torch cannot be imported."""
    installed = guarded(check_torch, facts)
    yield installed
    if installed.state == "broken":
        return
    for check in (check_torchvision, check_build, check_cuda, check_cudnn, check_kernels):
        yield guarded(check, facts)
    for check in (check_arithmetic, check_precision, check_compile, check_gpu_memory):
        yield guarded(check, facts)


def guarded(check: Callable[[Facts], Check], facts: Facts) -> Check:
    """A check that fails is a broken line, not a traceback."""
    try:
        return check(facts)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        name = check.__name__.removeprefix("check_").replace("_", " ")
        return Check(name, "broken", f"{type(error).__name__}: {first}", INSTALL)


def device_of(facts: Facts) -> "torch.device":
    """Where a run without flags would compute."""
    import torch

    return torch.device("cpu") if facts.hangs else best_device()


def check_torch(facts: Facts) -> Check:
    """Whether torch can be imported and has the right version."""
    import torch

    low, high = (version_numbers(bound) for bound in TORCH.split(","))
    if low <= version_numbers(torch.__version__)[:2] < high:
        return Check("torch", "ok", torch.__version__)
    text = f"{torch.__version__}, but the project is made for {TORCH}"
    return Check("torch", "warning", text, INSTALL)


def check_torchvision(facts: Facts) -> Check:
    """Whether torchvision, where the project has it, is from the same build as torch."""
    if importlib.util.find_spec("torchvision") is None:
        return Check("torchvision", "ok", "not installed")
    import torch

    version = importlib.metadata.version("torchvision")
    builds = {text.partition("+")[2] for text in (torch.__version__, version)}
    if len(builds - {""}) <= 1:
        return Check("torchvision", "ok", version)
    text = f"{version} is of another build than torch {torch.__version__}"
    return Check("torchvision", "broken", text, INSTALL)


def check_build(facts: Facts) -> Check:
    """Whether the installed build suits the GPU, and which one the project names."""
    import torch

    cuda, hip = torch.version.cuda, torch.version.hip
    installed = f"for CUDA {cuda}" if cuda else f"for ROCm {hip}" if hip else "without CUDA"
    text = f"{torch.__version__} is {installed}; the project names {project_build(PROJECT)}"
    if facts.device == "cuda" and not (hip if facts.kind == "rocm" else cuda):
        text = f"{text}; the GPU needs {facts.torch_build}"
        remedy = f"python -m {PACKAGE}.torch_build {facts.torch_build}, then: {INSTALL}"
        return Check("torch build", "warning", text, remedy)
    return Check("torch build", "ok", text)


def check_cuda(facts: Facts) -> Check:
    """Whether torch can use the GPU that is here."""
    import torch

    if facts.hangs:
        return Check("cuda", "broken", "not tried: the driver hangs", "Restart the computer")
    if facts.kind in ("mps", "xpu"):
        problem = device_problem(facts.kind)
        return Check("gpu", "broken", problem, INSTALL) if problem else Check("gpu", "ok", "usable")
    available, cuda = torch.cuda.is_available(), torch.version.cuda
    text = f"torch.cuda.is_available() is {available}"
    if facts.device != "cuda" or available:
        speaks = f"; the driver speaks CUDA {facts.cuda}, torch {cuda}"
        return Check("cuda", "ok", text + speaks * (facts.kind == "cuda"))
    if torch.version.hip:
        return Check("cuda", "broken", text, "sudo usermod -aG render,video $USER; log in again")
    if cuda is None:
        return Check("cuda", "warning", text, "See torch build above; --device cpu works meanwhile")
    remedy = f"python -m {PACKAGE}.torch_build {facts.torch_build}, then: {INSTALL}"
    if facts.torch_build == f"cu{cuda.replace('.', '')}":
        remedy = "Restart the computer; if that does not help, install the driver again"
    return Check("cuda", "broken", f"{text}, but the GPU suits {facts.torch_build}", remedy)


def check_cudnn(facts: Facts) -> Check:
    """NVIDIA's library of neural networks, which comes with the wheel."""
    import torch

    if torch.version.cuda is None:
        return Check("cudnn", "ok", "not in this build")
    if facts.hangs or not torch.cuda.is_available():
        return Check("cudnn", "ok", "not used: torch uses no GPU")
    if torch.backends.cudnn.is_available():
        return Check("cudnn", "ok", str(torch.backends.cudnn.version()))
    return Check("cudnn", "broken", "torch finds no cuDNN", INSTALL)


def check_kernels(facts: Facts) -> Check:
    """Whether the wheel has code for each GPU."""
    import torch

    if torch.version.cuda is None or facts.hangs or not torch.cuda.is_available():
        return Check("kernels", "ok", "for the CPU")
    codes = torch.cuda.get_arch_list()
    without = [
        f"{torch.cuda.get_device_name(index)} (sm_{major}{minor})"
        for index in range(torch.cuda.device_count())
        for major, minor in [torch.cuda.get_device_capability(index)]
        if not has_kernels((major, minor), codes)
    ]
    text = f"torch has code for {' '.join(codes)}"
    if not without:
        return Check("kernels", "ok", text)
    state: State = "broken" if cuda_problem() else "warning"
    remedy = f"python -m {PACKAGE}.torch_build {facts.torch_build}, then: {INSTALL}"
    return Check("kernels", state, f"{text}, none for {', '.join(without)}", remedy)


def check_arithmetic(facts: Facts) -> Check:
    """A product of matrices on the device, compared with the CPU's in double precision."""
    import torch

    device = device_of(facts)
    left, right = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    product = (left.to(device) @ right.to(device)).cpu().double()
    error = (product - left.double() @ right.double()).abs().max().item()
    if error < 0.1:  # TF32 keeps three digits of sums of about 8
        return Check("arithmetic", "ok", f"a product on {device} agrees with the CPU's")
    remedy = "Train with --device cpu; if a restart does not help, the GPU is defective"
    return Check("arithmetic", "broken", f"{device} computes wrongly: off by {error:.3g}", remedy)


def check_precision(facts: Facts) -> Check:
    """Which precisions the device is made for."""
    device = device_of(facts)
    good = [name for name in ("fp32", "bf16", "fp16") if precision_problem(device, name)[0] is None]
    return Check("precision", "ok", f"{', '.join(good)} on {device}")


def check_compile(facts: Facts) -> Check:
    """Whether --compile can work."""
    problem = compile_problem(device_of(facts))
    if problem is None:
        return Check("compile", "ok", "a compiler is there")
    remedy = "Install it; without --compile, training works all the same"
    return Check("compile", "warning", problem, remedy)


def check_gpu_memory(facts: Facts) -> Check:
    """Free memory of the GPU."""
    import torch

    device = device_of(facts)
    if device.type != "cuda":
        return Check("gpu memory", "ok", f"not used: {device}")
    free, total = (size / GIB for size in torch.cuda.mem_get_info(device))
    text = f"{free:.1f} of {total:.1f} GiB free on {device}"
    if free >= 1:
        return Check("gpu memory", "ok", text)
    remedy = f"{shutil.which('nvidia-smi') or 'nvidia-smi'} lists who uses it: end those programs"
    return Check("gpu memory", "warning", text, remedy)


if __name__ == "__main__":
    main(sys.argv[1])
