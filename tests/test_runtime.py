"""Where detection (the template's) and the doctor (the project's) must agree."""

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import Render

from detection import builds


def table_of(project: Path) -> ModuleType:
    """The project's own table of torch builds."""
    path = project / "my_torch_project" / "engine" / "builds.py"
    spec = importlib.util.spec_from_file_location("project_builds", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def call_doctor(project: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "my_torch_project", "doctor", "--json", *arguments],
        cwd=project,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "capability", [(3, 7), (5, 0), (6, 1), (7, 0), (7, 5), (8, 9), (9, 0), (10, 3), (12, 1)]
)
def test_project_names_the_build_that_detection_would_choose(
    capability: tuple[int, int], rendered: Render
) -> None:
    table = table_of(rendered())
    build = table.build_for(capability)
    candidates = [builds.BUILDS[name] for name in ("cu130", "cu126")]
    chosen = [one for one in candidates if builds.has_code_for(one, capability, "x86_64")][:1]
    assert [(one.name, one.linux_driver) for one in chosen] == (
        [(build.name, build.driver)] if build else []
    )
    assert table.TORCH == builds.TORCH


def test_hook_and_doctor_write_the_same_settings(render: Render, tmp_path: Path) -> None:
    project = render(tmp_path)
    by_hook = tomllib.loads((project / "device.toml").read_text("utf-8"))
    states = {check["name"]: check["state"] for check in call_doctor(project)["checks"]}
    assert states["device.toml"] == "ok" and states["settings"] != "broken"
    report = call_doctor(project, "--write")
    by_doctor = tomllib.loads((project / "device.toml").read_text("utf-8"))
    assert list(by_hook) == list(by_doctor) == list(report["plan"])
    assert by_doctor == report["plan"]
    if by_hook["device"] == by_doctor["device"] == "cpu":
        assert by_hook == by_doctor
