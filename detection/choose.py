"""Which build of torch fits the GPUs and the driver that were found, and why.

Standard library only, Python 3.10 or newer.
"""

from dataclasses import dataclass

from .builds import BUILDS, INDEX, Build, has_code_for, pypi_build, version_numbers
from .detect import Found
from .gpus import Gpu

JETSON_WHEELS = "https://pypi.jetson-ai-lab.io"


@dataclass(frozen=True)
class Choice:
    """A build for the project, and the GPUs of this machine that it supports."""

    name: str
    """Of the build, or pypi."""
    index_url: str | None
    """Where pip and uv find it; None: on PyPI."""
    supported: tuple[Gpu, ...]
    reason: str
    notes: tuple[str, ...] = ()


def choose_build(found: Found, requested: str) -> Choice:
    """The requested build; for ``auto``, the build that supports the most GPUs."""
    if requested != "auto":
        return _requested_choice(found, requested)
    if found.system == "Darwin":
        return Choice("pypi", None, (), "macOS has only one build")
    if found.kind == "cpu":
        return _automatic(found, BUILDS["cpu"], "no GPU that a CUDA or ROCm build supports")
    builds = _candidates(found)
    build = max(builds, key=lambda build: len(supported_gpus(build, found)))  # first of equals
    supported = supported_gpus(build, found)
    if not supported:
        note = _why_none(found, builds)
        return _automatic(found, BUILDS["cpu"], "no build supports the GPU as it is", note)
    reason = f"supports {supported[0]}{_with_driver(found)}"
    return _automatic(found, build, reason, *_limits(build, found, supported))


def _candidates(found: Found) -> list[Build]:
    """The builds to choose from, the preferred one first."""
    if found.kind in ("rocm", "xpu"):
        return [BUILDS["rocm7.2" if found.kind == "rocm" else "xpu"]]
    return [BUILDS["cu130"], BUILDS["cu126"]] + [BUILDS["cu132"]] * found.jetson


def _automatic(found: Found, build: Build, reason: str, *notes: str) -> Choice:
    index_url = None if found.system in build.pypi_on else INDEX + build.name
    return Choice(build.name, index_url, supported_gpus(build, found), reason, notes)


def _requested_choice(found: Found, requested: str) -> Choice:
    """The build that the user requested, with a note if it does not support the GPU."""
    build = pypi_build(found.system) if requested == "pypi" else BUILDS[requested]
    index_url = None if requested == "pypi" else INDEX + requested
    supported = supported_gpus(build, found)
    notes: tuple[str, ...] = ()
    if found.gpus and found.kind != "mps" and not supported:
        gpu = f"{found.gpus[0]}{_with_driver(found)}"
        notes = (f"The build {requested} does not run on {gpu}. The CPU is used.",)
    return Choice(requested, index_url, supported, "requested", notes)


def supported_gpus(build: Build, found: Found) -> tuple[Gpu, ...]:
    """The GPUs of this machine that a build runs on."""
    if found.kind == "xpu":
        return found.gpus if build.name == "xpu" else ()
    if found.kind == "rocm":
        x86 = found.machine == "x86_64"
        return tuple(gpu for gpu in found.gpus if x86 and gpu.gfx in build.gfx)
    if found.kind != "cuda" or not _driver_is_new_enough(build, found):
        return ()
    return tuple(gpu for gpu in found.gpus if _has_code_for(build, gpu, found))


def _has_code_for(build: Build, gpu: Gpu, found: Found) -> bool:
    if gpu.capability is None:
        return bool(build.x86_64) and not found.jetson  # a guess, but never for a Jetson
    return has_code_for(build, gpu.capability, found.machine)


def _driver_is_new_enough(build: Build, found: Found) -> bool:
    """By the CUDA version that the driver supports, or by its own; True if both are unknown."""
    oldest = build.oldest_driver(windows=found.system == "Windows" or found.wsl)
    if not oldest:
        return False
    if found.cuda and version_numbers(found.cuda) >= build.cuda:
        return True
    if found.driver:
        return version_numbers(found.driver) >= version_numbers(oldest)
    return not found.cuda


def _limits(build: Build, found: Found, supported: tuple[Gpu, ...]) -> list[str]:
    """Notes about what the chosen build does not support."""
    notes = []
    if len(supported) < len(found.gpus):
        others = ", ".join(gpu.name for gpu in found.gpus if gpu not in supported)
        covered = f"{len(supported)} of {len(found.gpus)} GPUs"
        notes.append(
            f"The build {build.name} covers {covered}, but not {others}. No build covers all."
        )
    if build.name == "cu126":
        notes.append(_why_cu126(found, supported))
    return notes


def _why_none(found: Found, builds: list[Build]) -> str:
    """Why no build runs on the GPUs, and what would help."""
    gpu = found.gpus[0]
    if found.kind == "rocm":
        return f"torch 2.14 has no build with code for {gpu}. The CPU is used."
    if found.jetson:
        return (
            f"{gpu} needs NVIDIA's own torch for Jetson ({JETSON_WHEELS}) or a newer JetPack. "
            "Until then, the CPU is used."
        )
    fitting = [build for build in builds if any(_has_code_for(build, g, found) for g in found.gpus)]
    if not fitting:
        return f"torch 2.14 has no build with code for {gpu} on {found.machine}. The CPU is used."
    windows = found.system == "Windows" or found.wsl
    oldest = min((build.oldest_driver(windows) for build in fitting), key=version_numbers)
    where = " (in Windows)" if found.wsl else ""
    return (
        f"The driver {_driver(found)} is too old for torch 2.14 on {gpu.name}: update the driver "
        f"to {oldest} or newer{where}. Until then, the CPU is used."
    )


def _why_cu126(found: Found, supported: tuple[Gpu, ...]) -> str:
    old = [gpu for gpu in supported if gpu.capability and gpu.capability < (7, 5)]
    if old:
        return (
            f"torch 2.14 is the last version for {old[0].name}: keep torch < 2.15 and driver 580."
        )
    return (
        f"With the driver {_driver(found)}, only the build cu126 runs, which ends with torch "
        "2.14: keep torch < 2.15, or update the driver to 580 or newer."
    )


def _driver(found: Found) -> str:
    return found.driver or f"for CUDA {found.cuda}"


def _with_driver(found: Found) -> str:
    return f" with driver {found.driver}" if found.driver else ""


def why_no_wheel(found: Found) -> tuple[str, ...]:
    """A note if torch has no wheel for this system at all."""
    if found.musl:
        return ("torch has no wheel for Alpine and other musl systems: use Debian or Ubuntu.",)
    machines = {"Linux": ("x86_64", "aarch64"), "Windows": ("amd64", "x86_64")}
    if found.system == "Darwin" or found.machine.lower() in machines.get(found.system, ()):
        return ()  # detect() already has a note about old Macs
    return (f"torch has no wheel for {found.system} on {found.machine}.",)
