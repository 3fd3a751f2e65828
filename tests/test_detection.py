"""What detection finds on invented machines, and what it decides for them."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHOICES, PROJECT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import library, make_machine, row

from detection import builds, gpus, linux_files, nvidia
from detection.detect import Found, detect
from detection.machine import MAX_OUTPUT, Machine
from detection.machine import run as run_program
from detection.plan import Plan, make_plan
from detection.write import SETTINGS, device_toml

MISMATCH = (18, "Failed to initialize NVML: Driver/library version mismatch\n")
MISMATCH_NVML = (0, '{"error": 18}')
CPU = "https://download.pytorch.org/whl/cpu"
CU126 = "https://download.pytorch.org/whl/cu126"
CU130 = "https://download.pytorch.org/whl/cu130"


Look = Callable[..., tuple[Found, Plan]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """`look(**machine)`: what is found there, and the plan."""

    def look_at(choice: str = "auto", **description: Any) -> tuple[Found, Plan]:
        found = detect(choice, make_machine(tmp_path, **description))
        return found, make_plan(found, choice)

    return look_at


def smi(name: str, capability: str, driver: str, **more: str) -> dict[str, Any]:
    return {"smi": row(name, capability, driver, **more)}


JETSON = {"machine": "aarch64", "release": "5.15.148-tegra"}
ORIN = {
    **JETSON,
    "smi": row("Orin (nvgpu)", "[N/A]", "540.4.0", "[N/A]", "[N/A]"),
    "cuda": library(("Orin", (8, 7)), driver=None, cuda="12.6"),
}
NODES = {"/dev/nvidia0": "", "/sys/module/nvidia/version": "550.54.15\n"}
OLD_SMI = {
    "smi": lambda argv: (
        (2, 'Field "compute_cap" is not a valid field to query.\n')
        if "compute_cap" in argv[1]
        else (0, row("Tesla K80", "", "470.256.02").replace(", \n", "\n"))
    )
}
WINDOWS = {"system": "Windows", "machine": "AMD64"}
MAC = {"system": "Darwin", "machine": "arm64"}
INTEL_MAC = {"system": "Darwin", "machine": "x86_64"}
CLOCK_ROW = row("A, B & Co", "9.0", "580.95.05").replace("A, B", '"A, B').replace("Co", 'Co"')


def amd(*versions: int, vendor: int = 4098, kfd: bool = True) -> dict[str, Any]:
    """The kernel's list: the CPU first, then the GPUs."""
    nodes = {0: "cpu_cores_count 64\nvendor_id 0\ngfx_target_version 0\n"}
    nodes |= {
        number: f"simd_count 256\nvendor_id {vendor}\ngfx_target_version {version}\n"
        for number, version in enumerate(versions, start=1)
    }
    folder = "/sys/class/kfd/kfd/topology/nodes"
    files = {f"{folder}/{number}/properties": text for number, text in nodes.items()}
    return {"files": files | ({"/dev/kfd": ""} if kfd else {})}


def intel(number: str, level_zero: bool = True) -> dict[str, str]:
    """A display of Intel's, as PCI lists it."""
    folder = "/sys/bus/pci/devices/0000:00:02.0"
    parts = {"class": "0x030000\n", "vendor": "0x8086\n", "device": f"{number}\n"}
    files = {f"{folder}/{name}": text for name, text in parts.items()}
    driver = {"/usr/lib/x86_64-linux-gnu/libze_loader.so.1": "", "/dev/dri/renderD128": ""}
    return files | (driver if level_zero else {})


ASKED_FOR_XPU = {"environ": {"TORCH_BACKEND": "xpu"}}
XPU = "https://download.pytorch.org/whl/xpu"
UHD_630, ARC_A770 = "0x3e92", "0x56a0"
ROCM = "https://download.pytorch.org/whl/rocm7.2"

# name: (machine, (kind, build, index, precision), words that the notes must have)
SCENARIOS: dict[str, tuple[dict[str, Any], tuple[str, str, str | None, str], str]] = {
    "RTX 4090 by NVML": (
        {"nvml": library(("RTX 4090", (8, 9)))},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "RTX 3060 by nvidia-smi": (
        smi("RTX 3060", "8.6", "580.95.05"),
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "RTX 3090 with driver 550": (
        smi("RTX 3090", "8.6", "550.54.15"),
        ("cuda", "cu126", CU126, "bf16"),
        "torch < 2.15",
    ),
    "GTX 1080 Ti": (
        smi("GTX 1080 Ti", "6.1", "580.95.05"),
        ("cuda", "cu126", CU126, "fp32"),
        "torch < 2.15",
    ),
    "V100 with driver 535": (
        smi("Tesla V100", "7.0", "535.104.05"),
        ("cuda", "cu126", CU126, "fp16"),
        "torch < 2.15",
    ),
    "T4": (smi("Tesla T4", "7.5", "580.65.06"), ("cuda", "cu130", None, "fp16"), ""),
    "H100": (smi("H100", "9.0", "580.95.05"), ("cuda", "cu130", None, "bf16"), ""),
    "RTX 5090": (smi("RTX 5090", "12.0", "580.95.05"), ("cuda", "cu130", None, "bf16"), ""),
    "RTX 5090 with driver 570": (
        smi("RTX 5090", "12.0", "570.86.10"),
        ("cuda", "cpu", CPU, "fp32"),
        "update the driver to 580",
    ),
    "V100 beside B200": (
        {"smi": row("V100", "7.0") + row("B200", "10.0")},
        ("cuda", "cu130", None, "bf16"),
        "covers 1 of 2",
    ),
    "two GPUs of one kind": (
        {"smi": row() + row(uuid="GPU-ffff")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "driver 470 that does not know compute_cap": (
        OLD_SMI,
        ("cuda", "cpu", CPU, "fp32"),
        "too old",
    ),
    "driver updated without a reboot": (
        {"smi": MISMATCH, "nvml": MISMATCH_NVML, "files": NODES},
        ("cpu", "cpu", CPU, "fp32"),
        "reboot",
    ),
    "driver not loaded": ({"smi": (9, "")}, ("cpu", "cpu", CPU, "fp32"), "not loaded"),
    "everything hangs": (
        {"smi": "hangs", "nvml": "hangs", "cuda": "hangs", "files": NODES},
        ("cpu", "cpu", CPU, "fp32"),
        "hangs",
    ),
    "nvidia-smi finds no GPU": (
        {"smi": (6, "No devices were found\n")},
        ("cpu", "cpu", CPU, "fp32"),
        "",
    ),
    "nvidia-smi finds no GPU with code 0": (
        {"smi": "No devices were found\n"},
        ("cpu", "cpu", CPU, "fp32"),
        "",
    ),
    "nvidia-smi says nothing": ({"smi": ""}, ("cpu", "cpu", CPU, "fp32"), ""),
    "one GPU lost": (
        {"smi": (15, row() + "Unable to determine the device handle for GPU0: GPU is lost.\n")},
        ("cuda", "cu130", None, "bf16"),
        "restart",
    ),
    "a warning among the rows": (
        {"smi": (14, row() + "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "a comma in the name, with quotes": ({"smi": CLOCK_ROW}, ("cuda", "cu130", None, "bf16"), ""),
    "commas in the name": (
        smi("NVIDIA RTX A6000, Rev. 2, 48 GB", "8.6", "580.95.05"),
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "GB10": (
        {**smi("NVIDIA GB10", "12.1", "580.95.05", memory="[N/A]"), "machine": "aarch64"},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "GH200": (
        {**smi("GH200 480GB", "9.0", "580.95.05"), "machine": "aarch64"},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "T4 in an Arm server": (
        {**smi("T4G", "7.5", "580.95.05"), "machine": "aarch64"},
        ("cuda", "cpu", CPU, "fp32"),
        "no build",
    ),
    "Jetson Orin": (ORIN, ("cuda", "cpu", CPU, "fp32"), "Jetson"),
    "Jetson Orin with CUDA 13.2": (
        ORIN | {"cuda": library(("Orin", (8, 7)), driver=None, cuda="13.2")},
        ("cuda", "cu132", "https://download.pytorch.org/whl/cu132", "bf16"),
        "",
    ),
    "Jetson Thor": (
        {**JETSON, **smi("NVIDIA Thor", "11.0", "580.00", memory="[N/A]")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "WSL": (
        {
            **smi("RTX 4070", "8.9", "581.95"),
            "smi_at": "/usr/lib/wsl/lib/nvidia-smi",
            "release": "5.15.167-microsoft-standard-WSL2",
        },
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "container without --gpus": (
        {"files": {"/sys/module/nvidia/version": "580.95.05\n", "/.dockerenv": ""}},
        ("cpu", "cpu", CPU, "fp32"),
        "--gpus all",
    ),
    "GPU without a driver": (
        {
            "files": {
                "/sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
                "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
            }
        },
        ("cpu", "cpu", CPU, "fp32"),
        "no driver",
    ),
    "device files only": ({"files": NODES}, ("cuda", "cu126", CU126, "fp32"), "guess"),
    "only the driver's library": (
        {"cuda": library(("A100", (8, 0)), driver=None, cuda="12.4")},
        ("cuda", "cu126", CU126, "bf16"),
        "torch < 2.15",
    ),
    "GPUs hidden by an empty list": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"CUDA_VISIBLE_DEVICES": ""}},
        ("cpu", "cpu", CPU, "fp32"),
        "hides",
    ),
    "GPUs hidden by -1": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"CUDA_VISIBLE_DEVICES": "-1"}},
        ("cpu", "cpu", CPU, "fp32"),
        "hides",
    ),
    "one slice of a GPU": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"CUDA_VISIBLE_DEVICES": "MIG-1-2"}},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "Windows": (
        {
            **WINDOWS,
            **smi("RTX 4070", "8.9", "581.95"),
            "smi_at": "/Windows/System32/nvidia-smi.exe",
            "environ": {"SystemRoot": "/Windows"},
        },
        ("cuda", "cu130", CU130, "bf16"),
        "",
    ),
    "Windows without a GPU": (WINDOWS, ("cpu", "cpu", None, "fp32"), ""),
    "Windows on Arm": (
        {"system": "Windows", "machine": "ARM64"},
        ("cpu", "cpu", None, "fp32"),
        "no wheel",
    ),
    "nothing at all": ({}, ("cpu", "cpu", CPU, "fp32"), ""),
    "M3 with macOS 15": (
        {**MAC, "programs": {"sw_vers": "15.1\n"}},
        ("mps", "pypi", None, "fp32"),
        "",
    ),
    "M1 with macOS 13": (
        {**MAC, "programs": {"sw_vers": "13.6\n"}},
        ("cpu", "pypi", None, "fp32"),
        "macOS 14",
    ),
    "Python for Intel on an M2": (
        {**INTEL_MAC, "programs": {"sw_vers": "15.1\n", "sysctl": "1\n"}},
        ("cpu", "pypi", None, "fp32"),
        "arm64",
    ),
    "Intel Mac": (
        {**INTEL_MAC, "programs": {"sysctl": (1, "")}},
        ("cpu", "pypi", None, "fp32"),
        "Intel",
    ),
    "MI300X": (amd(90402), ("rocm", "rocm7.2", ROCM, "bf16"), ""),
    "RX 7900 XTX": (amd(110000), ("rocm", "rocm7.2", ROCM, "bf16"), ""),
    "AMD with hexadecimal names": (amd(90010, 110501), ("rocm", "rocm7.2", ROCM, "bf16"), ""),
    "RX 580": (amd(80003), ("rocm", "cpu", CPU, "fp32"), "no build"),
    "AMD card beside a processor's graphics": (
        amd(110000, 100306),
        ("rocm", "rocm7.2", ROCM, "bf16"),
        "covers 1 of 2",
    ),
    "NVIDIA in AMD's list": (amd(90402, vendor=4318), ("cpu", "cpu", CPU, "fp32"), ""),
    "AMD without its device": (amd(90402, kfd=False), ("cpu", "cpu", CPU, "fp32"), ""),
    "NVIDIA card and AMD's graphics": (
        {**amd(100306), **smi("RTX 4090", "8.9", "580.95.05")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "AMD hidden": (
        {**amd(90402), "environ": {"HIP_VISIBLE_DEVICES": ""}},
        ("cpu", "cpu", CPU, "fp32"),
        "hides",
    ),
    "Intel graphics": ({"files": intel(UHD_630)}, ("cpu", "cpu", CPU, "fp32"), ""),
    "Arc A770 that was not asked for": (
        {"files": intel(ARC_A770)},
        ("cpu", "cpu", CPU, "fp32"),
        "TORCH_BACKEND=xpu",
    ),
    "Arc A770": (
        {"files": intel(ARC_A770), **ASKED_FOR_XPU},
        ("xpu", "xpu", XPU, "bf16"),
        "",
    ),
    "Arc without its compute driver": (
        {"files": intel(ARC_A770, level_zero=False), **ASKED_FOR_XPU},
        ("cpu", "xpu", XPU, "fp32"),
        "libze1",
    ),
    "Intel graphics that was asked for": (
        {"files": intel(UHD_630), **ASKED_FOR_XPU},
        ("cpu", "xpu", XPU, "fp32"),
        "no Intel GPU here that torch supports",
    ),
    "Alpine": (
        {"files": {"/lib/ld-musl-x86_64.so.1": ""}},
        ("cpu", "cpu", CPU, "fp32"),
        "musl",
    ),
    "a processor without wheels": (
        {"machine": "riscv64"},
        ("cpu", "cpu", CPU, "fp32"),
        "no wheel for Linux on riscv64",
    ),
    "RTX 5090 beside GTX 1080 with driver 570": (
        {"smi": row("RTX 5090", "12.0", "570.86.10") + row("GTX 1080", "6.1", "570.86.10")},
        ("cuda", "cu126", CU126, "fp32"),
        "covers 1 of 2",
    ),
    "B300": (smi("B300", "10.3", "580.95.05"), ("cuda", "cu130", None, "bf16"), ""),
    "Tesla K80": (smi("K80", "3.7", "470.256.02"), ("cuda", "cpu", CPU, "fp32"), "no build"),
    "Windows with a GTX 1060": (
        {
            **WINDOWS,
            **smi("GTX 1060", "6.1", "566.36"),
            "smi_at": "/Windows/System32/nvidia-smi.exe",
            "environ": {"SystemRoot": "/Windows"},
        },
        ("cuda", "cu126", CU126, "fp32"),
        "torch < 2.15",
    ),
    "old driver with CUDA's compatibility library": (
        {"nvml": library(("H100", (9, 0)), driver="535.104.05", cuda="13.0")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "Slurm gave no GPU": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}},
        ("cpu", "cpu", CPU, "fp32"),
        "hides",
    ),
    "UV_TORCH_BACKEND=cpu": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"UV_TORCH_BACKEND": "cpu"}},
        ("cpu", "cpu", CPU, "fp32"),
        "",
    ),
    "TORCH_BACKEND=cu130 without a GPU": (
        {"environ": {"TORCH_BACKEND": "cu130"}},
        ("cpu", "cu130", CU130, "fp32"),
        "",
    ),
    "UV_TORCH_BACKEND=auto": (
        {**smi("H100", "9.0", "580.95.05"), "environ": {"UV_TORCH_BACKEND": "auto"}},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "an unknown build": (
        {"environ": {"UV_TORCH_BACKEND": "cu999"}},
        ("cpu", "cpu", CPU, "fp32"),
        "cu999",
    ),
    "a library that crashes": (
        {**smi("H100", "9.0", "580.95.05"), "nvml": (-11, "")},
        ("cuda", "cu130", None, "bf16"),
        "",
    ),
    "garbage everywhere": (
        {"nvml": "[1,", "cuda": '{"gpus": [[]]}', "smi": "\x00\ufffd,,,\n,,,,\nGPU-,a,b,c,d\n"},
        ("cpu", "cpu", CPU, "fp32"),
        "nothing that can be understood",
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_machine_gets_its_build_and_precision(name: str, look: Look) -> None:
    description, expected, words = SCENARIOS[name]
    found, plan = look(**description)
    assert (found.kind, plan.torch_build, plan.index_url, plan.precision) == expected
    notes = " ".join((*found.notes, *plan.notes))
    assert words in notes
    assert words or not notes


def test_gpu_is_described(look: Look) -> None:
    found, _ = look(**smi("NVIDIA GB10", "12.1", "580.95.05", memory="[N/A]"))
    (gpu,) = found.gpus
    assert (gpu.name, gpu.capability, gpu.memory_mib) == ("NVIDIA GB10", (12, 1), None)
    assert (found.driver, found.source) == ("580.95.05", "nvidia-smi")
    assert "NVIDIA GB10" in found.summary()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        # precision, scaler, TF32, compile, channels_last
        ("9.0", ("bf16", False, True, True, True)),
        ("7.0", ("fp16", True, False, True, True)),
        ("6.1", ("fp32", False, False, False, False)),
    ],
)
def test_settings_follow_from_the_compute_capability(
    capability: str, expected: tuple[object, ...], look: Look
) -> None:
    _, plan = look(**smi("GPU", capability, "580.95.05"))
    settings = (plan.precision, plan.grad_scaler, plan.tf32, plan.compile, plan.channels_last)
    assert settings == expected
    assert (plan.device, plan.pin_memory, plan.backend) == ("cuda", True, "nccl")


def test_intel_gpu_talks_through_its_own_library(look: Look) -> None:
    _, plan = look(**SCENARIOS["Arc A770"][0])
    assert (plan.device, plan.backend, plan.pin_memory, plan.tf32) == ("xpu", "xccl", True, False)


def test_windows_has_neither_nccl_nor_compile(look: Look) -> None:
    description, _, _ = SCENARIOS["Windows"]
    _, plan = look(**description)
    assert (plan.backend, plan.compile) == ("gloo", False)


@pytest.mark.parametrize(
    ("files", "affinity", "workers"),
    [
        ({}, 64, 8),
        ({}, 4, 3),
        ({}, 1, 0),
        ({"/sys/fs/cgroup/cpu.max": "200000 100000\n"}, 64, 1),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 64, 8),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000\n"}, 64, 0),
        (
            {
                "/proc/self/cgroup": "0::/job/step\n",
                "/sys/fs/cgroup/job/cpu.max": "400000 100000\n",
                "/sys/fs/cgroup/job/step/cpu.max": "max 100000\n",
            },
            64,
            3,
        ),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            64,
            2,
        ),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"}, 3, 2),
    ],
)
def test_workers_respect_affinity_and_control_groups(
    files: dict[str, str], affinity: int, workers: int, look: Look
) -> None:
    assert look(files=files, affinity=affinity)[1].num_workers == workers


def test_gpus_share_the_cpus(look: Look) -> None:
    _, plan = look(smi=row() + row(uuid="GPU-ffff"), affinity=8)
    assert plan.num_workers == 3


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("", []),
        ("-1", []),
        ("0,2,-1,1", ["0", "2"]),
        ("0,0", []),
        ("GPU-ab", ["GPU-ab"]),
        ("none", []),
        (" 1 , 0 ", ["1", "0"]),
    ],
)
def test_visible_devices_are_read_as_torch_does(text: str, devices: list[str]) -> None:
    assert gpus.visible_devices(text) == devices


def test_request_for_the_cpu_asks_nobody(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []
    machine = make_machine(tmp_path, smi=lambda argv: asked.append(argv))
    found = detect("cpu", machine)
    assert (found.kind, asked) == ("cpu", [])


def test_chosen_build_that_the_gpu_cannot_run_means_cpu(look: Look) -> None:
    _, plan = look("cu126", **smi("RTX 5090", "12.0", "580.95.05"))
    assert (plan.torch_build, plan.index_url, plan.device) == ("cu126", CU126, "cpu")
    assert "does not run on RTX 5090" in " ".join(plan.notes)


def test_explicit_answer_wins_over_the_environment(look: Look) -> None:
    _, plan = look("cu130", environ={"TORCH_BACKEND": "cpu"}, **smi("H100", "9.0", "580.95.05"))
    assert (plan.torch_build, plan.device) == ("cu130", "cuda")


def test_hung_driver_is_not_waited_for_three_times(tmp_path: Path) -> None:
    machine = make_machine(tmp_path, nvml="hangs", smi="hangs", cuda="hangs")
    limits: list[float] = []

    def run(argv: Sequence[str], limit: float) -> Any:
        limits.append(limit)
        return machine.run(argv, limit)

    detect("auto", dataclasses.replace(machine, run=run))
    assert sum(limits) <= 15


INDEX_OF_LIBRARIES = {"/etc/ld.so.cache": "ld.so-1.7.0\0libc.so.6\0/lib/libc.so.6\0"}
# Each of these is reason enough to ask NVIDIA's libraries.
SIGNS: dict[str, dict[str, Any]] = {
    "a device": {"files": {"/dev/nvidia0": ""}},
    "the device of the driver": {"files": {"/dev/nvidiactl": ""}},
    "a device of a small board": {"files": {"/dev/nvhost-ctrl": ""}},
    "another of its devices": {"files": {"/dev/nvmap": ""}},
    "a small board": {"machine": "aarch64", "release": "5.15.148-tegra"},
    "a GPU that Windows lends": {"files": {"/dev/dxg": ""}},
    "Linux inside Windows": {"release": "5.15.167-microsoft-standard-WSL2"},
    "the kernel's driver": {"files": {"/sys/module/nvidia/version": "580.95.05\n"}},
    "a GPU on the bus": {"files": SCENARIOS["GPU without a driver"][0]["files"]},
    "a path of libraries": {"environ": {"LD_LIBRARY_PATH": "/opt/gpus"}},
    "a library of the system": {"files": {"/usr/lib/x86_64-linux-gnu/libcuda.so.1": ""}},
    "a library that is not in the index": {"files": {"/usr/lib64/libnvidia-ml.so.1": ""}},
    "a library of Python's own": {"files": {f"{sys.base_prefix}/lib/libcuda.so.1": ""}},
    "a library in the index": {"files": {"/etc/ld.so.cache": "libcuda.so.1\0/opt/libcuda.so.1\0"}},
    "an index too long to read": {"files": {"/etc/ld.so.cache": "lib" * 400_000}},
    "no index of libraries": {"files": {"/etc/ld.so.cache": None}},
    "Windows": WINDOWS,
}


def programs_asked(root: Path, description: dict[str, Any]) -> list[Sequence[str]]:
    """The command lines with which detection asks on this machine; nobody answers."""
    files = INDEX_OF_LIBRARIES | description.get("files", {})
    known = {name: text for name, text in files.items() if text is not None}
    machine = make_machine(root, **(description | {"files": known}))
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], limit: float) -> Any:
        asked.append(argv)
        return machine.run(argv, limit)

    detect("auto", dataclasses.replace(machine, run=run))
    return asked


def test_no_program_is_started_without_a_sign_of_nvidia(tmp_path: Path) -> None:
    assert programs_asked(tmp_path, {}) == []


@pytest.mark.parametrize("sign", SIGNS)
def test_one_sign_of_nvidia_is_enough_to_ask_its_libraries(sign: str, tmp_path: Path) -> None:
    asked = programs_asked(tmp_path, SIGNS[sign])
    assert [argv[-1] for argv in asked] == ["nvml", "cuda"]


def test_libraries_that_are_looked_for_are_those_that_are_loaded() -> None:
    source = Path(nvidia.__file__).read_text("utf-8")
    loaded = re.findall(r'"(lib[a-z-]+\.so\.1)"', source)
    assert sorted(loaded) == sorted(linux_files.NVIDIA_LIBRARIES)


def test_surprise_in_detection_is_a_note(tmp_path: Path) -> None:
    def explode(argv: Sequence[str]) -> None:
        raise RuntimeError("surprise")

    found = detect("auto", make_machine(tmp_path, nvml=explode))
    assert found.kind == "cpu"
    assert "surprise" in found.notes[0]


def test_every_build_that_is_offered_is_in_the_table() -> None:
    offered = builds.OFFERED
    assert tuple(CHOICES["torch_build"]) == offered
    assert set(offered) - {"auto", "pypi"} <= set(builds.BUILDS)
    for name in (name for name in offered if name.startswith("cu")):
        build = builds.BUILDS[name]
        assert build.x86_64 and build.aarch64 and build.linux_driver and build.windows_driver
        assert build.cuda[0] == int(name[2:4])


def test_torch_version_has_the_same_bounds_everywhere() -> None:
    assert f'"torch{builds.TORCH}",' in (PROJECT / "pyproject.toml").read_text("utf-8")


# --- real programs ------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_program_that_hangs_is_given_up() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    start = time.monotonic()
    output = run_program(python(code), 0.5)
    assert (output.code, output.timed_out) == (None, True)
    assert time.monotonic() - start < 2


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_grandchild_that_keeps_the_output_open_costs_nothing() -> None:
    code = "import os, time; print('done', flush=True); os.fork() or time.sleep(3)"
    start = time.monotonic()
    output = run_program(python(code), 2)
    assert (output.code, output.text.strip()) == (0, "done")
    assert time.monotonic() - start < 1.5


def test_program_that_never_stops_writing_is_ended() -> None:
    start = time.monotonic()
    output = run_program(python("while True: print('x' * 10000)"), 20)
    assert output.timed_out
    assert len(output.text) <= MAX_OUTPUT
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/"], ["a\0b"], [""]])
def test_program_that_cannot_start_is_no_error(argv: list[str]) -> None:
    assert run_program(argv, 1).code is None


def test_libraries_are_asked_by_a_program_that_always_answers() -> None:
    for library_name in ("nvml", "cuda"):
        output = run_program([sys.executable, "-I", "-S", nvidia.__file__, library_name], 20)
        assert output.code == 0
        assert set(json.loads(output.text)) in ({"error"}, {"driver", "cuda", "gpus"})


FAKE_LIBRARIES = r"""
#include <string.h>
int nvmlInit_v2(void) { return INIT; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13020; return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strcpy(text, "595.10"); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu)
{ *gpu = (void *)(index + 1L); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor)
{ *major = 12; *minor = gpu == (void *)1; return 0; }
int nvmlDeviceGetMemoryInfo(void *gpu, unsigned long long *memory)
{ memory[0] = 1ull << 37; memory[1] = memory[2] = 0; return gpu == (void *)1 ? 3 : 0; }
int nvmlDeviceGetName(void *gpu, char *text, unsigned size) { strcpy(text, "GB10"); return 0; }
int nvmlDeviceGetUUID(void *gpu, char *text, unsigned size) { strcpy(text, "GPU-1"); return 0; }
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index + 5; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device)
{ *value = which - 68; return device != 5; }
int cuDeviceGetName(char *text, int size, int device) { strcpy(text, "Orin"); return 0; }
int cuDeviceTotalMem_v2(size_t *size, int device) { *size = 1ull << 35; return 0; }
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize("error", [0, 18])
def test_libraries_are_called_as_their_headers_say(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake.c").write_text(FAKE_LIBRARIES.replace("INIT", str(error)), "utf-8")
    for name in ("libnvidia-ml.so.1", "libcuda.so.1"):
        command = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / name), str(tmp_path / "fake.c")]
        subprocess.run(command, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    nvml, cuda = (ask(Machine(), 20) for ask in (gpus.ask_nvml, gpus.ask_cuda))
    if error:
        assert "reboot" in nvml.note
        assert not nvml.gpus and not cuda.gpus
        return
    assert (nvml.driver, nvml.cuda, cuda.cuda) == ("595.10", "13.2", "12.4")
    told = [(gpu.name, gpu.capability, gpu.memory_mib, gpu.uuid) for gpu in nvml.gpus + cuda.gpus]
    assert told == [
        ("GB10", (12, 1), None, "GPU-1"),
        ("GB10", (12, 0), 131072, "GPU-1"),
        ("Orin", (7, 8), 32768, None),
    ]


def test_detection_is_quick_here() -> None:
    """On CPUs that are busy with other tests, one of many calls is enough."""
    seconds = []
    for _ in range(20):
        start = time.monotonic()
        detect()
        seconds.append(time.monotonic() - start)
        if seconds[-1] < 0.3:
            return
    raise AssertionError(seconds)


# --- properties ---------------------------------------------------------------------------------

cells = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["GPU-1", "H100", "580.95.05", "81559", "9.0", "[N/A]", "", '"', "\0", "٣.٠"]),
)
lines = st.lists(cells, max_size=7).map(", ".join)
outputs = st.one_of(
    st.lists(lines, max_size=4).map("\n".join),
    st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "replace")),
)


@settings(
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(code=st.integers(-64, 255), text=outputs, child=outputs, system=st.sampled_from("LDW"))
def test_no_answer_of_any_tool_breaks_anything(
    code: int, text: str, child: str, system: str, tmp_path: Path
) -> None:
    name = {"L": "Linux", "D": "Darwin", "W": "Windows"}[system]
    machine = make_machine(
        tmp_path, system=name, smi=(code, text), nvml=(code, child), cuda=(code, child)
    )
    found = detect("auto", machine)
    plan = make_plan(found)
    written = tomllib.loads(device_toml(found, plan, "package"))
    assert set(written) == set(SETTINGS)
    assert "failed" not in " ".join(found.notes)
    json.dumps([dataclasses.asdict(found), dataclasses.asdict(plan)])
