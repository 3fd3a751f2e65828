"""The hook as users meet it: rendered, with real fake programs; and every way to make a project."""

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import CHOICES, PROJECT, TEMPLATE
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import FileSystemLoader
from machines import row

import torch_template_answers
from detection.detect import detect
from detection.machine import Machine
from detection.plan import make_plan
from detection.write import device_toml, write_torch_build

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fake programs are scripts")
INDEX = "https://download.pytorch.org/whl/"
H100 = row("NVIDIA H100 80GB HBM3", "9.0", "580.95.05", "81559")
RESULTS = """\
sys.stdout.buffer.write({output!r})
sys.exit({code})
"""
BUILD_FILES = ("pyproject.toml", "requirements-torch.txt")
EXPLICIT_BUILDS = [build for build in CHOICES["torch_build"] if build != "auto"]


@dataclass
class Result:
    """A project after its hook, what was printed and how long it took."""

    project: Path
    printed: str
    seconds: float

    @property
    def device(self) -> dict[str, object]:
        return tomllib.loads((self.project / "device.toml").read_text("utf-8"))

    @property
    def index(self) -> str | None:
        """The index for uv; the one for pip must be the same."""
        uv = tomllib.loads((self.project / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]
        assert set(uv["sources"]) == {"torch", "torchvision"}
        assert all(index["explicit"] for index in uv["index"])
        places = {index["name"]: index["url"] for index in uv["index"]}
        assert {"torch-cpu", "torch-cu126", "torch-cu130"} <= places.keys()
        urls = [places[f"torch-{group}"] for group in uv["default-groups"] if group != "dev"]
        requirements = (self.project / "requirements-torch.txt").read_text("utf-8")
        assert re.findall(r"^--index-url (.+)$", requirements, re.MULTILINE) == urls
        assert re.search(r"^torch==2\.14\.\d+$", requirements, re.MULTILINE)
        return urls[0].removeprefix(INDEX) if urls else None


def rendered_text(path: Path, **answers: str) -> str:
    """One file of the template as cookiecutter renders it; much faster than a whole project."""
    context = generate_context(str(TEMPLATE / "cookiecutter.json"), extra_context=answers)
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    environment = create_env_with_context(context)
    environment.loader = FileSystemLoader([PROJECT, TEMPLATE / "templates"])
    text: str = environment.from_string(path.read_text("utf-8")).render(**context)
    return text


def write_build_files(folder: Path, **answers: str) -> Path:
    """A project's folder with the files that the hook changes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in BUILD_FILES:
        (folder / name).write_text(rendered_text(PROJECT / name, **answers), "utf-8")
    return folder


def build_files(folder: Path) -> list[str]:
    return [(folder / name).read_text("utf-8") for name in BUILD_FILES]


def named_build(folder: Path) -> str:
    """The group that pyproject.toml names as the default beside `dev`; pypi where there is none."""
    groups = tomllib.loads(build_files(folder)[0])["tool"]["uv"]["default-groups"]
    assert groups[0] == "dev" and len(groups) <= 2
    return str([*groups, "pypi"][1])


def clean_environment(tools: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without its requests for builds, and with fake programs first on PATH."""
    hidden = {"TORCH_BACKEND", "UV_TORCH_BACKEND", "CUDA_VISIBLE_DEVICES", "PYTHONPATH"}
    inherited = {key: value for key, value in os.environ.items() if key not in hidden}
    path = f"{tools}{os.pathsep}{inherited.get('PATH', '')}"
    return inherited | {"PATH": path} | dict(more or {})


def run(*command: str, cwd: Path, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


Generate = Callable[..., Result]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder that is first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


@pytest.fixture
def hook(tmp_path: Path, tools: Path) -> Generate:
    """`hook(smi="code of a fake nvidia-smi", environ={}, **answers)`: only the hook runs."""

    def run_hook(smi: str = "", environ: dict[str, str] | None = None, **answers: str) -> Result:
        project = write_build_files(tmp_path / "out" / "my-torch-project", **answers)
        torch_template_answers.RENDERED.update(BUILD_FILES)  # as if cookiecutter had written them
        script = tmp_path / "hook.py"
        script.write_text(rendered_hook(TEMPLATE, **answers), "utf-8")
        if smi:
            write_program(tools / "nvidia-smi", smi)
        start = time.monotonic()
        command = (sys.executable, str(script))
        printed = run(*command, cwd=project, environ=clean_environment(tools, environ))
        return Result(project, printed, time.monotonic() - start)

    return run_hook


def rendered_hook(template: Path, **answers: str) -> str:
    before = Path.cwd()
    os.chdir(template)  # as cookiecutter does
    try:
        return rendered_text(TEMPLATE / "hooks" / "post_gen_project.py", **answers)
    finally:
        os.chdir(before)


@pytest.fixture
def generate(tmp_path: Path, tools: Path, config_file: Path) -> Generate:
    """`generate(smi="...", environ={}, options=[], **answers)`: the real cookiecutter."""

    def run_cookiecutter(
        smi: str = "",
        environ: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        template: str = str(TEMPLATE),
        **answers: str,
    ) -> Result:
        if smi:
            write_program(tools / "nvidia-smi", smi)
        command = [sys.executable, "-m", "cookiecutter", template, "--no-input"]
        command += ["--config-file", str(config_file), "-o", str(tmp_path / "out"), *options]
        command += [f"{name}={value}" for name, value in answers.items()]
        start = time.monotonic()
        printed = run(*command, cwd=tmp_path, environ=clean_environment(tools, environ))
        (project,) = (tmp_path / "out").iterdir()
        return Result(project, printed, time.monotonic() - start)

    return run_cookiecutter


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


def test_old_gpu_gets_the_build_that_has_kernels_for_it(hook: Generate) -> None:
    result = hook(answers(row("NVIDIA GeForce GTX 1080 Ti", "6.1", "580.95.05")))
    assert result.index == "cu126"
    assert (result.device["device"], result.device["precision"]) == ("cuda", "fp32")


def test_old_driver_gets_the_build_that_it_can_run(hook: Generate) -> None:
    assert hook(answers(row("NVIDIA A100", "8.0", "535.104.05"))).index == "cu126"


def test_very_old_driver_is_told_what_to_do(hook: Generate) -> None:
    result = hook(answers(row("NVIDIA GeForce RTX 5090", "12.0", "570.86.10")))
    assert (result.index, result.device["device"]) == ("cpu", "cpu")
    assert "update the driver to 580" in result.printed


def test_driver_that_does_not_know_compute_cap_is_asked_again(hook: Generate) -> None:
    unknown = answers('Field "compute_cap" is not a valid field to query.\n', 2)
    known = answers(row(driver="525.60.13").replace(", 8.9", ""))
    branches = "\n".join(
        f"if {'not ' * negated}('compute_cap' in sys.argv[1]):\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        for negated, code in ((False, unknown), (True, known))
    )
    result = hook(branches)
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
    code: str, said: str, hook: Generate
) -> None:
    result = hook(code)
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
    "an unknown build": (
        H100,
        0,
        {"TORCH_BACKEND": "cu999"},
        (None, "cuda", "bf16"),
        "cu999 is ignored",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_machine_gets_what_suits_it(name: str, hook: Generate) -> None:
    text, code, environ, expected, words = MACHINES[name]
    result = hook(answers(text, code), environ=environ)
    assert (result.index, result.device["device"], result.device["precision"]) == expected
    assert words in result.printed


def test_lost_gpu_does_not_hide_the_others(hook: Generate) -> None:
    result = hook(answers(H100 + "Unable to determine the device handle: GPU is lost.\n", 15))
    assert result.device["device"] == "cuda"
    assert "restart" in result.printed


def test_tool_that_hangs_costs_its_limit_and_no_more(hook: Generate) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\ntime.sleep(60)"
    result = hook(stubborn)
    assert (result.index, result.device["device"]) == ("cpu", "cpu")
    assert "did not answer" in result.printed
    assert 10 <= result.seconds < 16


def test_grandchild_that_keeps_the_output_open_costs_nothing(hook: Generate) -> None:
    result = hook(f"if os.fork() == 0:\n    time.sleep(8)\n    sys.exit()\n{answers(H100)}")
    assert result.device["device"] == "cuda"
    assert result.seconds < 8


def test_hidden_gpus_are_left_alone(hook: Generate) -> None:
    result = hook(answers(H100), environ={"CUDA_VISIBLE_DEVICES": "-1"})
    assert (result.index, result.device["device"]) == ("cpu", "cpu")


@pytest.mark.parametrize("name", ["TORCH_BACKEND", "UV_TORCH_BACKEND"])
def test_environment_names_the_build(name: str, hook: Generate) -> None:
    assert hook(answers(H100), environ={name: "cu132"}).index == "cu132"


@pytest.mark.parametrize("task", CHOICES["task"])
def test_hook_writes_what_the_explicit_answer_would(task: str, tmp_path: Path) -> None:
    explicit = {
        build: write_build_files(tmp_path / build, torch_build=build, task=task)
        for build in EXPLICIT_BUILDS
    }
    project = write_build_files(tmp_path / "project", task=task)
    for build in [*EXPLICIT_BUILDS, *reversed(EXPLICIT_BUILDS)]:
        assert write_torch_build(project, None if build == "pypi" else INDEX + build)
        assert build_files(project) == build_files(explicit[build])
        assert named_build(project) == build


@pytest.mark.parametrize("build", EXPLICIT_BUILDS)
def test_explicit_answer_needs_no_hook(build: str, hook: Generate, tmp_path: Path) -> None:
    without_hook = write_build_files(tmp_path / "without", torch_build=build)
    result = hook(answers(H100), torch_build=build)
    assert build_files(without_hook) == build_files(result.project)
    assert result.index == (None if build == "pypi" else build)


def test_refused_hook_leaves_the_project_but_no_device_toml(generate: Generate) -> None:
    refused = generate(options=("--accept-hooks", "no"), torch_build="cu126")
    assert not (refused.project / "device.toml").exists()
    assert refused.index == "cu126"


@pytest.mark.parametrize(("build", "triton"), [("rocm7.2", "triton-rocm"), ("xpu", "triton-xpu")])
def test_build_that_names_its_own_triton_can_be_left_again(
    build: str, triton: str, tmp_path: Path
) -> None:
    project = write_build_files(tmp_path / "project", torch_build="cpu")
    before = build_files(project)
    assert write_torch_build(project, INDEX + build)
    group = named_build(project)
    assert build.startswith(group)
    settings = tomllib.loads(build_files(project)[0])
    needs = [need for need in settings["dependency-groups"][group] if triton in need]
    (source,) = settings["tool"]["uv"]["sources"][triton]
    assert [source["marker"]] == [need.partition("; ")[2] for need in needs]
    assert source in settings["tool"]["uv"]["sources"]["torch"]
    assert write_torch_build(project, INDEX + "cpu")
    assert build_files(project) == before


@pytest.mark.parametrize("task", CHOICES["task"])
def test_pip_gets_torchvision_where_the_project_needs_it(task: str) -> None:
    pyproject, requirements = (rendered_text(PROJECT / name, task=task) for name in BUILD_FILES)
    needs = tomllib.loads(pyproject)["project"]["dependencies"]
    wanted = {re.split("[<>=]", need)[0] for need in needs}
    pinned = re.findall(r"^(\w+)==", requirements, re.MULTILINE)
    assert set(pinned) == wanted & {"torch", "torchvision"}


@pytest.mark.parametrize("name", BUILD_FILES)
def test_edited_project_keeps_its_files(name: str, tmp_path: Path) -> None:
    project = write_build_files(tmp_path / "project")
    (project / name).write_text("[project]\n", "utf-8")
    before = build_files(project)
    assert not write_torch_build(project, INDEX + "cpu")
    assert build_files(project) == before


def test_what_the_user_asked_to_keep_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", "."]
    environ = os.environ | {"HOME": str(tmp_path)}
    run(*command, cwd=tmp_path, environ=environ)
    project = tmp_path / "my-torch-project"
    edited = {"device.toml": 'device = "auto"\n'}
    for name in BUILD_FILES:
        text = (project / name).read_text("utf-8")
        edited[name] = re.sub("torch build: .*", "torch build: cu126", text) + "# mine\n"
    for name, text in edited.items():
        (project / name).write_text(text, "utf-8")
    (project / "README.md").unlink()
    printed = run(*command, "-f", "-s", cwd=tmp_path, environ=environ)
    assert {name: (project / name).read_text("utf-8") for name in edited} == edited
    assert (project / "README.md").exists() and "were kept" in printed
    printed = run(*command, "-f", cwd=tmp_path, environ=environ)
    assert "# mine" not in (project / "pyproject.toml").read_text("utf-8")
    assert "were kept" not in printed


def test_empty_path_and_locked_home_are_no_obstacle(generate: Generate, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    places = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    result = generate(environ={"PATH": "", **places})
    assert result.index == "cpu"
    assert result.device["device"] == "cpu"
    home.chmod(0o700)
    assert not list(home.iterdir())


def test_terminal_without_unicode_is_no_obstacle(hook: Generate) -> None:
    text = row("NVIDIA Gra\u0444ik \U0001f525", "9.0")
    result = hook(answers(text), environ={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
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


def test_hook_leaves_no_trace(generate: Generate) -> None:
    project = generate(ci="none").project
    left = [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert not left
    assert not list(project.rglob("__pycache__"))
    assert not list(project.glob(".*.toml.*"))


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "missing"])
def test_detection_that_fails_does_not_cost_the_project(broken: bool, tmp_path: Path) -> None:
    if broken:
        (tmp_path / "detection").mkdir()
        (tmp_path / "detection" / "__init__.py").write_text("raise SystemError('broken')", "utf-8")
    text = (TEMPLATE / "hooks" / "post_gen_project.py").read_text("utf-8")
    script = tmp_path / "hook.py"
    script.write_text(text.replace("{{ template_folder() }}", str(tmp_path)), "utf-8")
    command = (sys.executable, "-P", str(script))
    printed = run(*command, cwd=tmp_path, environ=clean_environment(tmp_path))
    assert "not looked at" in printed
    assert "uv run train.py" in printed


def test_hook_is_ascii_with_jinja_only_in_strings() -> None:
    hook = (TEMPLATE / "hooks" / "post_gen_project.py").read_bytes()
    assert hook.isascii()
    compile(hook, "hook", "exec")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.binary(max_size=300), code=st.integers(0, 255))
def test_no_bytes_of_a_real_tool_break_detection(text: bytes, code: int, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    write_program(program, RESULTS.format(output=text, code=code))
    found = detect("auto", Machine(environ={"PATH": str(tmp_path)}))
    assert found.kind == "cpu"
    tomllib.loads(device_toml(found, make_plan(found), "package"))


# --- where the template may be ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "a 'b\" c",
        "back\\slash\\",
        "\ud15c\ud50c\ub9bf \U0001f525",
        "a\nb",
        "{{ x }}",
        "\udcff",
    ],
)
def test_every_folder_name_can_stand_in_the_hook(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    try:
        (folder / "detection").mkdir(parents=True)
    except OSError:
        pytest.skip("no such name here")
    monkeypatch.chdir(folder)
    literal = torch_template_answers.template_folder()
    assert literal.isascii() and literal.isprintable()
    assert ast.literal_eval(f'"{literal}"') == str(folder)


def test_template_is_found_beside_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert torch_template_answers.template_folder() == TEMPLATE.as_posix()


def test_installed_module_is_all_that_cruft_needs() -> None:
    settings = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))
    (module,) = settings["tool"]["hatch"]["build"]["only-include"]
    assert module == f"{torch_template_answers.__name__}.py"
    assert settings["project"]["dependencies"] == ["cookiecutter>=2.7,<3"]


ODD = "a 'template\" \ud15c\ud50c\ub9bf"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the template, in git, in a folder with an odd name."""
    folder = tmp_path / "copy" / ODD
    folder.mkdir(parents=True)
    names = ("detection", "hooks", "templates", PROJECT.name)
    for name in names:
        shutil.copytree(
            TEMPLATE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
        )
    for name in ("cookiecutter.json", "torch_template_answers.py"):
        shutil.copy(TEMPLATE / name, folder)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "Next")):
        run("git", *identity, *command, cwd=folder, environ=os.environ)


def assert_only_cookiecutters_own_bytecode(template: Path) -> None:
    """Cookiecutter imports the module of the answers, as Python does."""
    left = {path.name.partition(".")[0] for path in template.rglob("*.pyc")}
    assert left <= {"torch_template_answers"}


def sources(template: Path) -> dict[str, str]:
    """What users may give to cookiecutter."""
    archive = shutil.make_archive(
        str(template.parent / "archive"), "zip", template.parent, template.name
    )
    return {"folder": str(template), "zip": archive, "git": f"git+file://{template}"}


def test_hook_finds_detection_wherever_cookiecutter_has_the_template(
    copied: Path, generate: Generate, tmp_path: Path, config_file: Path
) -> None:
    """The clone and the unpacked archive are in folders with odd names too."""
    temporary = tmp_path / ODD
    temporary.mkdir()
    environ = {"PYTHONDONTWRITEBYTECODE": "", "TMPDIR": str(temporary)}
    for source, template in sources(copied).items():
        result = generate(answers(H100), environ, template=template, ci="none")
        assert result.device["device"] == "cuda", source
        assert result.index is None
        assert "NVIDIA H100" in result.printed
        shutil.rmtree(result.project)
    (clone,) = (config_file.parent / "cookiecutters").iterdir()
    for folder in (copied, clone, temporary):
        assert_only_cookiecutters_own_bytecode(folder)


def test_cruft_creates_and_updates_a_project(copied: Path, tmp_path: Path, tools: Path) -> None:
    write_program(tools / "nvidia-smi", answers(H100))
    temporary = tmp_path / ODD
    temporary.mkdir()
    environ = clean_environment(tools, {"PYTHONPATH": str(copied)})
    cruft = (sys.executable, "-m", "cruft")
    odd = environ | {"TMPDIR": str(temporary)}
    printed = run(*cruft, "create", str(copied), "--no-input", cwd=tmp_path, environ=odd)
    project = tmp_path / "my-torch-project"
    assert "NVIDIA H100" in printed
    before = (project / "device.toml").read_text("utf-8")
    assert 'device = "cuda"' in before
    commit(project)

    for path, old, new in (
        (copied / PROJECT.name / ".editorconfig", "root = true", "root = true\n# New"),
        (copied / "detection" / "write.py", "# Defaults for", "# New defaults for"),
    ):
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), "utf-8")
    commit(copied)
    printed = run(*cruft, "update", "-y", cwd=project, environ=environ)
    changed = run("git", "diff", "--name-only", "HEAD", cwd=project, environ=environ).split()
    assert changed == [".cruft.json", ".editorconfig"]
    assert "# New" in (project / ".editorconfig").read_text("utf-8")
    assert (project / "device.toml").read_text("utf-8") == before
    assert "Failed" not in printed
