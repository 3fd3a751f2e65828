"""Writes the decisions into a project: the torch build for uv and pip, and device.toml.

Standard library only, Python 3.10 or newer.
"""

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .builds import INDEX
from .detect import Found
from .plan import Plan

# The lines of pyproject.toml that name the build. Jinja renders the same files.
BLOCKS = Path(__file__).resolve().parent.parent / "templates" / "torch_build"
SETTINGS = ("device", "precision", "num_workers", "channels_last", "tf32", "compile")
"""What device.toml sets; the names are those of the project's settings."""


@dataclass(frozen=True)
class _Special:
    """A build that exists for few platforms only."""

    platforms: str
    marker: str
    triton: str
    """Its Triton. The project must name it, or uv looks for it on PyPI."""

    @property
    def triton_name(self) -> str:
        return re.split("[<>]", self.triton)[0]


_MARKER = "sys_platform == 'linux' or sys_platform == 'win32'"
_LINUX_X86 = "sys_platform == 'linux' and platform_machine == 'x86_64'"
_SPECIAL = {
    "rocm7.2": _Special("Linux x86_64", _LINUX_X86, "triton-rocm>=3.8,<3.9"),
    "xpu": _Special(
        "Linux x86_64 and Windows", f"{_LINUX_X86} or sys_platform == 'win32'", "triton-xpu<4"
    ),
}


def write_torch_build(project: Path, index_url: str | None) -> bool:
    """Name the build in the project's pyproject.toml (for uv) and requirements-torch.txt (for pip).

    Args:
        project: the project's folder.
        index_url: where the build is; None for PyPI.

    Returns:
        Whether both files have a place for it; if not, nothing is written.
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
    """pyproject.toml with this build; None if it has no block for it."""
    block = _block(build)
    text = re.sub(r'^ *"triton-.*\n', "", text, flags=re.MULTILINE)
    if build in _SPECIAL:
        special = _SPECIAL[build]
        line = f'  "{special.triton}; {special.marker}",\n'
        text = re.sub(r'^ *"torch[<>=].*\n', rf"\g<0>{line}", text, flags=re.MULTILINE)
    pattern = re.compile(r"^# >>> torch build:.*?^# <<< torch build\n", re.MULTILINE | re.DOTALL)
    return pattern.sub(lambda _: block, text, count=1) if pattern.search(text) else None


def _block(build: str) -> str:
    """The lines of pyproject.toml that name this build."""
    if build == "pypi":
        return (BLOCKS / "pypi.toml").read_text(encoding="utf-8")
    block = (BLOCKS / "index.toml").read_text(encoding="utf-8").replace("{{ build }}", build)
    if build not in _SPECIAL:
        return block
    special = _SPECIAL[build]
    block = block.replace("on Linux and Windows, on macOS", f"on {special.platforms}, elsewhere")
    block = block.replace(_MARKER, special.marker)
    source = rf"torch\1{special.triton_name}\1"
    return re.sub(r"^torch( = .*\n)", source, block, flags=re.MULTILINE)


def _with_index(text: str, index_url: str | None) -> str | None:
    """requirements-torch.txt with this index; None if it has no line for torch."""
    lines = [line for line in text.splitlines() if not line.startswith("--index-url")]
    torch = next((number for number, line in enumerate(lines) if line.startswith("torch==")), None)
    if torch is None:
        return None
    if index_url:
        lines.insert(torch, f"--index-url {index_url}")
    return "\n".join(lines) + "\n"


def device_toml(found: Found, plan: Plan, package: str) -> str:
    """The text of device.toml; ``package`` is the name of the project's package."""
    lines = [
        "# Defaults for this machine; --config files and flags override them. Not in git.",
        f"# For another machine or driver, write it again: python -m {package} doctor --write",
        f"# Found on {time.strftime('%Y-%m-%d')}: {found.summary()}",
        *(f"# Note: {note}" for note in (*found.notes, *plan.notes)),
        "",
    ]
    for name in SETTINGS:
        value = json.dumps(getattr(plan, name))
        reason = plan.reasons.get(name, "")
        lines.append(f"{name} = {value}" + (f"  # {reason}" if reason else ""))
    return "\n".join(lines) + "\n"


def write_device_toml(project: Path, found: Found, plan: Plan, package: str) -> None:
    """Write device.toml in the project's folder."""
    write_text(project / "device.toml", device_toml(found, plan, package))


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
