"""What this machine is: its GPUs, their driver, its CPUs.

Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import os
import re
from dataclasses import dataclass, replace
from typing import Literal

from . import gpus, linux_files
from .builds import BUILDS, OFFERED, version_numbers
from .gpus import LIMIT, SHORT_LIMIT, Gpu
from .machine import Machine

Kind = Literal["cuda", "rocm", "mps", "xpu", "cpu"]


@dataclass(frozen=True)
class Found:
    """What was found on a machine."""

    system: str
    """Linux, Darwin or Windows."""
    machine: str
    """x86_64, aarch64, arm64, AMD64 ..."""
    kind: Kind = "cpu"
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    """Version of NVIDIA's driver."""
    cuda: str | None = None
    """The newest CUDA version that the driver supports."""
    source: str = ""
    """What reported the GPUs: NVML, nvidia-smi, libcuda, device files, KFD, PCI, macOS."""
    certain: bool = True
    """False if there are only signs of a GPU."""
    num_cpus: int = 1
    """CPUs that a process may use."""
    wsl: bool = False
    jetson: bool = False
    container: bool = False
    musl: bool = False
    """Alpine and other systems without glibc."""
    requested: str = "auto"
    """The torch build in TORCH_BACKEND or UV_TORCH_BACKEND."""
    num_visible: int | None = None
    """How many GPUs CUDA_VISIBLE_DEVICES names; None if it is not set."""
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for people."""
        if not self.gpus:
            return f"no GPU found, {self.num_cpus} CPUs"
        kinds = [str(gpu) for gpu in self.gpus]
        names = [f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)]
        driver = f", driver {self.driver}" if self.driver else ""
        return f"{', '.join(names)}{driver}, via {self.source}"


def detect(choice: str = "auto", machine: Machine | None = None) -> Found:
    """Look at the machine. Never raises and never hangs.

    Args:
        choice: the torch build that the user chose; with ``cpu``, no GPU is searched for.
        machine: the machine to look at; by default, this one.
    """
    machine = machine or Machine()
    found = Found(machine.system, machine.machine)
    try:
        found = _surroundings(machine)
        requested = choice if choice != "auto" else found.requested
        if requested == "cpu":
            return replace(found, source="request")
        if machine.system == "Darwin":
            return _apple(machine, found)
        return _intel(machine, found) if requested == "xpu" else _nvidia(machine, found)
    except Exception as error:
        note = f"The search for a GPU failed ({type(error).__name__}: {error})."
        return replace(found, notes=(*found.notes, gpus.clean(note)))


def _surroundings(machine: Machine) -> Found:
    """Everything except the GPUs."""
    requested, notes = _requested_build(machine)
    return Found(
        machine.system,
        machine.machine,
        num_cpus=machine.num_cpus,
        wsl=machine.is_wsl,
        jetson=machine.is_jetson,
        container=machine.is_container,
        musl=machine.is_musl,
        requested=requested,
        notes=tuple(notes),
    )


def _requested_build(machine: Machine) -> tuple[str, list[str]]:
    """The build that an environment variable names, and notes about values that name none."""
    notes: list[str] = []
    for name in ("TORCH_BACKEND", "UV_TORCH_BACKEND"):
        value = machine.environ.get(name, "").strip().lower()
        if value in (*OFFERED, *BUILDS):
            return value, notes
        if value:
            note = f"{name}={value} is ignored: the builds are {', '.join(OFFERED)}."
            notes.append(gpus.clean(note))
    return "auto", notes


def _apple(machine: Machine, found: Found) -> Found:
    """Apple's GPU, which torch uses from macOS 14 on."""
    answer = machine.run(["/usr/bin/sw_vers", "-productVersion"], LIMIT)
    macos = version_numbers(answer.text)[:1]
    if machine.machine != "arm64":
        rosetta = machine.run(["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"], LIMIT)
        note = "torch has no wheel for Intel Macs since version 2.3."
        if rosetta.text.strip() == "1":
            note = "This Python is for Intel Macs: install a Python for Apple silicon (arm64)."
        return _with_note(found, note)
    if answer.code == 0 and macos and macos < (14,):
        note = f"torch needs macOS 14 or newer, and this is macOS {macos[0]}: update macOS."
        return _with_note(found, note)
    return replace(found, kind="mps", gpus=(Gpu("Apple GPU"),), source="macOS")


NVIDIA_SMI = ("nvidia-smi", gpus.ask_nvidia_smi)
SOURCES = (("NVML", gpus.ask_nvml), NVIDIA_SMI, ("libcuda", gpus.ask_cuda))


def _nvidia(machine: Machine, found: Found) -> Found:
    """NVIDIA's GPUs, from the first source that reports some; if there are none, AMD's."""
    visible = machine.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = replace(found, num_visible=len(gpus.visible_devices(visible)))
    if found.num_visible == 0:  # AMD's GPUs are hidden too: its libraries also read the variable
        note = f"CUDA_VISIBLE_DEVICES={visible!r} hides every NVIDIA GPU."
        return _with_note(found, gpus.clean(note))
    limit, faulty = LIMIT, False
    for source, ask in SOURCES if linux_files.may_have_nvidia(machine) else [NVIDIA_SMI]:
        answer = ask(machine, limit)
        found = _with_note(found, answer.note)
        if answer.gpus:
            return _with_nvidia_gpus(machine, replace(found, source=source), answer)
        faulty = faulty or bool(answer.note)
        limit = SHORT_LIMIT if answer.timed_out else limit
    return _amd(machine, found) if faulty else _device_files(machine, found)


def _with_nvidia_gpus(machine: Machine, found: Found, answer: gpus.Answer) -> Found:
    answer = gpus.with_capabilities(machine, answer)
    driver = answer.driver or linux_files.kernel_driver(machine)
    return replace(found, kind="cuda", gpus=tuple(answer.gpus), driver=driver, cuda=answer.cuda)


def _with_note(found: Found, note: str) -> Found:
    """With one more note, unless it is empty or already there."""
    return replace(found, notes=tuple(dict.fromkeys(filter(None, (*found.notes, note)))))


def _device_files(machine: Machine, found: Found) -> Found:
    """Signs of an NVIDIA GPU, where no source reports one."""
    driver = linux_files.kernel_driver(machine)
    nodes = [path for path in machine.glob("/dev/nvidia*") if re.search(r"nvidia\d+$", path.name)]
    if nodes and driver:
        note = "Only the device files of a GPU were found, so its build and settings are a guess."
        seen = tuple(Gpu("NVIDIA GPU") for _ in nodes)
        found = replace(found, kind="cuda", gpus=seen, driver=driver, certain=False)
        return _with_note(replace(found, source="device files"), note)
    if driver:
        note = (
            f"NVIDIA's driver {driver} runs on this computer, but no GPU is visible here: start "
            "the container with `--gpus all`."
        )
        found = _with_note(found, note)
    elif linux_files.pci_devices(machine, linux_files.NVIDIA):
        note = "There is an NVIDIA GPU, but no driver for it: install NVIDIA's driver."
        found = _with_note(found, note)
    return _amd(machine, found)


def _amd(machine: Machine, found: Found) -> Found:
    """AMD's GPUs, as the kernel lists them."""
    architectures = linux_files.amd_architectures(machine) if machine.system == "Linux" else []
    if not architectures:
        return _with_note_about_intel(machine, found)
    for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        visible = machine.environ.get(name)
        if visible is not None and (not visible.strip() or visible.startswith("-")):
            return _with_note(found, f"{name} hides every AMD GPU.")
    if not os.access(machine.path("/dev/kfd"), os.R_OK | os.W_OK):
        command = "sudo usermod -aG render,video $USER"
        note = f"You have no permission to open /dev/kfd: type {command}, and log in again."
        found = _with_note(found, note)
    seen = tuple(Gpu("AMD GPU", gfx=gfx) for gfx in architectures)
    return replace(found, kind="rocm", gpus=seen, source="KFD")


def _intel(machine: Machine, found: Found) -> Found:
    """Intel's GPUs; they are searched for only if the user requested the build for them."""
    if machine.system == "Windows":
        windows = (Gpu("Intel GPU"),)
        return replace(found, kind="xpu", gpus=windows, source="request", certain=False)
    seen = tuple(Gpu(f"Intel GPU {number}") for number in linux_files.intel_gpus(machine))
    if not seen:
        return _with_note(found, "There is no Intel GPU here that torch supports.")
    if not linux_files.has_level_zero(machine):
        note = "The Intel GPU has no compute driver: install libze1 and intel-opencl-icd."
        return _with_note(found, note)
    return replace(found, kind="xpu", gpus=seen, source="PCI")


def _with_note_about_intel(machine: Machine, found: Found) -> Found:
    if machine.system == "Linux" and linux_files.intel_gpus(machine):
        return _with_note(found, "There is an Intel GPU. It is used only with TORCH_BACKEND=xpu.")
    return found
