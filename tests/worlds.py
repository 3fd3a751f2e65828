"""Invented machines: a folder with their files, and what their programs would answer."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

NAME = "project_that_is_looked_at"
MODULES = ("device", "gpus", "machine", "plan", "torch_build", "nvidia")


def load_modules(project: Path) -> SimpleNamespace:
    """The detection modules of a rendered project, by their names."""
    (init,) = project.glob("*/__init__.py")
    spec = importlib.util.spec_from_file_location(
        NAME, init, submodule_search_locations=[str(init.parent)]
    )
    assert spec is not None
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    modules: dict[str, ModuleType] = {
        name: importlib.import_module(f"{NAME}.{name}") for name in MODULES
    }
    return SimpleNamespace(**modules)


def row(
    name: str = "NVIDIA GeForce RTX 4090",
    capability: str = "8.9",
    driver: str = "580.95.05",
    memory: str = "24564",
    uuid: str = "GPU-0a1b2c3d-0000-1111-2222-333344445555",
) -> str:
    """What nvidia-smi says of one GPU."""
    return f"{uuid}, {name}, {driver}, {memory}, {capability}\n"


def library(
    *gpus: tuple[str, tuple[int, int]], driver: str | None = "580.95.05", cuda: str | None = "13.0"
) -> str:
    """What the child that asks NVIDIA's libraries prints."""
    rows = [
        {"name": name, "capability": capability, "memory_mib": 24564, "uuid": f"GPU-{index}"}
        for index, (name, capability) in enumerate(gpus)
    ]
    return json.dumps({"driver": driver, "cuda": cuda, "gpus": rows})


def world(
    modules: SimpleNamespace,
    root: Path,
    *,
    system: str = "Linux",
    machine: str = "x86_64",
    release: str = "6.8.0",
    affinity: int = 64,
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    nvml: Any = None,
    cuda: Any = None,
    smi: Any = None,
    smi_at: str = "/usr/bin/nvidia-smi",
    programs: Mapping[str, str] | None = None,
) -> Any:
    """A `Machine`. Answers of programs: text (exit code 0), (code, text), or "hangs"."""
    files = dict(files or {})
    if smi is not None:
        files[smi_at] = ""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    answers = {"nvml": nvml, "cuda": cuda, "nvidia-smi": smi, **(programs or {})}
    return modules.machine.Machine(
        system=system,
        machine=machine,
        release=release,
        environ=dict(environ or {}),
        root=root,
        run=runner(modules, answers),
        affinity=affinity,
    )


def runner(modules: SimpleNamespace, answers: Mapping[str, Any]) -> Callable[..., Any]:
    """A stand-in for `run` that answers instead of starting programs."""
    output = modules.machine.Output

    def run(argv: Sequence[str], limit: float) -> Any:
        child = str(argv[-2]).endswith("nvidia.py")
        answer = answers.get(argv[-1] if child else Path(argv[0]).name.removesuffix(".exe"))
        if callable(answer):
            answer = answer(argv)
        if answer is None:
            return output(1, '{"error": null}') if child else output(None)
        if answer == "hangs":
            return output(None, "", timed_out=True)
        code, text = answer if isinstance(answer, tuple) else (0, answer)
        return output(code, text)

    return run
