"""Which build of torch suits the GPUs and the driver that were found, and why.

Standard library only, Python 3.10 or newer: cookiecutter's own Python runs this.
"""

from dataclasses import dataclass

from .device import Found
from .gpus import Gpu
from .torch_build import BUILDS, INDEX, Build, covers, pypi_build, version_numbers

JETSON_WHEELS = "https://pypi.jetson-ai-lab.io"


@dataclass(frozen=True)
class Choice:
    """A build for the project, and the GPUs here that it runs on."""

    name: str
    """Of the build, or pypi."""
    index_url: str | None
    """Where pip and uv find it; None: PyPI has it."""
    served: tuple[Gpu, ...]
    reason: str
    notes: tuple[str, ...] = ()


def choose_build(found: Found, wish: str) -> Choice:
    """The build that was wished for, or with ``auto`` the one that runs most of the GPUs."""
    if wish != "auto":
        return _wished(found, wish)
    if found.system == "Darwin":
        return Choice("pypi", None, (), "macOS has one build")
    if found.kind == "cpu":
        return _automatic(found, BUILDS["cpu"], "no GPU that these builds run on")
    builds = _candidates(found)
    build = max(builds, key=lambda build: len(served_by(build, found)))  # the first of equals
    served = served_by(build, found)
    if not served:
        note = _why_none(found, builds)
        return _automatic(found, BUILDS["cpu"], "no build runs on the GPU as it is", note)
    notes = []
    if len(served) < len(found.gpus):
        others = ", ".join(gpu.name for gpu in found.gpus if gpu not in served)
        covered = f"{len(served)} of {len(found.gpus)} GPUs"
        notes.append(f"The build {build.name} covers {covered}, not {others}; no build covers all.")
    if build.name == "cu126":
        notes.append(_why_cu126(found, served))
    return _automatic(found, build, f"runs on {served[0]}{_with_driver(found)}", *notes)


def _candidates(found: Found) -> list[Build]:
    """The builds to choose from, the best first."""
    if found.kind in ("rocm", "xpu"):
        return [BUILDS["rocm7.2" if found.kind == "rocm" else "xpu"]]
    return [BUILDS["cu130"], BUILDS["cu126"]] + [BUILDS["cu132"]] * found.jetson


def _automatic(found: Found, build: Build, reason: str, *notes: str) -> Choice:
    index_url = None if found.system in build.pypi_on else INDEX + build.name
    return Choice(build.name, index_url, served_by(build, found), reason, notes)


def _wished(found: Found, wish: str) -> Choice:
    """The build that was asked for, with a note where the GPU here cannot use it."""
    build = pypi_build(found.system) if wish == "pypi" else BUILDS[wish]
    index_url, served = None if wish == "pypi" else INDEX + wish, served_by(build, found)
    if found.gpus and found.kind != "mps" and not served:
        why = f"The build {wish} does not run on {found.gpus[0]}{_with_driver(found)}."
        return Choice(wish, index_url, (), "asked for", (f"{why} The CPU is used.",))
    return Choice(wish, index_url, served, "asked for")


def served_by(build: Build, found: Found) -> tuple[Gpu, ...]:
    """The GPUs here that a build runs on."""
    if found.kind == "xpu":
        return found.gpus if build.name == "xpu" else ()
    if found.kind == "rocm":
        right = found.machine == "x86_64"
        return tuple(gpu for gpu in found.gpus if right and gpu.gfx in build.gfx)
    if found.kind != "cuda" or not _driver_will_do(build, found):
        return ()
    return tuple(gpu for gpu in found.gpus if _covers(build, gpu, found))


def _covers(build: Build, gpu: Gpu, found: Found) -> bool:
    if gpu.capability is None:
        return bool(build.x86_64) and not found.jetson  # a guess; small boards are never ordinary
    return covers(build, gpu.capability, found.machine)


def _driver_will_do(build: Build, found: Found) -> bool:
    """By the driver's version, or by the CUDA version that it speaks; unknown counts as yes."""
    oldest = build.driver(windows=found.system == "Windows" or found.wsl)
    if not oldest:
        return False
    if found.cuda and version_numbers(found.cuda) >= build.cuda:
        return True
    if found.driver:
        return version_numbers(found.driver) >= version_numbers(oldest)
    return not found.cuda


def _why_none(found: Found, builds: list[Build]) -> str:
    """Why no build runs on the GPUs, and what would help."""
    gpu = found.gpus[0]
    if found.kind == "rocm":
        return f"torch 2.14 has no build with code for {gpu}. The CPU is used."
    fitting = [build for build in builds if any(_covers(build, gpu, found) for gpu in found.gpus)]
    if found.jetson:
        own = f"NVIDIA's own torch for Jetson ({JETSON_WHEELS}) or a newer JetPack"
        return f"{gpu} needs {own}. Until then: CPU."
    if fitting:
        windows = found.system == "Windows" or found.wsl
        oldest = min((build.driver(windows) for build in fitting), key=version_numbers)
        has = found.driver or f"for CUDA {found.cuda}"
        where = " (in Windows)" if found.wsl else ""
        return (
            f"The driver {has} is too old for torch 2.14 on {gpu.name}: update the driver to "
            f"{oldest} or newer{where}. Until then: CPU."
        )
    return f"torch 2.14 has no build with code for {gpu} on {found.machine}. The CPU is used."


def _why_cu126(found: Found, served: tuple[Gpu, ...]) -> str:
    old = [gpu for gpu in served if gpu.capability and gpu.capability < (7, 5)]
    if old:
        return f"torch 2.14 is the last for {old[0].name}: keep torch < 2.15 (and driver 580)."
    driver = found.driver or f"for CUDA {found.cuda}"
    return (
        f"The driver {driver} needs the build cu126, which ends with 2.14: keep torch < 2.15, "
        "or update the driver to 580 or newer."
    )


def _with_driver(found: Found) -> str:
    return f" with driver {found.driver}" if found.driver else ""


def no_wheel(found: Found) -> tuple[str, ...]:
    """A note where torch has no wheel at all."""
    if found.musl:
        return ("torch has no wheel for Alpine and its like (musl): use Debian or Ubuntu.",)
    machines = {"Linux": ("x86_64", "aarch64"), "Windows": ("amd64", "x86_64")}
    if found.system == "Darwin" or found.machine.lower() in machines.get(found.system, ()):
        return ()  # what a Mac lacks, the search for its GPU has told
    return (f"torch has no wheel for {found.system} on {found.machine}.",)
