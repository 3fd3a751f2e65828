"""Which builds of torch exist, what GPUs and drivers they need, and where a project names its own.

``python -m PACKAGE.torch_build cu130`` (with the name of this package) changes the project's.
Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.

The table is of 2026-11-23. Sources: CODE_CC and architecture strings in the 2.14.1 wheels
(``torch.cuda.PYTORCH_RELEASES_CODE_CC``), pytorch's RELEASE.md, PyPI, NVIDIA's page "CUDA minor
version compatibility", and uv 0.13.9 for drivers and AMD's architectures.
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TypedDict

TORCH = ">=2.14,<2.15"
"""The upper bound is needed: 2.15 has no build for GPUs and drivers that need cu126."""
INDEX = "https://download.pytorch.org/whl/"

Capability = tuple[int, int]
"""Compute capability of an NVIDIA GPU: (8, 9) is an RTX 4090."""


@dataclass(frozen=True)
class Build:
    """One build of torch: what it runs on."""

    name: str
    _: KW_ONLY
    x86_64: tuple[Capability, ...] = ()
    aarch64: tuple[Capability, ...] = ()
    linux_driver: str = ""
    """The oldest NVIDIA driver that will do."""
    windows_driver: str = ""
    cuda: Capability = (0, 0)
    """Where only the driver's CUDA version is known: the oldest that will do."""
    gfx: tuple[str, ...] = ()
    """AMD's architectures."""
    pypi_on: tuple[str, ...] = ()
    """Systems on which PyPI has this very build, so that no index is needed."""

    def driver(self, windows: bool) -> str:
        """The oldest driver that will do."""
        return self.windows_driver if windows else self.linux_driver


class _Cuda(TypedDict):
    x86_64: tuple[Capability, ...]
    aarch64: tuple[Capability, ...]
    linux_driver: str
    windows_driver: str
    cuda: Capability


_CUDA_13 = _Cuda(
    x86_64=((7, 5), (8, 0), (8, 6), (9, 0), (10, 0), (12, 0)),
    aarch64=((8, 0), (9, 0), (10, 0), (11, 0), (12, 0)),
    linux_driver="580",
    windows_driver="580",
    cuda=(13, 0),
)

BUILDS = {
    build.name: build
    for build in (
        Build("cpu", pypi_on=("Windows", "Darwin")),
        Build(
            "cu126",
            x86_64=((5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0)),
            aarch64=((8, 0), (9, 0)),
            linux_driver="525.60.13",
            windows_driver="528.33",
            cuda=(12, 0),
        ),
        Build("cu130", **_CUDA_13, pypi_on=("Linux",)),
        Build("cu132", **_CUDA_13),
        Build(
            "rocm7.2",
            gfx=(
                *("gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030"),
                *("gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151", "gfx1200", "gfx1201"),
            ),
        ),
        Build("xpu"),
    )
}
OFFERED = ("auto", "pypi", "cpu", "cu126", "cu130", "cu132")
"""The answers to the template's question. An AMD GPU is found; Intel's is asked for by
``TORCH_BACKEND=xpu``, because torch supports few of them and cannot be asked yet."""

# Small boards have an architecture number of their own, which ordinary builds do not serve ...
TEGRA = {(5, 3), (6, 2), (7, 2), (8, 7)}
# ... except that from CUDA 13.2 on, code for 8.0 runs on Orin.
TEGRA_BUILDS = {(8, 7): "cu132"}

PYPI_BLOCK = """\
# >>> torch build: pypi
# torch comes from PyPI: with CUDA 13.0 on Linux, for the CPU on Windows and macOS.
# <<< torch build
"""
INDEX_BLOCK = """\
# >>> torch build: BUILD
# torch comes from pytorch.org's index on Linux and Windows, on macOS from PyPI.
[tool.uv.sources]
torch = [{ index = "pytorch", marker = "sys_platform == 'linux' or sys_platform == 'win32'" }]
torchvision = [{ index = "pytorch", marker = "sys_platform == 'linux' or sys_platform == 'win32'" }]

[[tool.uv.index]]
name = "pytorch"
url = "https://download.pytorch.org/whl/BUILD"
explicit = true
# <<< torch build
"""
_MARKER = "sys_platform == 'linux' or sys_platform == 'win32'"
_LINUX_X86 = "sys_platform == 'linux' and platform_machine == 'x86_64'"
# Builds for few platforms: their words for them, their marker, and their Triton, which is a package
# that must be named, or uv looks for it on PyPI.
_SPECIAL = {
    "rocm7.2": ("Linux x86_64", _LINUX_X86, "triton-rocm>=3.8,<3.9"),
    "xpu": ("Linux x86_64 and Windows", f"{_LINUX_X86} or sys_platform == 'win32'", "triton-xpu<4"),
}


def pypi_build(system: str) -> Build:
    """The build that PyPI has for this system."""
    return next((build for build in BUILDS.values() if system in build.pypi_on), BUILDS["cpu"])


def covers(build: Build, capability: Capability, machine: str) -> bool:
    """Whether the build has code for this GPU: same major version, same or lower minor one."""
    if capability in TEGRA:
        return machine == "aarch64" and TEGRA_BUILDS.get(capability) == build.name
    codes = build.aarch64 if machine.lower() in ("aarch64", "arm64") else build.x86_64
    return any(major == capability[0] and minor <= capability[1] for major, minor in codes)


def version_numbers(text: str) -> tuple[int, ...]:
    """580.65.06 as (580, 65, 6), which compares as versions do."""
    return tuple(int(number) for number in re.findall(r"\d+", text))


def project_build(project: Path) -> str:
    """The build that a project names in its pyproject.toml; pypi if none."""
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r"^# >>> torch build: (\S+)", text, re.MULTILINE)
    return match[1] if match else "pypi"


def write_torch_build(project: Path, index_url: str | None) -> bool:
    """Name the build in the project's pyproject.toml (for uv) and requirements-torch.txt (for pip).

    Args:
        project: the project's folder.
        index_url: where the build is; None for PyPI.

    Returns:
        Whether there was a place for it in both files; if not, nothing is written.
    """
    build = index_url.removeprefix(INDEX) if index_url else "pypi"
    pyproject, requirements = project / "pyproject.toml", project / "requirements-torch.txt"
    for_uv = _with_build(pyproject.read_text(encoding="utf-8"), build)
    for_pip = _with_index(requirements.read_text(encoding="utf-8"), index_url)
    if for_uv is None or for_pip is None:
        return False
    write_text(pyproject, for_uv)
    write_text(requirements, for_pip)
    return True


def _with_build(text: str, build: str) -> str | None:
    block = PYPI_BLOCK if build == "pypi" else INDEX_BLOCK.replace("BUILD", build)
    text = re.sub(r'^ *"triton-.*\n', "", text, flags=re.MULTILINE)
    if build in _SPECIAL:
        where, marker, triton = _SPECIAL[build]
        name = re.split("[<>]", triton)[0]
        block = block.replace("on Linux and Windows, on macOS", f"on {where}, elsewhere")
        block = block.replace(_MARKER, marker)
        block = re.sub(r"^torch( = .*\n)", rf"torch\1{name}\1", block, flags=re.MULTILINE)
        line = f'  "{triton}; {marker}",\n'
        text = re.sub(r'^ *"torch[<>=].*\n', rf"\g<0>{line}", text, flags=re.MULTILINE)
    pattern = re.compile(r"^# >>> torch build:.*?^# <<< torch build\n", re.MULTILINE | re.DOTALL)
    return pattern.sub(lambda _: block, text, count=1) if pattern.search(text) else None


def _with_index(text: str, index_url: str | None) -> str | None:
    lines = [line for line in text.splitlines() if not line.startswith("--index-url")]
    torch = next((number for number, line in enumerate(lines) if line.startswith("torch==")), None)
    if torch is None:
        return None
    if index_url:
        lines.insert(torch, f"--index-url {index_url}")
    return "\n".join(lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """Change the build of this project."""
    builds = ["pypi", *BUILDS]
    if len(arguments) != 1 or arguments[0] not in builds:
        print(f"Name one build of torch: {', '.join(builds)}.", file=sys.stderr)
        return 2
    index_url = None if arguments[0] == "pypi" else INDEX + arguments[0]
    if not write_torch_build(Path(__file__).resolve().parent.parent, index_url):
        print("pyproject.toml has no lines `# >>> torch build`: edit it by hand.", file=sys.stderr)
        return 2
    print("Changed. Now: uv sync, or: python -m pip install -r requirements-torch.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
