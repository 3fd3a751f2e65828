"""Asks about NVIDIA's GPUs: the management library, nvidia-smi and the driver.

Each source is asked through a `Machine`, with a time limit, and answers in the same form.
Standard library only, Python 3.10 or newer.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .builds import Capability
from .machine import Machine, Output

LIMIT = 10.0
"""Seconds for one question to the driver; a healthy server with many GPUs can need a few."""
SHORT_LIMIT = 2.0
"""The same, after one question got no answer."""


@dataclass(frozen=True)
class Gpu:
    """One GPU; None for what is unknown."""

    name: str
    capability: Capability | None = None
    memory_mib: int | None = None
    uuid: str | None = None
    gfx: str | None = None
    """AMD's name of the architecture."""

    def __str__(self) -> str:
        known = []
        if self.capability:
            known.append("compute capability {}.{}".format(*self.capability))
        if self.gfx:
            known.append(self.gfx)
        if self.memory_mib:
            known.append(f"{self.memory_mib} MiB")
        return f"{self.name} ({', '.join(known)})" if known else self.name


@dataclass
class Answer:
    """What one source reports about NVIDIA's GPUs."""

    gpus: list[Gpu] = field(default_factory=list)
    driver: str | None = None
    cuda: str | None = None
    note: str = ""
    """What is wrong with the driver, and what to do."""
    timed_out: bool = False


# By NVML's error number, which is also nvidia-smi's exit code.
_FAULTS = {
    4: "You have no permission to use the NVIDIA devices: ask to be added to the group that may.",
    9: "The NVIDIA driver is not loaded: install it, or restart the computer. GPUs older than "
    "Turing (GTX 10, V100) need the 580 legacy branch, because later drivers ignore them.",
    10: "The NVIDIA driver does not answer in time: restart the computer.",
    12: "The NVIDIA driver's library is missing: install the driver again.",
    15: "A GPU was lost, it no longer answers on its bus: restart the computer.",
    16: "A GPU needs a reset: type nvidia-smi --gpu-reset, or restart the computer.",
    17: "The system denies access to the GPU: start the container with `--gpus all`.",
    18: "The NVIDIA driver was updated, but the old version is still running: reboot the computer.",
}
_CUDA_FAULTS = {803: _FAULTS[18], 999: "The NVIDIA driver has an unknown error: reboot."}
_HANGS = "The NVIDIA driver hangs ({} did not answer): restart the computer."


def visible_devices(text: str) -> list[str]:
    """The devices that a value of CUDA_VISIBLE_DEVICES names, as CUDA and torch read it."""
    devices: list[str] = []
    for item in (word.strip() for word in text.split(",")):
        if not item.startswith(("GPU-", "MIG-")) and not re.match(r"\+?\d", item):
            break  # the first invalid one ends the list
        devices.append(item)
    return devices if len(devices) == len(set(devices)) else []


def ask_nvml(machine: Machine, limit: float) -> Answer:
    """NVIDIA's management library, the only interface that NVIDIA keeps compatible."""
    return _ask_library(machine, "nvml", limit, _FAULTS)


def ask_cuda(machine: Machine, limit: float) -> Answer:
    """The driver itself, which Jetson boards and compute-only containers have."""
    return _ask_library(machine, "cuda", limit, _CUDA_FAULTS)


def _ask_library(machine: Machine, name: str, limit: float, faults: Mapping[int, str]) -> Answer:
    program = str(Path(__file__).with_name("nvidia.py"))
    output = machine.run([sys.executable or "python3", "-I", "-S", program, name], limit)
    if output.timed_out:
        return Answer(note=_HANGS.format(name), timed_out=True)
    try:
        answer = json.loads(output.text)
        if "error" in answer:
            return Answer(note=faults.get(answer["error"], ""))
        gpus = [_gpu(row) for row in answer["gpus"]]
        return Answer(gpus, version_in(answer.get("driver")), version_in(answer.get("cuda")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Answer()  # it crashed, or printed something else


def _gpu(row: Mapping[str, Any]) -> Gpu:
    """One GPU as the child describes it; ValueError or TypeError if that makes no sense."""
    capability, memory, uuid = row["capability"], row["memory_mib"], row["uuid"]
    if capability is not None:
        capability = (int(capability[0]), int(capability[1]))
        if not (1 <= capability[0] < 100 and 0 <= capability[1] < 10):
            raise ValueError(capability)
    return Gpu(
        clean(str(row["name"] or "NVIDIA GPU")),
        capability,
        int(memory) if memory is not None and int(memory) > 0 else None,
        clean(str(uuid)) if uuid is not None else None,
    )


def ask_nvidia_smi(machine: Machine, limit: float) -> Answer:
    """NVIDIA's command, from the first place where it reports a GPU."""
    last = Answer()
    for program in _nvidia_smi_paths(machine):
        last = _ask_one_nvidia_smi(machine, program, limit)
        if last.gpus or last.timed_out:
            return last
    return last


def _nvidia_smi_paths(machine: Machine) -> list[str]:
    """Where the command is: on PATH, or in the folders of its installers."""
    paths = [machine.which("nvidia-smi")]
    folders = _windows_folders(machine) if machine.system == "Windows" else _UNIX_FOLDERS
    program = "nvidia-smi.exe" if machine.system == "Windows" else "nvidia-smi"
    for folder in folders:
        paths += [str(path) for path in machine.glob(f"{folder}/{program}")]
    return list(dict.fromkeys(path for path in paths if path))


_UNIX_FOLDERS = [
    *("/usr/lib/wsl/lib", "/usr/bin", "/usr/local/nvidia/bin", "/opt/bin"),
    "/run/current-system/sw/bin",
]


def _windows_folders(machine: Machine) -> list[str]:
    windows = machine.environ.get("SystemRoot", r"C:\Windows")
    programs = machine.environ.get("ProgramW6432", r"C:\Program Files")
    return [
        f"{windows}/System32",
        f"{windows}/Sysnative",
        f"{programs}/NVIDIA Corporation/NVSMI",
        f"{windows}/System32/DriverStore/FileRepository/nv*",
    ]


_FIELDS = ("uuid", "name", "driver_version", "memory.total", "compute_cap")


def _ask_one_nvidia_smi(machine: Machine, program: str, limit: float) -> Answer:
    def query(fields: Sequence[str]) -> Output:
        option = f"--query-gpu={','.join(fields)}"
        return machine.run([program, option, "--format=csv,noheader,nounits"], limit)

    fields: Sequence[str] = _FIELDS
    output = query(fields)
    if "not a valid field" in output.text:  # drivers before 510 have no compute_cap
        fields = _FIELDS[:-1]
        output = query(fields)
    if output.timed_out:
        return Answer(note=_HANGS.format("nvidia-smi"), timed_out=True)
    rows = list(_rows(output.text, fields))
    note = _fault(output, has_gpus=bool(rows))
    return Answer([gpu for gpu, _ in rows], rows[0][1] if rows else None, note=note)


def _fault(output: Output, has_gpus: bool) -> str:
    """What the exit code and the text of nvidia-smi say is wrong; empty if nothing is."""
    text = output.text.strip().lower()
    if "version mismatch" in text:
        return _FAULTS[18]
    if output.code in _FAULTS:
        return _FAULTS[output.code]
    if has_gpus or output.code is None or not text or "no devices were found" in text:
        return ""
    return f"nvidia-smi (exit code {output.code}) printed nothing that can be understood."


def _rows(text: str, fields: Sequence[str]) -> Iterator[tuple[Gpu, str]]:
    """The GPUs, each with the driver's version; warnings and other lines are skipped."""
    for line in text.splitlines():
        row = line.split(",")
        end = len(row) - len(fields) + 2  # a name may hold commas and quotes: nothing is quoted
        row = [*row[:1], ",".join(row[1:end]), *row[end:]]
        cells = dict(zip(fields, (cell.strip() for cell in row), strict=False))
        driver = version_in(cells.get("driver_version"))
        uuid = _known(cells.get("uuid", ""))
        if len(row) != len(fields) or driver is None or (uuid and not uuid.startswith("GPU-")):
            continue
        memory = re.fullmatch(r"\d{1,9}", cells["memory.total"], re.ASCII)
        capability = re.fullmatch(r"(\d{1,2})\.(\d)", cells.get("compute_cap", ""), re.ASCII)
        yield (
            Gpu(
                clean(cells["name"]) or "NVIDIA GPU",
                (int(capability[1]), int(capability[2])) if capability else None,
                int(memory[0]) if memory and int(memory[0]) else None,
                clean(uuid) if uuid else None,
            ),
            driver,
        )


def _known(cell: str) -> str | None:
    """The cell; None if it stands for an unknown value ([N/A], [Not Supported] ...)."""
    return None if not cell or cell.startswith("[") or cell == "N/A" else cell


def version_in(value: object) -> str | None:
    """The value if it is a version such as 580.95.05 or 13.0, else None."""
    match = isinstance(value, str) and re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,3}", value, re.ASCII)
    return str(value) if match else None


def clean(text: str) -> str:
    """The text as one short printable line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200].strip()


def with_capabilities(machine: Machine, answer: Answer) -> Answer:
    """The answer with compute capabilities: the driver is asked for those that are unknown."""
    if all(gpu.capability for gpu in answer.gpus):
        return answer
    others = ask_cuda(machine, SHORT_LIMIT)
    if len(others.gpus) == len(answer.gpus):
        answer.gpus = [
            replace(gpu, capability=gpu.capability or other.capability)
            for gpu, other in zip(answer.gpus, others.gpus, strict=True)
        ]
        answer.cuda = answer.cuda or others.cuda
    return answer
