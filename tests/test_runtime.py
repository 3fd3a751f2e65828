"""What a run does with wishes that this machine's torch can or cannot follow, and the doctor."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Render
from worlds import NAME, load_modules


@dataclass(frozen=True)
class Wish:
    """The class's defaults."""

    device: str = "auto"
    precision: str = "fp32"
    num_workers: int = 0
    channels_last: bool = True
    tf32: bool = True
    compile: bool = False


@pytest.fixture(scope="module")
def runtime(rendered: Render) -> Any:
    load_modules(rendered())
    return importlib.import_module(f"{NAME}.runtime")


@pytest.fixture
def prepare(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`prepare(typed="device", device="cuda")`, on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    before = torch.get_float32_matmul_precision()
    yield lambda typed="", **wishes: runtime.prepare(Wish(**wishes), frozenset(typed.split()))
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, prepare: object) -> Callable[[int, int], None]:
    """`gpu(8, 9)`: torch sees a GPU of that compute capability."""

    def install(major: int, minor: int) -> None:
        answers: dict[str, object] = {
            "is_available": True,
            "device_count": 2,
            "get_device_capability": (major, minor),
            "get_arch_list": ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"],
            "get_device_name": f"GPU {major}.{minor}",
            "is_bf16_supported": major >= 8,
            "is_tf32_supported": major >= 8,
            "set_device": None,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, _answer=answer, **__: _answer)

    return install


def test_default_runs_on_the_cpu_without_a_note(prepare: Callable[..., Any]) -> None:
    runtime = prepare()
    assert (runtime.device.type, runtime.precision, runtime.autocast_dtype) == ("cpu", "fp32", None)
    assert (runtime.pin_memory, runtime.backend, runtime.notes) == (False, "gloo", [])
    assert runtime.name


def test_settings_of_a_gpu_that_is_gone_fall_back_with_one_note(
    prepare: Callable[..., Any],
) -> None:
    runtime = prepare(device="cuda", precision="fp16", compile=True, num_workers=0)
    assert (runtime.device.type, runtime.precision, runtime.compile) == ("cpu", "fp32", False)
    assert len(runtime.notes) == 1
    assert "doctor" in runtime.notes[0]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_typed_device_that_is_not_there_is_refused(
    device: str, prepare: Callable[..., Any]
) -> None:
    with pytest.raises(Exception, match=r"doctor.*--device cpu") as refusal:
        prepare("device", device=device)
    assert type(refusal.value).__name__ == "UserError"


def test_fp16_on_the_cpu_falls_back_or_is_refused(prepare: Callable[..., Any]) -> None:
    assert prepare(precision="fp16").precision == "fp32"
    with pytest.raises(Exception, match="--precision fp32"):
        prepare("precision", precision="fp16")


def test_typed_bf16_is_done_on_any_cpu(prepare: Callable[..., Any]) -> None:
    runtime = prepare("precision", precision="bf16")
    assert runtime.autocast_dtype is torch.bfloat16


def test_compile_without_a_compiler_falls_back_or_is_refused(
    prepare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    runtime = prepare(compile=True)
    assert (runtime.compile, len(runtime.notes)) == (False, 1)
    with pytest.raises(Exception, match=r"C\+\+ compiler"):
        prepare("compile", compile=True)


def test_typed_tf32_without_such_a_gpu_is_refused(prepare: Callable[..., Any]) -> None:
    assert prepare(tf32=True).notes == []
    with pytest.raises(Exception, match="TF32"):
        prepare("tf32", tf32=True)


def test_workers_are_limited_unless_typed(prepare: Callable[..., Any]) -> None:
    assert prepare(num_workers=1000).num_workers < 1000
    assert prepare("num_workers", num_workers=1000).num_workers == 1000


def test_new_gpu_gets_bf16_and_tf32(
    prepare: Callable[..., Any], gpu: Callable[[int, int], None]
) -> None:
    gpu(8, 9)
    runtime = prepare(precision="bf16")
    assert (str(runtime.device), runtime.autocast_dtype) == ("cuda:0", torch.bfloat16)
    assert (runtime.pin_memory, runtime.name) == (True, "GPU 8.9")
    assert torch.get_float32_matmul_precision() == "high"


def test_bf16_is_not_emulated(prepare: Callable[..., Any], gpu: Callable[[int, int], None]) -> None:
    gpu(7, 5)
    runtime = prepare(precision="bf16")
    assert (runtime.precision, len(runtime.notes)) == ("fp16", 1)
    assert torch.get_float32_matmul_precision() == "highest"


def test_gpu_without_kernels_in_the_wheel_is_not_used(
    prepare: Callable[..., Any], gpu: Callable[[int, int], None]
) -> None:
    gpu(6, 1)
    assert prepare().device.type == "cpu"
    with pytest.raises(Exception, match=r"no kernels for GPU 6\.1"):
        prepare("device", device="cuda")


def test_processes_of_torchrun_get_a_gpu_each(
    prepare: Callable[..., Any], gpu: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(9, 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(prepare().device) == "cuda:1"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(Exception, match="--nproc-per-node 2"):
        prepare()


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((8, 9), ["sm_86"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_86"], False),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120"], True),
        ((13, 0), ["sm_120", "compute_120"], True),
        ((8, 0), ["compute_90"], False),
        ((8, 0), [], False),
        ((8, 0), ["gfx90a"], False),
    ],
)
def test_kernels_run_on_the_same_major_version(
    capability: tuple[int, int], architectures: list[str], runs: bool, runtime: Any
) -> None:
    assert importlib.import_module(f"{NAME}.capabilities").has_kernels(capability, architectures) is runs


# --- the doctor ---------------------------------------------------------------------------------


def call_doctor(project: Path, *arguments: str, options: tuple[str, ...] = ()) -> Any:
    package = next(project.glob("*/__init__.py")).parent.name
    return subprocess.run(
        [sys.executable, "-B", *options, "-m", package, "doctor", *arguments],
        cwd=project,
        env=os.environ | {"TORCH_BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_doctor_prints_one_object_for_programs(rendered: Render) -> None:
    done = call_doctor(rendered(), "--json")
    report = json.loads(done.stdout)
    assert set(report) == {"found", "plan", "checks"}
    assert {check["state"] for check in report["checks"]} <= {"ok", "warning", "broken"}
    broken = [check for check in report["checks"] if check["state"] == "broken"]
    assert done.returncode == int(bool(broken))
    assert "arithmetic" in {check["name"] for check in report["checks"]}


def test_doctor_says_what_to_install_where_torch_is_missing(rendered: Render) -> None:
    done = call_doctor(rendered(), options=("-S",))
    assert done.returncode == 1
    assert "torch: not installed" in done.stdout
    assert "pip install -r requirements-torch.txt" in done.stdout


def test_doctor_writes_device_toml_again(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path)
    (project / "device.toml").write_text("device = ", "utf-8")
    assert "device.toml: cannot be read" in call_doctor(project, options=("-S",)).stdout
    call_doctor(project, "--write", options=("-S",))
    assert tomllib.loads((project / "device.toml").read_text("utf-8"))["device"]
