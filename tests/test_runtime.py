"""What a run does with wishes that this machine's torch can or cannot follow, and the doctor."""

import importlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Render
from worlds import NAME, load_modules, row


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
def compile_model(runtime: object) -> Any:
    """`compile_model(model)`, as for a run whose settings ask for it."""
    wish = SimpleNamespace(compile=True, compile_typed=False)
    compiling = importlib.import_module(f"{NAME}.compiling")
    return lambda model: compiling.compile_model(model, wish)


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


def test_only_gpus_that_the_wheel_has_code_for_are_used(
    prepare: Callable[..., Any], gpu: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(9, 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda index=0: [(6, 1), (9, 0)][index or 0]
    )
    assert str(prepare().device) == str(prepare("device", device="cuda").device) == "cuda:1"


def test_model_is_placed_as_the_run_computes(prepare: Callable[..., Any]) -> None:
    model = torch.nn.Conv2d(3, 4, 3)
    runtime = prepare("precision", precision="bf16", channels_last=True)
    runtime.place(model)
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    with runtime.autocast:
        assert model(torch.ones(1, 3, 5, 5)).dtype is torch.bfloat16
    with prepare().autocast:
        assert model(torch.ones(1, 3, 5, 5)).dtype is torch.float32


# --- torch.compile ------------------------------------------------------------------------------

COMPILED = """
import sys, torch
from types import SimpleNamespace
from my_torch_project.compiling import compile_model
from my_torch_project.runtime import prepare

settings = SimpleNamespace(
    device="cpu", precision="fp32", num_workers=0, channels_last=False, tf32=False, compile=True
)
runtime = prepare(settings, frozenset(sys.argv[1:]))
assert runtime.compile, runtime.notes
model, plain = (torch.nn.Linear(3, 1) for _ in range(2))
plain.load_state_dict(model.state_dict())
compile_model(model, runtime)
for size in (2, 5):
    model(torch.ones(size, 3)).sum().backward()
    plain(torch.ones(size, 3)).sum().backward()
model.eval()
assert model.weight.grad.equal(plain.weight.grad)
assert model.state_dict().keys() == plain.state_dict().keys()
"""


def with_broken_compiler(project: Path, folder: Path, *typed: str) -> Any:
    return subprocess.run(
        [sys.executable, "-B", "-c", COMPILED, *typed],
        cwd=project,
        env=os.environ | {"CXX": "false", "TORCHINDUCTOR_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="compilers are found in another way there")
def test_compiling_that_fails_costs_one_warning(rendered: Render, tmp_path: Path) -> None:
    done = with_broken_compiler(rendered(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: torch.compile failed") == 1
    assert "Going on without compiling." in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="compilers are found in another way there")
def test_typed_compile_that_fails_is_an_error(rendered: Render, tmp_path: Path) -> None:
    done = with_broken_compiler(rendered(), tmp_path, "compile")
    assert done.returncode == 1
    assert "UserError: torch.compile failed" in done.stderr
    assert "Leave out `--compile`" in done.stderr


def test_error_in_the_model_itself_is_not_blamed_on_compiling(
    compile_model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError("the model's own")

    model = Broken()
    compile_model(model)
    with pytest.raises(ZeroDivisionError, match="the model's own"):
        model(torch.ones(1))
    assert capsys.readouterr().err == ""


def test_a_model_may_say_which_part_of_it_is_compiled(compile_model: Any) -> None:
    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.nn.Linear(3, 1)
            self.compiled_part = self.part

    model = Both()
    compile_model(model)
    assert model.part._compiled_call_impl is not None
    assert model._compiled_call_impl is None


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
    capability: tuple[int, int], architectures: list[str], runs: bool, prepare: object
) -> None:
    capabilities = importlib.import_module(f"{NAME}.capabilities")
    assert capabilities.has_kernels(capability, architectures) is runs


# --- the doctor ---------------------------------------------------------------------------------


def call_doctor(
    project: Path, *arguments: str, options: tuple[str, ...] = (), **environ: str
) -> Any:
    package = next(project.glob("*/__init__.py")).parent.name
    return subprocess.run(
        [sys.executable, "-B", *options, "-m", package, "doctor", *arguments],
        cwd=project,
        env=os.environ | {"TORCH_BACKEND": ""} | environ,
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


def test_doctor_names_every_check(rendered: Render) -> None:
    report = json.loads(call_doctor(rendered(), "--json").stdout)
    named = {check["name"] for check in report["checks"]}
    before_torch = {"python", "gpu", "device.toml", "workers", "memory", "disk"}
    of_torch = {"torch", "torch build", "cuda", "cudnn", "kernels", "arithmetic", "precision"}
    assert before_torch | of_torch | {"compile", "gpu memory"} <= named
    for check in report["checks"]:
        assert check["state"] == "ok" or check["remedy"], check


def test_doctor_tells_gpu_and_driver_before_torch_is_there(
    rendered: Render, tmp_path: Path
) -> None:
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{row()}END\n", "utf-8")
    (tmp_path / "nvidia-smi").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PATH', '')}"
    done = call_doctor(rendered(), options=("-S",), PATH=path)
    assert "gpu: NVIDIA GeForce RTX 4090 (compute capability 8.9, 24564 MiB)" in done.stdout
    assert "driver: 580.95.05, speaks CUDA 13.0 or newer" in done.stdout


FAKE_TORCHES = {
    "crashes": ("import os; os.abort()", "torch: crashed with exit code"),
    "cannot be loaded": (
        "raise OSError('libcudart.so.13: cannot open')",
        "torch: OSError: libcudart.so.13: cannot open",
    ),
    "is too new": ("__version__ = '2.15.0'", "torch: 2.15.0, but the project is made for"),
}


@pytest.mark.parametrize("name", FAKE_TORCHES)
def test_sick_torch_does_not_take_the_doctor_with_it(
    name: str, rendered: Render, tmp_path: Path
) -> None:
    code, words = FAKE_TORCHES[name]
    (tmp_path / "torch.py").write_text(code, "utf-8")
    done = call_doctor(rendered(), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def checks(prepare: object) -> Any:
    return importlib.import_module(f"{NAME}.torch_checks")


def test_torch_that_hangs_is_given_up(
    checks: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    doctor = importlib.import_module(f"{NAME}.doctor")
    monkeypatch.setattr(doctor, "LIMIT", 0.5)
    monkeypatch.setattr(doctor, "PACKAGE", "json")  # which has no such module; never reached
    monkeypatch.setattr(doctor, "PROJECT", tmp_path)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("import time; time.sleep(60)", "utf-8")
    found = doctor.Found("Linux", "x86_64")
    start = time.monotonic()
    output = doctor.ask_torch(found, doctor.make_plan(found))
    assert time.monotonic() - start < 3
    (check,) = doctor.checks_of(output)
    assert (check.name, check.state) == ("torch", "broken")


def facts(checks: Any, device: str = "cuda", build: str = "cu130") -> Any:
    return checks.Facts("cuda", "13.0", False, device, build)


def test_doctor_sees_that_torch_can_use_the_gpu(
    checks: Any, gpu: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(8, 9)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * 2**30, 24 * 2**30))
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    told = {
        name: getattr(checks, f"check_{name}")(facts(checks))
        for name in ("cuda", "cudnn", "kernels", "precision", "gpu_memory")
    }
    assert {check.state for check in told.values()} == {"ok"}
    assert "the driver speaks CUDA 13.0, torch 13.0" in told["cuda"].text
    assert told["cudnn"].text == "91300"
    assert "sm_86" in told["kernels"].text
    assert told["precision"].text == "fp32, bf16, fp16 on cuda:0"
    assert told["gpu_memory"].text.startswith("20.0 of 24.0 GiB")


def test_doctor_sees_a_wheel_without_kernels_for_the_gpu(
    checks: Any, gpu: Callable[[int, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(6, 1)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    check = checks.check_kernels(facts(checks, build="cu126"))
    assert check.state == "broken"
    assert "none for GPU 6.1 (sm_61)" in check.text
    assert "torch_build cu126" in check.remedy


@pytest.mark.parametrize(
    ("cuda", "build", "state", "remedy"),
    [
        (None, "cu130", "warning", "torch build above"),
        ("13.0", "cu126", "broken", "torch_build cu126"),
        ("13.0", "cu130", "broken", "Restart"),
    ],
    ids=["wheel for the CPU", "wheel too new for the driver", "sick driver"],
)
def test_doctor_says_why_torch_cannot_use_the_gpu(
    cuda: str | None,
    build: str,
    state: str,
    remedy: str,
    checks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    check = checks.check_cuda(facts(checks, build=build))
    assert check.state == state
    assert remedy in check.remedy
