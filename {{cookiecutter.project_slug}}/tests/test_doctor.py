"""The doctor: what it says of this machine, and of machines that are not well."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_device import fake_gpus

from {{ cookiecutter.__package }}.cli import doctor, doctor_checks
from {{ cookiecutter.__package }}.engine import device
from {{ cookiecutter.__package }}.engine.files import PROJECT


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A Linux machine on which nothing speaks for a GPU, and a project without device.toml."""
    fake_gpus(monkeypatch)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor_checks, "NVIDIA_SIGNS", [])
    (tmp_path / "pyproject.toml").write_text('default-groups = ["dev", "cu126"]\n', "utf-8")
    monkeypatch.setattr(doctor_checks, "PROJECT", tmp_path)
    monkeypatch.setattr(doctor_checks, "DEVICE_TOML", tmp_path / "device.toml")
    return monkeypatch


def test_report_for_programs_names_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = doctor.main(["--json"])
    report = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks.keys() >= {"python", "torch", "torch build", "cuda", "compile", "settings"}
    assert exit_code == int(any(check["state"] == "broken" for check in checks.values()))
    assert all(check["remedy"] for check in checks.values() if check["state"] != "ok")
    assert report["plan"] == doctor_checks.suggest_settings() and report["found"]


def test_missing_torch_is_said_with_what_to_type() -> None:
    command = [sys.executable, "-S", "-m", doctor.PACKAGE, "doctor"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 1 and "torch: not installed\n         -> uv sync" in done.stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(3)", "torch: crashed with exit code 3"),
        ("raise OSError('libcudart.so.13: cannot open')", "OSError: libcudart.so.13: cannot"),
        ("import time; time.sleep(60)", "torch: its checks do not end within"),
    ],
)
def test_sick_torch_does_not_take_the_doctor_with_it(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "torch.py").write_text(code, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "TIME_LIMIT", 3)
    assert doctor.main([]) == 1 and words in capsys.readouterr().out


def test_checks_that_fail_are_broken_lines(cpu_only: pytest.MonkeyPatch, capsys: Any) -> None:
    cpu_only.setattr(torch.Tensor, "cpu", lambda result: result + 1)  # a wrong result
    cpu_only.setattr(device, "resolve", None)  # an exception
    doctor_checks.main([])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    states = {line[0]: line[1] for line in lines[:-1]}
    assert states["arithmetic"] == states["settings"] == "broken"
    assert lines[-1] == doctor_checks.suggest_settings()


@pytest.mark.parametrize(
    ("version", "signs", "states"),
    [
        ("2.14.1+cpu", [], ["ok", "ok", "ok"]),
        ("2.14.1+cpu", ["nvidia-smi"], ["ok", "warning", "ok"]),
        ("2.14.1+cu126", ["nvidia-smi"], ["ok", "ok", "broken"]),
        ("2.14.1+cu130", ["nvidia-smi"], ["ok", "ok", "broken"]),
        ("2.14.1+cu130", [], ["ok", "warning", "broken"]),
        ("2.15.0", [], ["ok", "ok", "ok"]),
        ("2.16.0", [], ["warning", "ok", "ok"]),
    ],
)
def test_builds_are_compared(version: str, signs: Any, states: Any, cpu_only: Any) -> None:
    cpu_only.setattr("importlib.util.find_spec", lambda _: True)
    cpu_only.setattr("importlib.import_module", lambda _: SimpleNamespace(__version__="0.29+cpu"))
    cpu_only.setattr(torch, "__version__", version)
    cpu_only.setattr(doctor_checks, "NVIDIA_SIGNS", signs)
    assert [check.state for check in doctor_checks.check_torch()] == states


@pytest.mark.parametrize(
    ("text", "state"),
    [('device = "cuda"', "warning"), ("num_worker = 2", "broken"), ("device = ", "broken")],
)
@pytest.mark.usefixtures("cpu_only")
def test_settings_that_do_not_fit_are_reported_and_written_again(text: str, state: str) -> None:
    doctor_checks.DEVICE_TOML.write_text(text, "utf-8")
    (check,) = doctor_checks.check_settings()
    assert (check.state, check.remedy) == (state, doctor.WRITE)
    names = [check.name for check in doctor_checks.write_device_toml()]
    assert [*names, next(doctor_checks.check_settings()).state] == ["written", "ok"]
    written = tomllib.loads(doctor_checks.DEVICE_TOML.read_text("utf-8"))
    assert written == doctor_checks.suggest_settings()


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ([], ["cpu", "fp32", True, False, False]),
        ([(9, 0)], ["cuda", "bf16", True, True, True]),
        ([(6, 1), (8, 6), (7, 5)], ["cuda", "fp16", True, False, True]),  # no kernels for 6.1
    ],
)
def test_suggestions_follow_the_oldest_gpu(gpus: Any, expected: Any, cpu_only: Any) -> None:
    fake_gpus(cpu_only, *gpus)
    cpu_only.setattr(device, "compile_problem", lambda _: "")
    plan = doctor_checks.suggest_settings()
    assert plan.pop("num_workers") in range(9)
    assert list(plan.values()) == expected


def test_gpu_is_described_and_gets_its_build_named(cpu_only: pytest.MonkeyPatch) -> None:
    cpu_only.setattr(torch.version, "cuda", "13.0")
    fake_gpus(cpu_only, (8, 9), (6, 1), (3, 7))
    cpu_only.setattr(torch.backends.cudnn, "version", lambda: 92400)
    *gpus, cuda = doctor_checks.check_gpus()
    assert cuda.text == "CUDA 13.0, cuDNN 92400"
    assert gpus[0].text == "GPU 8.9 (8.9), 20.0 of 24.0 GiB free"
    assert [check.state for check in gpus[1::2]] == ["ok", "warning", "warning"]
    assert "to cu126" in gpus[3].remedy and "No build of torch" in gpus[5].remedy


@pytest.mark.parametrize(
    ("error", "state", "remedy"),
    [
        ("Torch not compiled with CUDA enabled", "warning", "to cu130"),
        ("too old (found version 12040)", "broken", "driver to 580 or newer. Or: "),
        ("No CUDA GPUs are available", "warning", "Unset CUDA_VISIBLE_DEVICES"),
        ("Found no NVIDIA driver", "broken", "nvidia-smi"),
    ],
)
def test_unused_gpu_has_its_remedy(error: str, state: str, remedy: str, cpu_only: Any) -> None:
    cpu_only.setattr(torch.version, "cuda", None if "compiled" in error else "13.0")
    cpu_only.setattr(doctor_checks, "NVIDIA_SIGNS", ["/dev/nvidia0"])
    cpu_only.setattr(device, "why_no_gpu", lambda _: error)
    cpu_only.setenv("CUDA_VISIBLE_DEVICES", "")
    (check,) = doctor_checks.check_cuda()
    assert check.state == state and remedy in check.remedy
