"""The hook as users meet it: the real cookiecutter, real fake programs, the files that result."""

import os
import re
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CHOICES, TEMPLATE, Render
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import load_modules, row

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fake programs are scripts")
INDEX = "https://download.pytorch.org/whl/"
H100 = row("NVIDIA H100 80GB HBM3", "9.0", "580.95.05", "81559")
RESULTS = """\
sys.stdout.buffer.write({output!r})
sys.exit({code})
"""


@dataclass
class Result:
    """A project that cookiecutter made, what was printed and how long it took."""

    project: Path
    printed: str
    seconds: float

    @property
    def device(self) -> dict[str, object]:
        return tomllib.loads((self.project / "device.toml").read_text("utf-8"))

    @property
    def index(self) -> str | None:
        """The index for uv; the one for pip must be the same."""
        text = (self.project / "pyproject.toml").read_text("utf-8")
        uv = tomllib.loads(text).get("tool", {}).get("uv", {})
        urls = [index["url"] for index in uv.get("index", [])]
        if urls:
            assert set(uv["sources"]) == {"torch", "torchvision"}
            assert all(index["explicit"] for index in uv["index"])
        requirements = (self.project / "requirements-torch.txt").read_text("utf-8")
        assert re.findall(r"^--index-url (.+)$", requirements, re.MULTILINE) == urls
        assert re.search(r"^torch==2\.14\.\d+$", requirements, re.MULTILINE)
        return urls[0].removeprefix(INDEX) if urls else None


Generate = Callable[..., Result]


@pytest.fixture
def generate(tmp_path: Path, config_file: Path) -> Generate:
    """`generate(smi="code of a fake nvidia-smi", environ={}, options=[], **answers)`."""

    def run(
        smi: str = "",
        environ: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        **answers: str,
    ) -> Result:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        if smi:
            write_program(tools / "nvidia-smi", smi)
        hidden = ("TORCH_BACKEND", "UV_TORCH_BACKEND", "CUDA_VISIBLE_DEVICES")
        inherited = {key: value for key, value in os.environ.items() if key not in hidden}
        path = f"{tools}{os.pathsep}{inherited.get('PATH', '')}"
        command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input"]
        command += ["--config-file", str(config_file), "-o", str(tmp_path / "out"), *options]
        start = time.monotonic()
        done = subprocess.run(
            [*command, *(f"{name}={value}" for name, value in answers.items())],
            env=inherited | {"PATH": path} | (environ or {}),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        (project,) = (tmp_path / "out").iterdir()
        return Result(project, done.stdout, time.monotonic() - start)

    return run


def write_program(path: Path, code: str) -> None:
    path.write_text(f"#!{sys.executable} -S\nimport os, signal, sys, time\n{code}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def answers(text: str, code: int = 0) -> str:
    return RESULTS.format(output=text.encode(), code=code)


def test_h100_gets_cuda_and_bf16(generate: Generate) -> None:
    result = generate(answers(H100))
    assert result.index is None  # PyPI has this build
    assert result.device["device"] == "cuda"
    assert result.device["precision"] == "bf16"
    assert "NVIDIA H100 80GB HBM3" in (result.project / "device.toml").read_text("utf-8")
    assert "NVIDIA H100 80GB HBM3" in result.printed


def test_old_gpu_gets_the_build_that_has_kernels_for_it(generate: Generate) -> None:
    result = generate(answers(row("NVIDIA GeForce GTX 1080 Ti", "6.1", "580.95.05")))
    assert result.index == "cu126"
    assert (result.device["device"], result.device["precision"]) == ("cuda", "fp32")


def test_old_driver_gets_the_build_that_it_can_run(generate: Generate) -> None:
    assert generate(answers(row("NVIDIA A100", "8.0", "535.104.05"))).index == "cu126"


def test_very_old_driver_is_told_what_to_do(generate: Generate) -> None:
    result = generate(answers(row("NVIDIA GeForce RTX 5090", "12.0", "570.86.10")))
    assert (result.index, result.device["device"]) == ("cpu", "cpu")
    assert "update the driver to 580" in result.printed


def test_driver_that_does_not_know_compute_cap_is_asked_again(generate: Generate) -> None:
    unknown = answers('Field "compute_cap" is not a valid field to query.\n', 2)
    known = answers(row(driver="525.60.13").replace(", 8.9", ""))
    branches = "\n".join(
        f"if {'not ' * negated}('compute_cap' in sys.argv[1]):\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        for negated, code in ((False, unknown), (True, known))
    )
    result = generate(branches)
    assert (result.index, result.device["precision"]) == ("cu126", "fp32")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (answers("No devices were found\n", 6), ""),
        (answers("Failed to initialize NVML: Driver/library version mismatch\n", 18), "reboot"),
        (answers("", 9), "not loaded"),
        (answers("\x00\x1b[31mgarbage, \U0001f525,,,\n"), "nothing that can be understood"),
        (answers(""), ""),
        ("os.kill(os.getpid(), signal.SIGSEGV)", ""),
    ],
    ids=["no GPU", "mismatch", "not loaded", "garbage", "silence", "crash"],
)
def test_without_a_usable_gpu_the_small_build_is_taken(
    code: str, said: str, generate: Generate
) -> None:
    result = generate(code)
    assert (result.index, result.device["device"]) == ("cpu", "cpu")
    assert said in result.printed


# What nvidia-smi prints, its exit code, variables: index, device and precision, words of the output
MACHINES: dict[str, tuple[str, int, dict[str, str], tuple[str | None, str, str], str]] = {
    "RTX 3060": (row("RTX 3060", "8.6"), 0, {}, (None, "cuda", "bf16"), ""),
    "RTX 3090, driver 550": (
        row("RTX 3090", "8.6", "550.54.15"),
        0,
        {},
        ("cu126", "cuda", "bf16"),
        "torch < 2.15",
    ),
    "V100": (row("V100", "7.0", "535.104.05"), 0, {}, ("cu126", "cuda", "fp16"), "torch < 2.15"),
    "T4": (row("T4", "7.5", "580.65.06"), 0, {}, (None, "cuda", "fp16"), ""),
    "RTX 5090": (row("RTX 5090", "12.0"), 0, {}, (None, "cuda", "bf16"), ""),
    "V100 beside B200": (
        row("V100", "7.0") + row("B200", "10.0"),
        0,
        {},
        (None, "cuda", "bf16"),
        "covers 1 of 2",
    ),
    "two GPUs": (H100 + H100.replace("GPU-0", "GPU-1"), 0, {}, (None, "cuda", "bf16"), "2 x"),
    "B300": (row("B300", "10.3"), 0, {}, (None, "cuda", "bf16"), ""),
    "K80": (row("K80", "3.7", "470.256.02"), 0, {}, ("cpu", "cpu", "fp32"), "no build"),
    "unified memory": (
        row("GB", "12.1", memory="[N/A]"),
        0,
        {},
        (None, "cuda", "bf16"),
        "compute capability 12.1)",
    ),
    "a warning among the rows": (
        H100 + "WARNING: infoROM is corrupted at gpu 0000:01:00.0\n",
        14,
        {},
        (None, "cuda", "bf16"),
        "",
    ),
    "one slice of a GPU": (
        H100,
        0,
        {"CUDA_VISIBLE_DEVICES": "MIG-1-2"},
        (None, "cuda", "bf16"),
        "",
    ),
    "an empty list of GPUs": (
        H100,
        0,
        {"CUDA_VISIBLE_DEVICES": ""},
        ("cpu", "cpu", "fp32"),
        "hides",
    ),
    "the CPU was asked for": (
        H100,
        0,
        {"UV_TORCH_BACKEND": "cpu"},
        ("cpu", "cpu", "fp32"),
        "",
    ),
    "CUDA without a GPU": (
        "No devices were found\n",
        6,
        {"TORCH_BACKEND": "cu130"},
        ("cu130", "cpu", "fp32"),
        "",
    ),
    "a build that nobody knows": (
        H100,
        0,
        {"TORCH_BACKEND": "cu999"},
        (None, "cuda", "bf16"),
        "cu999 is not followed",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_machine_gets_what_suits_it(name: str, generate: Generate) -> None:
    text, code, environ, expected, words = MACHINES[name]
    result = generate(answers(text, code), environ=environ)
    assert (result.index, result.device["device"], result.device["precision"]) == expected
    assert words in result.printed


def test_lost_gpu_does_not_hide_the_others(generate: Generate) -> None:
    result = generate(answers(H100 + "Unable to determine the device handle: GPU is lost.\n", 15))
    assert result.device["device"] == "cuda"
    assert "restart" in result.printed


def test_tool_that_hangs_costs_its_limit_and_no_more(generate: Generate) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\ntime.sleep(60)"
    result = generate(stubborn)
    assert (result.index, result.device["device"]) == ("cpu", "cpu")
    assert "did not answer" in result.printed
    assert 10 <= result.seconds < 16


def test_grandchild_that_keeps_the_output_open_costs_nothing(generate: Generate) -> None:
    result = generate(f"if os.fork() == 0:\n    time.sleep(8)\n    sys.exit()\n{answers(H100)}")
    assert result.device["device"] == "cuda"
    assert result.seconds < 8


def test_hidden_gpus_are_left_alone(generate: Generate) -> None:
    result = generate(answers(H100), environ={"CUDA_VISIBLE_DEVICES": "-1"})
    assert (result.index, result.device["device"]) == ("cpu", "cpu")


@pytest.mark.parametrize("name", ["TORCH_BACKEND", "UV_TORCH_BACKEND"])
def test_environment_names_the_build(name: str, generate: Generate) -> None:
    assert generate(answers(H100), environ={name: "cu132"}).index == "cu132"


@pytest.mark.parametrize("build", [build for build in CHOICES["torch_build"] if build != "auto"])
def test_refused_hook_leaves_the_same_project_but_for_the_machine(
    build: str, generate: Generate, rendered: Render
) -> None:
    refused = generate(options=("--accept-hooks", "no"), torch_build=build)
    assert not (refused.project / "device.toml").exists()
    assert refused.index == (None if build == "pypi" else build)
    with_hook = rendered(torch_build=build)
    for name in ("pyproject.toml", "requirements-torch.txt"):
        text = (refused.project / name).read_text("utf-8")
        assert text == (with_hook / name).read_text("utf-8")


@pytest.mark.parametrize("build", [build for build in CHOICES["torch_build"] if build != "auto"])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_hook_writes_what_the_explicit_answer_would(
    build: str, task: str, render: Render, rendered: Render, tmp_path: Path
) -> None:
    explicit = rendered(torch_build=build, task=task)
    other = render(tmp_path, torch_build="cu126" if build != "cu126" else "cpu", task=task)
    modules = load_modules(other)
    index_url = None if build == "pypi" else INDEX + build
    assert modules.torch_build.write_torch_build(other, index_url)
    for name in ("pyproject.toml", "requirements-torch.txt"):
        assert (other / name).read_text("utf-8") == (explicit / name).read_text("utf-8")
    assert modules.torch_build.project_build(other) == build


@pytest.mark.parametrize(("build", "triton"), [("rocm7.2", "triton-rocm"), ("xpu", "triton-xpu")])
def test_build_that_names_its_own_triton_can_be_left_again(
    build: str, triton: str, render: Render, rendered: Render, tmp_path: Path
) -> None:
    project = render(tmp_path, torch_build="cpu")
    modules = load_modules(project)
    assert modules.torch_build.write_torch_build(project, INDEX + build)
    assert modules.torch_build.project_build(project) == build
    text = (project / "pyproject.toml").read_text("utf-8")
    settings = tomllib.loads(text)
    needs = [need for need in settings["project"]["dependencies"] if triton in need]
    (source,) = settings["tool"]["uv"]["sources"][triton]
    assert [source["marker"]] == [need.partition("; ")[2] for need in needs]
    assert settings["tool"]["uv"]["sources"]["torch"] == [source]
    modules.torch_build.write_torch_build(project, INDEX + "cpu")
    before = rendered(torch_build="cpu") / "pyproject.toml"
    assert (project / "pyproject.toml").read_text("utf-8") == before.read_text("utf-8")


@pytest.mark.parametrize("task", CHOICES["task"])
def test_pip_gets_torchvision_where_the_project_needs_it(task: str, rendered: Render) -> None:
    project = rendered(task=task)
    needs = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split("[<>=]", need)[0] for need in needs["dependencies"]}
    pinned = re.findall(
        r"^(\w+)==", (project / "requirements-torch.txt").read_text("utf-8"), re.MULTILINE
    )
    assert set(pinned) == wanted & {"torch", "torchvision"}


def test_edited_project_keeps_its_files(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path)
    modules = load_modules(project)
    (project / "pyproject.toml").write_text("[project]\n", "utf-8")
    assert not modules.torch_build.write_torch_build(project, INDEX + "cpu")
    assert (project / "pyproject.toml").read_text("utf-8") == "[project]\n"


def test_empty_path_and_locked_home_are_no_obstacle(generate: Generate, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    places = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    result = generate(environ={"PATH": "", **places})
    assert result.index == "cpu"
    assert result.device["device"] == "cpu"
    home.chmod(0o700)
    assert not list(home.iterdir())


def test_terminal_without_unicode_is_no_obstacle(generate: Generate) -> None:
    text = row("NVIDIA Gra\u0444ik \U0001f525", "9.0")
    result = generate(answers(text), environ={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert result.device["device"] == "cuda"


def test_project_made_beside_a_gpu_trains_without_one(generate: Generate) -> None:
    """Unless this machine has a GPU, of course."""
    project = generate(answers(H100)).project
    done = subprocess.run(
        [sys.executable, "-B", "train.py", "--epochs", "1", "--run", "first", "--no-report"],
        cwd=project,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: ") == 1
    assert "doctor" in done.stderr
    assert (project / "runs/first/metrics.jsonl").read_text("utf-8")


def test_project_made_without_a_gpu_says_beside_one_what_to_type(
    generate: Generate, tmp_path: Path
) -> None:
    project = generate().project
    assert "cpu" in (project / "device.toml").read_text("utf-8")
    write_program(tmp_path / "tools" / "nvidia-smi", answers(H100))
    path = f"{tmp_path / 'tools'}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-B", "-S", "-m", "my_torch_project", "doctor"],
        cwd=project,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "says cpu, but what suits this machine is cuda" in done.stdout
    assert "doctor --write" in done.stdout


def test_hook_leaves_no_trace(generate: Generate) -> None:
    project = generate(ci="none").project
    left = [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert not left
    assert not list(project.rglob("__pycache__"))
    assert not list(project.glob(".*.toml.*"))


def test_broken_device_module_does_not_cost_the_project(rendered: Render, tmp_path: Path) -> None:
    hook = (TEMPLATE / "hooks" / "post_gen_project.py").read_text("utf-8")
    package = next(rendered().glob("*/__init__.py")).parent.name
    (tmp_path / package).mkdir()
    for name, text in (("__init__", ""), ("device", "raise SystemError('broken')")):
        (tmp_path / package / f"{name}.py").write_text(text, "utf-8")
    script = tmp_path / "hook.py"
    script.write_text(hook.replace("{{ cookiecutter.__package }}", package), "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "not looked at" in done.stdout


def test_hook_is_ascii_with_jinja_only_in_strings() -> None:
    hook = (TEMPLATE / "hooks" / "post_gen_project.py").read_bytes()
    assert hook.isascii()
    compile(hook, "hook", "exec")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.binary(max_size=300), code=st.integers(0, 255))
def test_no_bytes_of_a_real_tool_break_detection(
    text: bytes, code: int, rendered: Render, tmp_path: Path
) -> None:
    program = tmp_path / "nvidia-smi"
    write_program(program, RESULTS.format(output=text, code=code))
    modules = load_modules(rendered())
    machine = modules.machine.Machine(environ={"PATH": str(tmp_path)})
    found = modules.device.detect("auto", machine)
    assert found.kind == "cpu"
    tomllib.loads(modules.plan.device_toml(found, modules.plan.make_plan(found)))
