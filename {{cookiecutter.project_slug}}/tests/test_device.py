"""What a run does with settings that this machine can or cannot follow."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from {{ cookiecutter.__package }}.engine.device import (
    Hardware,
    has_kernels,
    resolve,
)
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.engine.machine import usable_cpus
from {{ cookiecutter.__package }}.engine.settings import RunSettings


def run(requested: str = "", **settings: Any) -> Hardware:
    """What the settings become; ``requested`` are the names of those that were typed as flags."""
    return resolve(RunSettings(**settings), frozenset(requested.split()))


def fake_gpus(patch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    """Let torch see NVIDIA GPUs of these compute capabilities, and no others."""

    def gpu(device: Any = None) -> SimpleNamespace:
        major, minor = capabilities[int(getattr(device, "index", device) or 0)]
        return SimpleNamespace(name=f"GPU {major}.{minor}", major=major, minor=minor)

    answers: dict[str, Any] = {
        "is_available": lambda: bool(capabilities),
        "device_count": lambda: len(capabilities),
        "get_device_properties": gpu,  # name and capability come from here
        "get_arch_list": lambda: ["sm_70", "sm_75", "sm_80", "sm_90", "sm_120"],
        "is_bf16_supported": lambda including_emulation: gpu().major >= 8,
        "mem_get_info": lambda device: (20 * 2**30, 24 * 2**30),
        "set_device": lambda device: None,
    }
    for name, answer in answers.items():
        patch.setattr(torch.cuda, name, answer)
    for module in (torch.mps, torch.xpu):
        patch.setattr(module, "is_available", lambda: False)
    patch.setattr(torch.version, "hip", None)


@pytest.fixture(autouse=True)
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No GPU, no compiler, no torchrun, 8 CPUs without bf16; torch's TF32 mode is put back."""
    fake_gpus(monkeypatch)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "CPU"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("PATH", "")
    for name in ("CXX", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_float32_matmul_precision()
    yield monkeypatch
    torch.set_float32_matmul_precision(before)


def test_settings_that_fit_are_followed(patch: pytest.MonkeyPatch) -> None:
    hardware = run(tf32=True, num_workers=1000)
    assert (str(hardware.device), hardware.precision, hardware.notes) == ("cpu", "fp32", [])
    assert (hardware.backend, hardware.pin_memory, hardware.num_workers) == ("gloo", False, 7)
    fake_gpus(patch, (8, 9))
    hardware = run("device tf32", device="cuda", precision="bf16")
    assert (str(hardware.device), hardware.autocast_dtype) == ("cuda:0", torch.bfloat16)
    assert (hardware.name, hardware.pin_memory, hardware.notes) == ("GPU 8.9", True, [])
    assert torch.get_float32_matmul_precision() == "high"
    fake_gpus(patch, (6, 1), (7, 0))  # torch has no kernels for the first
    assert str(run().device) == str(run("device", device="cuda").device) == "cuda:1"
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("gpus", "setting", "value", "instead", "message"),
    [
        ([], "device", "cuda", "cpu", r"too old \(found 12040\)\)\. .*doctor.*--device cpu"),
        ([], "device", "mps", "cpu", "doctor.*--device cpu"),
        ([(6, 1)], "device", "cuda", "cpu", "no kernels for GPU 6.1, capability 6.1"),
        ([], "precision", "fp16", "fp32", "--precision fp32"),
        ([(7, 5)], "precision", "bf16", "fp16", "--precision fp16"),  # not emulated
        ([], "compile", True, False, r"C\+\+ compiler.*--no-compile"),
    ],
)
def test_default_falls_back_with_a_note_and_flag_is_refused(
    gpus: Any, setting: str, value: Any, instead: Any, message: str, patch: Any
) -> None:
    fake_gpus(patch, *gpus)
    error = RuntimeError("too old (found 12040). Please update")
    patch.setattr(torch.cuda, "init", Mock(side_effect=error))
    hardware = run(**{setting: value})
    assert str(getattr(hardware, setting)) == str(instead)
    assert len(hardware.notes) == 1 and re.search(message, hardware.notes[0])
    with pytest.raises(UserError, match=message):
        run(setting, **{setting: value})


def test_other_defaults_for_a_missing_gpu_are_dropped_but_flags_are_not() -> None:
    hardware = run(device="cuda", precision="fp16", compile=True)
    assert (hardware.precision, hardware.compile, len(hardware.notes)) == ("fp32", False, 1)
    for name, value in {"precision": "fp16", "compile": True, "tf32": True}.items():
        with pytest.raises(UserError, match=f"--.*{name}"):
            run(name, device="cuda", **{name: value})


def test_bf16_on_the_cpu_is_the_default_only_where_it_is_fast(patch: pytest.MonkeyPatch) -> None:
    layer, inputs = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with run("precision", precision="bf16").autocast():
        assert layer(inputs).dtype is torch.bfloat16
    with run(precision="bf16").autocast():
        assert layer(inputs).dtype is torch.float32
    patch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert run(precision="bf16").precision == "bf16"


def test_processes_of_torchrun_share_gpus_and_cpus(patch: pytest.MonkeyPatch) -> None:
    fake_gpus(patch, (9, 0), (9, 0))
    patch.setenv("LOCAL_WORLD_SIZE", "2")
    patch.setenv("LOCAL_RANK", "1")
    hardware = run(num_workers=1000)
    assert (str(hardware.device), hardware.num_workers) == ("cuda:1", 3)
    assert run("num_workers", num_workers=1000).num_workers == 1000  # typed, so not cut
    patch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="--nproc-per-node 2"):
        run()


def test_kernels_run_on_the_same_major_version() -> None:
    fit = [((8, 9), "sm_86"), ((9, 0), "sm_90a"), ((12, 1), "sm_120"), ((13, 0), "compute_120")]
    unfit = [((8, 0), "sm_86"), ((9, 0), "sm_86"), ((8, 0), "compute_90"), ((8, 0), "gfx90a")]
    answers = [has_kernels(capability, ["gfx90a", name]) for capability, name in fit + unfit]
    assert answers == [True] * len(fit) + [False] * len(unfit)


@pytest.mark.parametrize(
    ("top", "job", "version1", "cpus"),
    [("max", "max", -1, 8), ("200", "400", -1, 2), ("max", "50", -1, 1), ("max", "max", 300, 3)],
)
def test_cpus_respect_quotas(top: str, job: str, version1: int, cpus: int, tmp_path: Path) -> None:
    groups = tmp_path / "sys/fs/cgroup"
    for folder in (tmp_path / "proc/self", groups / "job", groups / "cpu"):
        folder.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n", "utf-8")
    (groups / "cpu.max").write_text(f"{top} 100\n", "utf-8")
    (groups / "job/cpu.max").write_text(f"{job} 100\n", "utf-8")
    (groups / "cpu/cpu.cfs_quota_us").write_text(f"{version1}\n", "utf-8")
    (groups / "cpu/cpu.cfs_period_us").write_text("100\n", "utf-8")
    assert usable_cpus(tmp_path) == cpus
