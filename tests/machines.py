"""Invented machines: a folder with their files, and what their programs would answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.machine import Machine, Output


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


def make_machine(
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
) -> Machine:
    """A `Machine` whose files are below ``root``.

    Answers of programs: text (exit code 0), (code, text), a function of argv, or "hangs".
    """
    files = dict(files or {})
    if smi is not None:
        files[smi_at] = ""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    answers = {"nvml": nvml, "cuda": cuda, "nvidia-smi": smi, **(programs or {})}
    return Machine(
        system=system,
        machine=machine,
        release=release,
        environ=dict(environ or {}),
        root=root,
        run=runner(answers),
        affinity=affinity,
    )


def runner(answers: Mapping[str, Any]) -> Callable[[Sequence[str], float], Output]:
    """A stand-in for `run` that answers instead of starting programs."""

    def run(argv: Sequence[str], limit: float) -> Output:
        child = str(argv[-2]).endswith("nvidia.py")
        answer = answers.get(argv[-1] if child else Path(argv[0]).name.removesuffix(".exe"))
        if callable(answer):
            answer = answer(argv)
        if answer is None:
            return Output(1, '{"error": null}') if child else Output(None)
        if answer == "hangs":
            return Output(None, "", timed_out=True)
        code, text = answer if isinstance(answer, tuple) else (0, answer)
        return Output(code, text)

    return run
