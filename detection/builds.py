"""The table of torch builds: which GPUs and drivers each of them needs.

Standard library only, Python 3.10 or newer.

Date of the table: 2026-11-23. Sources: the compute capabilities in the 2.14.1 wheels
(``torch.cuda.PYTORCH_RELEASES_CODE_CC``), pytorch's RELEASE.md, PyPI, NVIDIA's page "CUDA minor
version compatibility", and uv 0.13.9 for the drivers and AMD's architectures.
"""

import re
from dataclasses import KW_ONLY, dataclass
from typing import TypedDict

TORCH = ">=2.14,<2.16"
"""The versions that projects are tested with. 2.15 has no build cu126, whose group is bounded."""
INDEX = "https://download.pytorch.org/whl/"

Capability = tuple[int, int]
"""Compute capability of an NVIDIA GPU: (8, 9) is an RTX 4090."""


@dataclass(frozen=True)
class Build:
    """One build of torch, and what it runs on."""

    name: str
    _: KW_ONLY
    x86_64: tuple[Capability, ...] = ()
    """Compute capabilities that its wheels have code for."""
    aarch64: tuple[Capability, ...] = ()
    linux_driver: str = ""
    """The oldest NVIDIA driver that it runs with."""
    windows_driver: str = ""
    cuda: Capability = (0, 0)
    """The oldest CUDA version of a driver that it runs with."""
    gfx: tuple[str, ...] = ()
    """AMD's architectures."""
    pypi_on: tuple[str, ...] = ()
    """Systems for which PyPI has this build, so that no index is needed."""

    def oldest_driver(self, windows: bool) -> str:
        """The oldest NVIDIA driver that it runs with."""
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
"""The answers to the template's question. AMD's GPUs are found by themselves. Intel's are used only
with ``TORCH_BACKEND=xpu``: torch supports few of them, and only torch can tell which."""

# Jetson boards have compute capabilities of their own. Ordinary builds have no code for them ...
_TEGRA = {(5, 3), (6, 2), (7, 2), (8, 7)}
# ... except that from CUDA 13.2 on, code for 8.0 also runs on Orin (8.7).
_TEGRA_BUILDS = {(8, 7): "cu132"}


def pypi_build(system: str) -> Build:
    """The build that PyPI has for this system."""
    return next((build for build in BUILDS.values() if system in build.pypi_on), BUILDS["cpu"])


def has_code_for(build: Build, capability: Capability, machine: str) -> bool:
    """Whether the build runs on such a GPU: same major version, and the same or a lower minor."""
    if capability in _TEGRA:
        return machine == "aarch64" and _TEGRA_BUILDS.get(capability) == build.name
    codes = build.aarch64 if machine.lower() in ("aarch64", "arm64") else build.x86_64
    return any(major == capability[0] and minor <= capability[1] for major, minor in codes)


def version_numbers(text: str) -> tuple[int, ...]:
    """580.65.06 as (580, 65, 6), to compare versions."""
    return tuple(int(number) for number in re.findall(r"\d+", text))
