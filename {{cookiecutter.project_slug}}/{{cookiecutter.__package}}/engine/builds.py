"""Builds of torch, and the NVIDIA GPUs that they run on: for the doctor's advice."""

from typing import NamedTuple

TORCH = ">=2.14,<2.16"  # tested with these; 2.15 has no build cu126
INSTALL = "uv sync (or: pip install -r requirements-torch.txt, then: pip install -e .)"
# pip alone takes every build of the same version for the right one.
PIP_REINSTALL = "pip install --force-reinstall -r requirements-torch.txt"
REINSTALL = f"uv sync --reinstall-package torch (or: {PIP_REINSTALL})"
CHANGE_BUILD = "Change the build of torch (README.md tells how) to"


class Build(NamedTuple):
    """A build of torch with CUDA; the capabilities are compute capabilities of GPUs."""

    name: str
    lowest: tuple[int, int]  # the oldest GPUs that it has code for
    before: tuple[int, int]  # the first GPUs that are too new for it
    driver: str  # the oldest driver (Linux) that it works with


# Facts of 2026-11-23: the architectures in the wheels of torch 2.14.1, and NVIDIA's page "CUDA
# minor version compatibility". Small boards (Jetson) before Thor need builds of their own.
CU130 = Build("cu130", lowest=(7, 5), before=(13, 0), driver="580")
CU126 = Build("cu126", lowest=(5, 0), before=(10, 0), driver="525.60.13")


def build_for(capability: tuple[int, int]) -> Build | None:
    """The build to use for a GPU; None if torch 2.14 has none."""
    builds = (build for build in (CU130, CU126) if build.lowest <= capability < build.before)
    return next(builds, None)
