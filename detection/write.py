"""Writes the decisions into a project: the torch build for uv and pip, and device.toml.

Standard library only, Python 3.10 or newer.
"""

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .builds import BUILDS, INDEX, OFFERED
from .detect import Found
from .plan import Plan

SETTINGS = ("device", "precision", "num_workers", "channels_last", "tf32", "compile")
"""What device.toml sets; the names are those of the project's settings."""


# pyproject.toml's lines about builds: every list in them has one line for each build.
_BLOCK = re.compile(r"^# >>> torch builds\n.*?^# <<< torch builds\n", re.MULTILINE | re.DOTALL)
_IN_EVERY_PROJECT = ("cpu", "cu126", "cu130")


@dataclass(frozen=True)
class _Special:
    """A build that exists for few platforms only."""

    marker: str
    triton: str
    """Its Triton. The project must name it, or uv looks for it on PyPI."""


_MARKER = "sys_platform != 'darwin'"
_LINUX_X86 = "sys_platform == 'linux' and platform_machine == 'x86_64'"
_SPECIAL = {
    "rocm7.2": _Special(_LINUX_X86, "triton-rocm>=3.8,<3.9"),
    "xpu": _Special(f"{_LINUX_X86} or sys_platform == 'win32'", "triton-xpu<4"),
}


def write_torch_build(project: Path, index_url: str | None) -> bool:
    """Make the build the default of pyproject.toml (for uv) and requirements-torch.txt (for pip).

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
    _keep_answer(project / ".template.yaml", build)
    return True


def _keep_answer(path: Path, build: str) -> None:
    """Make the build the answer of updates, which may be made on other machines than this one."""
    if build in OFFERED and path.is_file():
        answer = re.compile(r'^  torch_build: "\w+"$', re.MULTILINE)
        text = path.read_text(encoding="utf-8")
        write_text(path, answer.sub(f'  torch_build: "{build}"', text))


def _with_build(text: str, build: str) -> str | None:
    """pyproject.toml with this build as the default; None if it has no lines about builds."""
    found = _BLOCK.search(text)
    if found is None:
        return None
    block = _without_others(found[0])
    if build != "pypi":
        block = block.replace('groups = ["dev"]', f'groups = ["dev", "{_group(build)}"]')
        if build not in _IN_EVERY_PROJECT:
            block = _with_lines_of(block, build)
    return text[: found.start()] + block + text[found.end() :]


def _group(build: str) -> str:
    """The name of its group, which may have no dots: rocm for rocm7.2."""
    return re.sub(r"[\d.]+$", "", build) if "." in build else build


def _without_others(block: str) -> str:
    """The block without a default, and without the builds that only few projects name."""
    block = re.sub(r"^default-groups = .*", 'default-groups = ["dev"]', block, flags=re.MULTILINE)
    others = "|".join(_group(build) for build in BUILDS if build not in _IN_EVERY_PROJECT)
    return re.sub(rf"^.*\b({others})\b.*\n", "", block, flags=re.MULTILINE)


def _with_lines_of(block: str, build: str) -> str:
    """The block with a copy of every line of cu130 for this build."""
    group, special = _group(build), _SPECIAL.get(build)

    def with_copy(line: re.Match[str]) -> str:
        copy = line[0].replace(f"{INDEX}cu130", f"{INDEX}{build}").replace("cu130", group)
        if special:
            copy = copy.replace(_MARKER, special.marker)
            copy = re.sub(r'"\]\n$', f'", "{special.triton}; {special.marker}"]\n', copy)
        return line[0] + copy

    block = re.sub(r"^.*\bcu130\b.*\n", with_copy, block, flags=re.MULTILINE)
    if special:
        name = re.split("[<>]", special.triton)[0]
        source = f'{{ index = "torch-{group}", group = "{group}", marker = "{special.marker}" }}'
        block = block.replace("# <<<", f"{name} = [{source}]\n# <<<")
    return block


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
