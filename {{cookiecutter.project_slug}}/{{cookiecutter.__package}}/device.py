"""What this machine is, and what follows from it: torch build, device, precision, workers.

``detect`` describes the machine, ``make_plan`` concludes. The hook that finishes a new project,
``doctor`` and the training run all use these two, so they cannot disagree.
Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import os
import re
from dataclasses import dataclass, replace
from typing import Literal

from . import gpus, linux_files
from .gpus import LIMIT, SHORT_LIMIT, Gpu
from .machine import Machine
from .torch_build import BUILDS, OFFERED, version_numbers

Kind = Literal["cuda", "rocm", "mps", "xpu", "cpu"]


@dataclass(frozen=True)
class Found:
    """What is here."""

    system: str
    """Linux, Darwin or Windows."""
    machine: str
    """x86_64, aarch64, arm64, AMD64 ..."""
    kind: Kind = "cpu"
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    """Version of NVIDIA's driver."""
    cuda: str | None = None
    """The newest CUDA that the driver speaks."""
    source: str = ""
    """Who said so: NVML, nvidia-smi, libcuda, device nodes, KFD, PCI, macOS."""
    certain: bool = True
    """False where only signs of a GPU were seen."""
    cpus: int = 1
    """CPUs that a process here may use."""
    wsl: bool = False
    jetson: bool = False
    container: bool = False
    musl: bool = False
    """Alpine and the like."""
    asked: str = "auto"
    """The torch build that TORCH_BACKEND or UV_TORCH_BACKEND names."""
    visible_gpus: int | None = None
    """How many of them CUDA_VISIBLE_DEVICES shows; None if it is not set."""
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """In a line, for a person."""
        if not self.gpus:
            return f"no GPU found, {self.cpus} CPUs"
        kinds = [str(gpu) for gpu in self.gpus]
        names = [f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)]
        driver = f", driver {self.driver}" if self.driver else ""
        return f"{', '.join(names)}{driver}, via {self.source}"


def detect(choice: str = "auto", machine: Machine | None = None) -> Found:
    """Look at the machine. Never raises and never hangs.

    Args:
        choice: the torch build that was asked for; ``cpu`` looks for no GPU at all.
        machine: the machine to look at; by default, this one.
    """
    machine = machine or Machine()
    found = Found(machine.system, machine.machine)
    try:
        found = _surroundings(machine)
        asked = choice if choice != "auto" else found.asked
        if asked == "cpu":
            return replace(found, source="asked for")
        if machine.system == "Darwin":
            return _apple(machine, found)
        return _intel(machine, found) if asked == "xpu" else _nvidia(machine, found)
    except Exception as error:
        note = f"Looking for a GPU failed ({type(error).__name__}: {error})."
        return replace(found, notes=(*found.notes, gpus.clean(note)))


def _surroundings(machine: Machine) -> Found:
    """Everything but the GPUs."""
    asked, notes = "auto", []
    for name in ("TORCH_BACKEND", "UV_TORCH_BACKEND"):
        value = machine.environ.get(name, "").strip().lower()
        if value in (*OFFERED, *BUILDS):
            asked = value
            break
        if value:
            note = f"{name}={value} is not followed: the builds are {', '.join(OFFERED)}."
            notes.append(gpus.clean(note))
    return Found(
        machine.system,
        machine.machine,
        cpus=machine.cpus,
        wsl=machine.is_wsl,
        jetson=machine.is_jetson,
        container=machine.is_container,
        musl=machine.is_musl,
        asked=asked,
        notes=tuple(notes),
    )


def _apple(machine: Machine, found: Found) -> Found:
    """Apple's own GPU, from macOS 14 on."""
    answer = machine.run(["/usr/bin/sw_vers", "-productVersion"], LIMIT)
    macos = version_numbers(answer.text)[:1]
    if machine.machine != "arm64":
        rosetta = machine.run(["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"], LIMIT)
        note = "torch has no wheel for Intel Macs since 2.3."
        if rosetta.text.strip() == "1":
            note = "This is a Python for Intel Macs: install one for Apple silicon (arm64)."
        return _noted(found, note)
    if answer.code == 0 and macos and macos < (14,):
        note = f"torch needs macOS 14 or newer; this is {macos[0]}: update macOS."
        return _noted(found, note)
    return replace(found, kind="mps", gpus=(Gpu("Apple GPU"),), source="macOS")


COMMAND = ("nvidia-smi", gpus.ask_nvidia_smi)
SOURCES = (("NVML", gpus.ask_nvml), COMMAND, ("libcuda", gpus.ask_cuda))


def _nvidia(machine: Machine, found: Found) -> Found:
    """NVIDIA's GPUs, by the best source that answers; else AMD's."""
    shown = machine.environ.get("CUDA_VISIBLE_DEVICES")
    visible = None if shown is None else len(gpus.visible_devices(shown))
    found = replace(found, visible_gpus=visible)
    if visible == 0:
        note = f"CUDA_VISIBLE_DEVICES={shown!r} hides every NVIDIA GPU."
        return _noted(found, gpus.clean(note))  # AMD's GPUs too: its libraries read it as well
    limit, sick = LIMIT, False
    for source, ask in SOURCES if linux_files.may_have_nvidia(machine) else [COMMAND]:
        answer = ask(machine, limit)
        found = _noted(found, answer.note)
        if answer.gpus:
            answer = gpus.with_capabilities(machine, answer)
            driver = answer.driver or linux_files.kernel_driver(machine)
            found = replace(found, kind="cuda", source=source, gpus=tuple(answer.gpus))
            return replace(found, driver=driver, cuda=answer.cuda)
        sick = sick or bool(answer.note)
        limit = SHORT_LIMIT if answer.timed_out else limit
    return _amd(machine, found) if sick else _device_nodes(machine, found)


def _noted(found: Found, note: str) -> Found:
    """With one more note, unless it is empty or already there."""
    return replace(found, notes=tuple(dict.fromkeys(filter(None, (*found.notes, note)))))


def _device_nodes(machine: Machine, found: Found) -> Found:
    """Signs of an NVIDIA GPU that nobody speaks for."""
    driver = linux_files.kernel_driver(machine)
    nodes = [path for path in machine.glob("/dev/nvidia*") if re.search(r"nvidia\d+$", path.name)]
    if nodes and driver:
        found = _noted(found, "Only the GPU's device files were found: what suits it is a guess.")
        seen = tuple(Gpu("NVIDIA GPU") for _ in nodes)
        return replace(
            found, kind="cuda", gpus=seen, driver=driver, source="device nodes", certain=False
        )
    if driver:
        note = (
            f"NVIDIA's driver {driver} runs on this computer, but no GPU is given to us: a "
            "container needs `--gpus all`."
        )
        found = _noted(found, note)
    elif linux_files.pci_devices(machine, linux_files.NVIDIA):
        note = "There is an NVIDIA GPU, but no driver for it: install NVIDIA's driver."
        found = _noted(found, note)
    return _amd(machine, found)


def _amd(machine: Machine, found: Found) -> Found:
    """AMD's GPUs, as the kernel lists them."""
    architectures = linux_files.amd_architectures(machine) if machine.system == "Linux" else []
    if not architectures:
        return _with_hint_at_intel(machine, found)
    for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        shown = machine.environ.get(name)
        if shown is not None and (not shown.strip() or shown.startswith("-")):
            return _noted(found, f"{name} hides every AMD GPU.")
    if not os.access(machine.path("/dev/kfd"), os.R_OK | os.W_OK):
        note = "/dev/kfd may not be opened: sudo usermod -aG render,video $USER, and log in again."
        found = _noted(found, note)
    seen = tuple(Gpu("AMD GPU", gfx=gfx) for gfx in architectures)
    return replace(found, kind="rocm", gpus=seen, source="KFD")


def _intel(machine: Machine, found: Found) -> Found:
    """Intel's GPUs, which are looked for only where they were asked for."""
    if machine.system == "Windows":
        return replace(found, kind="xpu", gpus=(Gpu("Intel GPU"),), source="you", certain=False)
    seen = tuple(Gpu(f"Intel GPU {number}") for number in linux_files.intel_gpus(machine))
    if not seen:
        return _noted(found, "There is no Intel GPU here that torch supports.")
    if not linux_files.has_level_zero(machine):
        note = "The Intel GPU has no compute driver: install libze1 and intel-opencl-icd."
        return _noted(found, note)
    return replace(found, kind="xpu", gpus=seen, source="PCI")


def _with_hint_at_intel(machine: Machine, found: Found) -> Found:
    if machine.system == "Linux" and linux_files.intel_gpus(machine):
        return _noted(found, "There is an Intel GPU, which is used only with TORCH_BACKEND=xpu.")
    return found
