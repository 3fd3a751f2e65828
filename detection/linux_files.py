"""GPUs in the files of Linux's kernel: AMD's, Intel's, and signs of NVIDIA's.

Standard library only, Python 3.10 or newer.
"""

import re
import sys
from collections.abc import Sequence

from .gpus import version_in
from .machine import MAX_OUTPUT, Machine

NVIDIA, INTEL = "0x10de", "0x8086"
# Arc A and B, Max, and the graphics of Core Ultra, from torch's page "Getting Started on Intel GPU"
# (2026). torch does not support most of Intel's other graphics.
INTEL_GPUS = re.compile(r"0x(56[89ab].|e2..|0b[de].|7d(40|45|51|55|d1|d5)|64[0ab]0|b0[89a].)")

# What nvidia.py loads.
NVIDIA_LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")


def may_have_nvidia(machine: Machine) -> bool:
    """False only if there is no sign of an NVIDIA GPU: no device, no driver and no library.

    Then its libraries need not be asked, which takes longer than everything else together.
    """
    if machine.system != "Linux" or machine.is_wsl or machine.is_jetson:
        return True
    devices = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap*")  # the last two: Jetson boards
    return (
        any(map(machine.glob, devices))
        or kernel_driver(machine) is not None
        or bool(pci_devices(machine, NVIDIA))
        or may_be_loaded(machine, NVIDIA_LIBRARIES)
    )


def may_be_loaded(machine: Machine, libraries: Sequence[str]) -> bool:
    """Whether the dynamic loader (``man ld.so``) may find one of these; True if in doubt.

    A library can be there without a device: some use the GPUs of another computer.
    """
    index = "/etc/ld.so.cache"  # Alpine and NixOS have none
    known = machine.read(index)
    if known is None or machine.size(index) > MAX_OUTPUT or machine.environ.get("LD_LIBRARY_PATH"):
        return True
    folders = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/lib/wsl/lib"]
    folders += [f"{folder}/{machine.machine}-linux-gnu" for folder in ("/lib", "/usr/lib")]
    folders.append(f"{sys.base_prefix}/lib")
    paths = [f"{folder}/{library}" for folder in folders for library in libraries]
    return any(library in known for library in libraries) or any(map(machine.exists, paths))


def kernel_driver(machine: Machine) -> str | None:
    """Version of NVIDIA's driver in the kernel; containers see it even without a GPU."""
    module = version_in((machine.read("/sys/module/nvidia/version") or "").strip())
    lines = machine.read("/proc/driver/nvidia/version") or ""
    match = re.search(r"\b(\d{3,4}\.\d+(\.\d+)?)\b", lines)
    return module or (match[1] if match else None)


def pci_devices(machine: Machine, vendor: str) -> list[str]:
    """Device numbers of this vendor's displays and accelerators (class 0x03)."""
    found = []
    for folder in machine.glob("/sys/bus/pci/devices/*"):
        path = f"/{folder.relative_to(machine.root).as_posix()}"
        kind, maker, device = (
            (machine.read(f"{path}/{name}") or "").strip() for name in ("class", "vendor", "device")
        )
        if kind.startswith("0x03") and maker == vendor:
            found.append(device)
    return found


def intel_gpus(machine: Machine) -> list[str]:
    """Device numbers of Intel's GPUs that torch supports."""
    return [number for number in pci_devices(machine, INTEL) if INTEL_GPUS.fullmatch(number)]


def has_level_zero(machine: Machine) -> bool:
    """Whether Intel's compute driver is there: its library, and a device for it."""
    folders = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    library = any(machine.exists(f"{folder}/libze_loader.so.1") for folder in folders)
    return library and bool(machine.glob("/dev/dri/renderD*"))


def amd_architectures(machine: Machine) -> list[str]:
    """Architectures of AMD's GPUs (gfx90a ...). NVIDIA's open driver is in this list too."""
    if not machine.exists("/dev/kfd"):
        return []
    found = []
    for path in machine.glob("/sys/class/kfd/kfd/topology/nodes/*/properties"):
        text = machine.read(f"/{path.relative_to(machine.root).as_posix()}") or ""
        values = dict(re.findall(r"^(vendor_id|gfx_target_version) (\d{1,9})$", text, re.MULTILINE))
        number = int(values.get("gfx_target_version", "0"))
        if values.get("vendor_id") == "4098" and number > 0:  # 0: this node is the CPU
            major, minor, step = number // 10000, number // 100 % 100, number % 100
            found.append(f"gfx{major}{minor:x}{step:x}")
    return found
