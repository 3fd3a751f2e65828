"""What real uv and real pip install of a project's torch build, from an index of empty wheels."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHOICES, PROJECT, Render
from uv import find_uv_bin
from wheels import Index, make_certificate, served, torch_index

from detection.write import write_torch_build

ADDRESS = "https://download.pytorch.org"
BUILDS = ["pypi", "cpu", "cu126", "cu130", "cu132", "rocm7.2", "xpu"]
GROUPS = ["cpu", "cu126", "cu130"]  # in every project
# uv's name of the platform: the ending of its wheels' names
PLATFORMS = {
    "x86_64-unknown-linux-gnu": "x86_64.whl",
    "aarch64-unknown-linux-gnu": "aarch64.whl",
    "x86_64-pc-windows-msvc": "win_amd64.whl",
    "aarch64-apple-darwin": "macosx_14_0_arm64.whl",
}
Environment = dict[str, str]


@pytest.fixture(scope="module")
def index() -> Index:
    templates = PROJECT.parent / "templates"
    lists = [PROJECT / "pyproject.toml", *templates.glob("*/dependencies.txt")]
    lists += templates.glob("*/extras.txt")
    text = "".join(path.read_text("utf-8") for path in lists)
    return torch_index(re.findall(r'^(?: +|(?!requires)\w+ = \[)"([\w-]+>=[\d.,<]+)"', text, re.M))


@pytest.fixture(scope="module")
def server(index: Index) -> Iterator[str]:
    with served(index) as address:
        yield address


@pytest.fixture(scope="module")
def environment(server: str, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Nothing of this machine's settings, no registry but ours."""
    home = str(tmp_path_factory.mktemp("home"))
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.upper().startswith(("PIP_", "UV_", "VIRTUAL_ENV", "CONDA"))
        and not key.lower().endswith("_proxy")
    }
    return ours | {
        **dict.fromkeys(("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"), home),
        **{"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{server}/simple", "NO_PROXY": "*"},
        **{"UV_CACHE_DIR": f"{home}/cache", "UV_DEFAULT_INDEX": f"{server}/simple"},
        **{"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"},
    }


Project = Callable[..., Path]


@pytest.fixture(scope="module")
def project(render: Render, server: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`project(build)`: with that build, whose index is ours; tests share it."""

    @cache
    def make(build: str, task: str = "image_classification") -> Path:
        offered = build in CHOICES["torch_build"]
        answers = {"torch_build": build if offered else "pypi", "task": task}
        folder = render(tmp_path_factory.mktemp("resolved"), **answers)
        if not offered:
            assert write_torch_build(folder, f"{ADDRESS}/whl/{build}")
        for name in ("pyproject.toml", "requirements-torch.txt", "requirements-torch-cpu.txt"):
            text = (folder / name).read_text("utf-8").replace(ADDRESS, server)
            (folder / name).write_text(text, "utf-8")
        return folder

    return make


def run(folder: Path, environment: Environment, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


Locked = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def locked(project: Project, environment: Environment) -> Callable[[str], Locked]:
    """`locked(build)`: the project and the packages in its uv.lock."""

    @cache
    def lock(build: str) -> Locked:
        folder = project(build)
        run(folder, environment, find_uv_bin(), "lock", "--no-progress")
        return folder, tomllib.loads((folder / "uv.lock").read_text("utf-8"))["package"]

    return lock


def synced(folder: Path, environment: Environment, platform: str, *groups: str) -> dict[str, str]:
    """What `uv sync` would install there from the lock: name -> version."""
    command = ["sync", "--frozen", "--dry-run", "--python-platform", platform]
    command += ["--no-default-groups"] * bool(groups)
    command += [f"--group={group}" for group in groups]
    ours = environment | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    done = subprocess.run(
        [find_uv_bin(), *command], cwd=folder, env=ours, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^ \+ (\S+)==(\S+)$", done.stderr, re.MULTILINE))


def newest(build: str) -> str:
    """The newest torch in its index."""
    return "2.15.0" if build in ("pypi", "cpu", "cu130", "cu132") else "2.14.1"


def local_version(build: str, platform: str) -> str:
    """What stands behind the + in the versions of this build there; empty: it is the registry's."""
    places = {"pypi": "", "rocm7.2": "x86_64-unknown-linux", "xpu": "x86_64"}
    prefix = places.get(build, ("x86_64", "aarch64-unknown"))
    return f"+{build}" if prefix and platform.startswith(prefix) else ""


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("build", BUILDS)
def test_uv_takes_the_build_on_every_platform(
    build: str,
    platform: str,
    locked: Callable[[str], Locked],
    environment: Environment,
    server: str,
) -> None:
    folder, packages = locked(build)
    local = local_version(build, platform)
    installed = synced(folder, environment, platform)
    place = f"{server}/whl/{build}" if local else f"{server}/simple"
    torch = newest(build if local or build == "cu126" else "pypi")
    for name, version in (("torch", f"{torch}{local}"), ("torchvision", f"0.29.2{local}")):
        assert installed[name] == version
        sources = {"registry": place}
        (package,) = (
            p
            for p in packages
            if (p["name"], p["version"], p["source"]) == (name, version, sources)
        )
        assert any(wheel["url"].endswith(PLATFORMS[platform]) for wheel in package["wheels"])
    assert "pytest" in installed


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("default", ["pypi", "cu126"])
def test_one_lock_serves_machines_with_every_build(
    default: str, platform: str, locked: Callable[[str], Locked], environment: Environment
) -> None:
    folder, _ = locked(default)
    for group in GROUPS:
        installed = synced(folder, environment, platform, "dev", group)
        local = local_version(group, platform)
        versions = [installed[name] for name in ("torch", "torchvision")]
        assert versions == [f"{newest(group)}{local}", f"0.29.2{local}"]
    assert synced(folder, environment, platform, "dev")["torch"] == newest("pypi")


@pytest.mark.parametrize("task", CHOICES["task"])
def test_the_group_cu126_alone_is_bounded_at_its_last_torch(task: str, project: Project) -> None:
    text = (project("pypi", task) / "pyproject.toml").read_text("utf-8")
    groups = tomllib.loads(text)["dependency-groups"]
    assert groups["cu126"][0] == "torch<2.15" and groups["cpu"][0] == groups["cu130"][0] == "torch"
    assert groups["cu126"][1:] == groups["cpu"][1:] == groups["cu130"][1:]


def test_the_default_is_all_in_which_locks_differ(locked: Callable[[str], Locked]) -> None:
    texts = [(locked(build)[0] / "uv.lock").read_text("utf-8") for build in ("pypi", *GROUPS)]
    assert len(set(texts)) == len(texts)
    assert len({re.sub("default-groups = .*\n", "", text) for text in texts}) == 1


def test_two_builds_at_once_are_refused(
    locked: Callable[[str], Locked], environment: Environment
) -> None:
    with pytest.raises(AssertionError, match="incompatible"):
        synced(locked("pypi")[0], environment, "x86_64-unknown-linux-gnu", "cpu", "cu126")


def test_registry_alone_will_do(
    project: Project, environment: Environment, index: Index, tmp_path: Path
) -> None:
    folder = copy_of(project("cu126"), tmp_path)
    readme = (folder / "README.md").read_text("utf-8")
    (switch,) = re.findall("`(UV_NO_SOURCES)=1`", readme)
    index.asked.clear()
    run(folder, environment | {switch: "1"}, find_uv_bin(), "lock", "--no-cache")
    assert index.asked and not [path for path in index.asked if path.startswith("/whl/")]


@pytest.mark.parametrize("build", BUILDS)
def test_nothing_is_newer_than_its_bound(build: str, locked: Callable[[str], Locked]) -> None:
    folder, packages = locked(build)
    settings = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    wanted = settings["project"]["dependencies"] + settings["dependency-groups"]["dev"]
    bounds = dict(re.findall(r"^([\w-]+)>=.*,<([\d.]+)", "\n".join(wanted), re.MULTILINE))
    assert len(bounds) == len(wanted)
    for package in packages:
        if package["name"] in bounds:
            assert numbers(package["version"]) < numbers(bounds[package["name"]])


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.partition("+")[0].split(".")))


def pip(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac's torch is not in these indexes")
@pytest.mark.parametrize(
    ("build", "task"),
    [
        *((build, "image_classification") for build in BUILDS[:-2]),
        ("cu126", "tabular_regression"),
    ],
)
def test_pip_takes_the_build(
    build: str, task: str, project: Project, environment: Environment, server: str
) -> None:
    options = ["--dry-run", "--quiet", "--ignore-installed", "--only-binary", ":all:"]
    options += ["--report", "-", "-r", "requirements-torch.txt"]
    report = json.loads(run(project(build, task), environment, *pip("install", *options)))
    taken = {item["metadata"]["name"]: item for item in report["install"]}
    expected = {"torch": "2.14.1", "torchvision": "0.29.1"}
    assert ("torchvision" in taken) == (task == "image_classification")
    for name in expected.keys() & taken.keys():
        local = "" if build == "pypi" else f"+{build}"
        assert taken[name]["metadata"]["version"] == expected[name] + local
        place = "simple" if build == "pypi" else f"whl/{build}"
        assert taken[name]["download_info"]["url"].startswith(f"{server}/{place}/")


# --- a team in which not everybody has a GPU ----------------------------------------------------


@pytest.fixture(scope="module")
def team(
    index: Index, environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """An environment in which https://download.pytorch.org is our index."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    certificate = make_certificate(tmp_path_factory.mktemp("certificates"))
    authority = str(certificate.with_name("authority.pem"))
    certificates = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), authority)
    with served(index, certificate) as proxy:
        ours = environment | certificates | {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
        del ours["UV_PYTHON"]  # uv pip would install into it
        yield ours


def commands(folder: Path, first: str) -> list[list[str]]:
    """The commands of the README's block that begins with ``first``."""
    text = (folder / "README.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    (block,) = (block for block in blocks if block.startswith(first))
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "project"))


def scripts(environment: Path) -> Path:
    return environment / ("Scripts" if sys.platform == "win32" else "bin")


VERSIONS = """
from importlib.metadata import version
print(version("torch"), version("torchvision"), version("tyro"))
"""
CPU_LOCAL = "" if sys.platform == "darwin" else "+cpu"


@pytest.mark.parametrize("build", ["pypi", "cu126", "cpu"])
def test_colleague_without_a_gpu_types_one_command_once(
    build: str, project: Project, team: Environment, tmp_path: Path, index: Index
) -> None:
    folder = copy_of(project(build), tmp_path)
    python = ["--python", sys.executable]
    run(folder, team, find_uv_bin(), "lock", *python)
    lock = (folder / "uv.lock").read_bytes()
    ((uv, *command),) = commands(folder, "uv sync --no-default-groups")
    assert uv == "uv"
    run(folder, team, find_uv_bin(), *command, *python)
    seen = run(folder, team, str(scripts(folder / ".venv") / "python"), "-c", VERSIONS)
    assert seen.split()[:2] == [f"2.15.0{CPU_LOCAL}", f"0.29.2{CPU_LOCAL}"]
    assert (folder / "uv.lock").read_bytes() == lock
    assert index.strangers == []


@pytest.mark.parametrize("ci", [".github/workflows/ci.yml", ".gitlab-ci.yml"])
def test_ci_types_what_a_colleague_without_a_gpu_types(
    ci: str, render: Render, tmp_path: Path
) -> None:
    folder = render(tmp_path, ci="gitlab" if "gitlab" in ci else "github")
    (command,) = commands(folder, "uv sync --no-default-groups")
    assert shlex.join(command) in (folder / ci).read_text("utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="types what the jobs type on Linux")
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_ci_looks_every_week_at_what_newer_packages_break(
    ci: str, render: Render, tmp_path: Path, environment: Environment, server: str
) -> None:
    folder = render(tmp_path, ci=ci)
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text("utf-8").replace(ADDRESS, server), "utf-8")
    name = ".gitlab-ci.yml" if ci == "gitlab" else ".github/workflows/ci.yml"
    jobs = yaml.safe_load((folder / name).read_text("utf-8"))
    if ci == "github":
        steps = jobs["jobs"]["newest"]["steps"]
        lines = [step["run"] for step in steps if "run" in step]
    else:
        lines = jobs["newest"]["script"]
    lift, sync, *_ = lines
    run(folder, environment, "sh", "-c", lift)
    assert sync.startswith("uv sync --upgrade ")
    run(folder, environment, find_uv_bin(), *shlex.split(sync)[1:], "--no-progress")
    installed = run(folder, environment, find_uv_bin(), "pip", "list", "--python", ".venv")
    versions = dict(re.findall(r"^(\S+) +(\S+)", installed, re.MULTILINE))
    assert versions["tyro"] == "2" and versions["pytest"] == "10"  # the first forbidden ones
    assert versions["torch"] == "2.15.0+cpu" and versions["torchvision"] == "0.30.0+cpu"


@pytest.mark.parametrize(
    ("first", "local"),
    [
        ("python -m pip install -r requirements-torch-cpu.txt", CPU_LOCAL),
        ("python -m pip install -r requirements-torch.txt", "+cu126"),
    ],
    ids=["small build", "project's build"],
)
def test_pip_does_not_replace_the_build_that_was_installed_first(
    first: str, local: str, project: Project, team: Environment, tmp_path: Path
) -> None:
    if local == "+cu126" and sys.platform == "darwin":
        pytest.skip("a Mac's torch is not in this index")
    folder = copy_of(project("cu126"), tmp_path)
    venv.create(folder / ".venv")
    python = str(scripts(folder / ".venv") / "python")
    for command in commands(folder, first):
        if command == ["python", "train.py"]:
            break
        assert command[:3] == ["python", "-m", "pip"]
        run(folder, team, *pip("--python", python, *command[3:]))
    seen = run(folder, team, python, "-c", VERSIONS).split()
    assert seen[:2] == [f"2.14.1{local}", f"0.29.1{local}"]
    assert len(seen) == 3


def test_both_files_for_pip_pin_the_same(project: Project) -> None:
    for task in CHOICES["task"]:
        folder = project("pypi", task)
        names = ("requirements-torch.txt", "requirements-torch-cpu.txt")
        texts = [(folder / name).read_text("utf-8") for name in names]
        pins, of_cpu = (re.findall("^.*==.*$", text, re.MULTILINE) for text in texts)
        assert pins == of_cpu != []
        assert pins[0] in (folder / "README.md").read_text("utf-8")
