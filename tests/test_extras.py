"""What colleagues and their tools get if the answers ask for it, and only then."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import Render
from cookiecutter.exceptions import FailedHookException
from nbclient import NotebookClient
from pages import commands_in
from test_render import files_of, paths_in

from torch_template_answers import EXTRAS, extras

PACKAGE = "my_torch_project"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
FILES = {
    "agents": {".": "AGENTS.md"},
    "container": {".": ".devcontainer.json .dockerignore Dockerfile"},
    "korean": {".": "README.ko.md"},
    "notebook": {".": "explore.ipynb"},
    "vscode": {".vscode": "launch.json"},
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_its_files_and_no_others(rendered: Render, extra: str) -> None:
    added = files_of(rendered(extras=extra)) - files_of(rendered())
    assert added == set(paths_in(FILES[extra]))


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("none", ""),
        ("vscode,agents", "agents,vscode"),
        (" Notebook;  korean, ", "korean,notebook"),
        ("all", ",".join(EXTRAS)),
    ],
)
def test_several_extras_are_typed_with_commas(text: str, chosen: str) -> None:
    assert extras(text) == chosen


@pytest.mark.parametrize("text", ["", "docker", "agents,jupyter", "x" * 100])
def test_an_unknown_extra_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(FailedHookException) as refused:
        extras(text)
    sentence = str(refused.value)
    assert sentence.startswith("extras has no") and len(sentence) < 140
    assert all(name in sentence for name in EXTRAS)


@pytest.mark.skipif(not HADOLINT, reason="hadolint is packaged for 64-bit Linux on x86 only")
def test_hadolint_has_nothing_to_say(rendered: Render) -> None:
    command = [str(HADOLINT), "--failure-threshold", "style", "Dockerfile"]
    project = rendered(extras="container")
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_dockerfile_is_short_and_not_for_root(rendered: Render) -> None:
    project = rendered(extras="container")
    text = (project / "Dockerfile").read_text("utf-8")
    steps = [line.split()[0] for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    assert len(steps) <= 12 and "USER" in steps[: steps.index("COPY")]
    for name in re.findall(r"^COPY (?:--\S+ )*(\S+) ", text, re.MULTILINE):
        assert (project / name).exists()
    assert "device.toml" in (project / ".dockerignore").read_text("utf-8").split()


def test_the_devcontainer_uses_the_dockerfile_and_its_user(rendered: Render) -> None:
    project = rendered(extras="container")
    settings = json.loads((project / ".devcontainer.json").read_text("utf-8"))
    dockerfile = (project / settings["build"]["dockerfile"]).read_text("utf-8")
    assert f'"$UID" {settings["remoteUser"]} ' in dockerfile
    python = settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert f"RUN python -m venv {python.removesuffix('/bin/python')}\n" in dockerfile
    assert settings["hostRequirements"] == {"gpu": "optional"}


def test_everything_that_agents_read_is_there(rendered: Render) -> None:
    project = rendered(extras="agents")
    text = (project / "AGENTS.md").read_text("utf-8")
    assert len(text.splitlines()) <= 32
    for folder in re.findall(r"`(\w+/)`", text):
        ignored = f"/{folder}" in (project / ".gitignore").read_text("utf-8")
        assert ignored or any(project.glob(f"**/{folder}")), folder
    readme = (project / "README.md").read_text("utf-8")
    for command in commands_in(text):
        assert command.removesuffix(" --fast-dev-run") in readme, command
    for name in ("TrainState", "UserError"):
        assert any(name in path.read_text("utf-8") for path in project.glob(f"{PACKAGE}/**/*.py"))


def test_the_editor_starts_what_exists(rendered: Render) -> None:
    project = rendered(extras="vscode")
    launch = json.loads((project / ".vscode" / "launch.json").read_text("utf-8"))
    for entry in launch["configurations"]:
        program = entry.get("program", "").replace("${workspaceFolder}", str(project))
        assert not program or Path(program).is_file()
        assert entry.get("module", PACKAGE) == PACKAGE
        help_of = [*entry.get("args", []), "--help"]
        assert entry["type"] == "debugpy" and len(help_of) <= 4


def test_the_notebook_shows_the_data_and_a_run(rendered: Render, tmp_path: Path) -> None:
    project = Path(shutil.copytree(rendered(extras="notebook"), tmp_path / "project"))
    train = "train.py --device cpu --epochs 1 --limit-batches 2 --no-report"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *shlex.split(train)], cwd=project, env=environment, check=True)
    notebook: Any = nbformat.read(project / "explore.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(project)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    printed = "".join(output.get("text", "") for output in outputs)
    assert "train: 0 124" in printed
    assert re.search(r"^\d\.\d{3} digit \d+$", printed, re.MULTILINE)


def test_only_the_notebook_needs_one_package_more(rendered: Render) -> None:
    def dev(project: Path) -> set[str]:
        metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        return set(metadata["dependency-groups"]["dev"])

    added = dev(rendered(extras="all")) - dev(rendered())
    assert [name.partition(">")[0] for name in added] == ["ipykernel"]
