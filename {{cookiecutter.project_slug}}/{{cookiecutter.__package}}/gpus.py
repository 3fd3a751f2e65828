"""Who can tell which NVIDIA GPUs are here: the library, the command and the driver itself.

Each source is asked through a `Machine`, with a time limit, and answers in the same form.
Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .machine import Machine, Output
from .torch_build import Capability

LIMIT = 10.0
"""Seconds that one question to the driver may take; a big healthy server needs some of them."""
SHORT_LIMIT = 2.0
"""The same, once a question was left without an answer."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. None where the machine does not tell."""

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
    """What one source says of the NVIDIA GPUs."""

    gpus: list[Gpu] = field(default_factory=list)
    driver: str | None = None
    cuda: str | None = None
    note: str = ""
    timed_out: bool = False


# The numbers are those of NVML, which nvidia-smi ends with too.
_SICK = {
    4: "The NVIDIA driver refuses access to its devices: ask for membership of the group that may.",
    9: "The NVIDIA driver is not loaded. Install it or restart; GPUs older than Turing (GTX 10, "
    "V100) need the 580 legacy branch, later drivers ignore them.",
    10: "The NVIDIA driver does not answer in time: restart the computer.",
    12: "The NVIDIA driver's library is missing: install the driver again.",
    15: "A GPU has fallen off the bus: restart the computer.",
    16: "A GPU needs a reset: nvidia-smi --gpu-reset, or restart the computer.",
    17: "The system denies access to the GPU: start the container with `--gpus all`.",
    18: "The NVIDIA driver was updated and its old version still runs: reboot the computer.",
}
_SICK_CUDA = {803: _SICK[18], 999: "The NVIDIA driver reports an unknown error: reboot."}
_HUNG = "The NVIDIA driver hangs ({} did not answer): restart the computer."


def visible_devices(text: str) -> list[str]:
    """The devices that a value of CUDA_VISIBLE_DEVICES shows, as CUDA and torch read it."""
    devices: list[str] = []
    for item in (part.strip() for part in text.split(",")):
        by_name = item.startswith(("GPU-", "MIG-"))
        if not by_name and not re.match(r"\+?\d", item):
            break  # the first invalid one ends the list
        devices.append(item)
    return devices if len(devices) == len(set(devices)) else []


def ask_nvml(machine: Machine, limit: float) -> Answer:
    """NVIDIA's management library: the only interface that is kept compatible."""
    return _ask_library(machine, "nvml", limit, _SICK)


def ask_cuda(machine: Machine, limit: float) -> Answer:
    """The driver itself: what small boards and compute-only containers have."""
    return _ask_library(machine, "cuda", limit, _SICK_CUDA)


def _ask_library(machine: Machine, name: str, limit: float, sick: Mapping[int, str]) -> Answer:
    program = str(Path(__file__).with_name("nvidia.py"))
    output = machine.run([sys.executable or "python3", "-I", "-S", program, name], limit)
    if output.timed_out:
        return Answer(note=_HUNG.format(name), timed_out=True)
    try:
        said = json.loads(output.text)
        if "error" in said:
            return Answer(note=sick.get(said["error"], ""))
        gpus = [_gpu(row) for row in said["gpus"]]
        return Answer(gpus, version_in(said.get("driver")), version_in(said.get("cuda")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Answer()  # it crashed, or does not speak our language


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
    """NVIDIA's command, wherever it lives."""
    last = Answer()
    for program in _nvidia_smi_places(machine):
        last = _ask_one_nvidia_smi(machine, program, limit)
        if last.gpus or last.timed_out:
            return last
    return last


def _nvidia_smi_places(machine: Machine) -> list[str]:
    """Where the command is: on PATH, or where systems put it without telling PATH."""
    places = [machine.which("nvidia-smi")]
    if machine.system == "Windows":
        windows = machine.environ.get("SystemRoot", r"C:\Windows")
        programs = machine.environ.get("ProgramW6432", r"C:\Program Files")
        store = f"{windows}/System32/DriverStore/FileRepository/nv*/nvidia-smi.exe"
        names = [
            f"{windows}/System32/nvidia-smi.exe",
            f"{windows}/Sysnative/nvidia-smi.exe",
            f"{programs}/NVIDIA Corporation/NVSMI/nvidia-smi.exe",
        ]
        places += [str(machine.path(name)) for name in names if machine.exists(name)]
        places += [str(path) for path in machine.glob(store)]
    else:
        folders = ["/usr/lib/wsl/lib", "/usr/bin", "/usr/local/nvidia/bin", "/opt/bin"]
        folders.append("/run/current-system/sw/bin")
        names = [f"{folder}/nvidia-smi" for folder in folders]
        places += [str(machine.path(name)) for name in names if machine.exists(name)]
    return list(dict.fromkeys(place for place in places if place))


_FIELDS = ("uuid", "name", "driver_version", "memory.total", "compute_cap")


def _ask_one_nvidia_smi(machine: Machine, program: str, limit: float) -> Answer:
    def query(fields: Sequence[str]) -> Output:
        wish = f"--query-gpu={','.join(fields)}"
        return machine.run([program, wish, "--format=csv,noheader,nounits"], limit)

    fields: Sequence[str] = _FIELDS
    output = query(fields)
    if "not a valid field" in output.text:  # before driver 510
        fields = _FIELDS[:-1]
        output = query(fields)
    if output.timed_out:
        return Answer(note=_HUNG.format("nvidia-smi"), timed_out=True)
    rows = list(_rows(output.text, fields))
    gpus = [gpu for gpu, _ in rows]
    note = _SICK.get(output.code or 0, "")
    if "version mismatch" in output.text.lower():
        note = _SICK[18]
    no_gpu = "no devices were found" in output.text.lower()
    if not gpus and not note and output.code is not None and output.text.strip() and not no_gpu:
        note = f"nvidia-smi (exit code {output.code}) says nothing that can be understood."
    return Answer(gpus, rows[0][1] if rows else None, note=note)


def _rows(text: str, fields: Sequence[str]) -> Iterator[tuple[Gpu, str]]:
    """The GPUs, with the driver's version; warnings and other lines are passed over."""
    for row in _csv(text):
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


def _csv(text: str) -> Iterator[list[str]]:
    """Lines as cells, each by itself: one broken line does not spoil the others."""
    for line in text.splitlines():
        try:
            yield from csv.reader([line], skipinitialspace=True)
        except csv.Error:
            continue


def _known(cell: str) -> str | None:
    """The cell, unless it says that nothing is known ([N/A], [Not Supported] ...)."""
    return None if not cell or cell.startswith("[") or cell == "N/A" else cell


def version_in(value: object) -> str | None:
    """A version such as 580.95.05 or 13.0, if it is one."""
    match = isinstance(value, str) and re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,3}", value, re.ASCII)
    return str(value) if match else None


def clean(text: str) -> str:
    """One short printable line of it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200].strip()


def with_capabilities(machine: Machine, answer: Answer) -> Answer:
    """Where a source does not tell compute capabilities, the driver itself does."""
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
