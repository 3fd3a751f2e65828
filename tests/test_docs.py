"""Each page in docs/ is done as it says, in a project of its own, and does what it promises."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TEMPLATE, Render
from pages import apply, blocks_in, changes_in, commands_in
from PIL import Image

DOCS = TEMPLATE / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "README")
PACKAGE = "my_torch_project"
# Not among the trainings: the first has a test of its own.
BY_HAND = {"update"}
MAX_LINES = 40
# What is typed is above the file, so the pages train as they say but for the time it takes.
BRIEF = 'device = "cpu"\nepochs = 1\nlimit_batches = 10\n'
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "GIT_AUTHOR_NAME": "Team",
    "GIT_AUTHOR_EMAIL": "team@example.com",
    "GIT_COMMITTER_NAME": "Team",
    "GIT_COMMITTER_EMAIL": "team@example.com",
}


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text("utf-8")


@dataclass
class Done:
    """A project in which a page was followed."""

    project: Path
    outputs: list[str]
    """What its commands printed."""

    def row(self, run: str) -> dict[str, Any]:
        """The last epoch of a run."""
        text = (self.project / "runs" / run / "metrics.jsonl").read_text("utf-8")
        row: dict[str, Any] = json.loads(text.splitlines()[-1])
        return row

    def checkpoint(self, run: str) -> dict[str, Any]:
        path = self.project / "runs" / run / "checkpoints" / "last.pt"
        checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
        return checkpoint

    def read_json(self, run: str, name: str) -> dict[str, Any]:
        text = (self.project / "runs" / run / name).read_text("utf-8")
        content: dict[str, Any] = json.loads(text)
        return content


def follow(page: str, project: Path) -> list[list[str]]:
    """Make the changes of a page; returns its commands, without the word python."""
    for change in changes_in(read(page)):
        apply(change, project)
    if page == "sweep":
        (project / "sweep.py").write_text(blocks_in(read(page), "python")[0], encoding="utf-8")
    (project / "device.toml").write_text(BRIEF, encoding="utf-8")
    typed = [shlex.split(command) for command in commands_in(read(page))]
    for words in [words for words in typed if words[0] == "torchrun"]:
        run(project, sys.executable, "-m", "torch.distributed.run", *words[1:], "--no-report")
        typed.remove(words)
    assert all(words[0] == "python" for words in typed)
    return [words[1:] + ["--no-report"] * (words[1] == "train.py") for words in typed]


@pytest.fixture(scope="module")
def followed(rendered: Render, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """A project for each page that changes or trains something."""
    source, folder = rendered(task="image_classification"), tmp_path_factory.mktemp("pages")
    projects = {
        page: Path(shutil.copytree(source, folder / page)) for page in PAGES if page not in BY_HAND
    }
    commands = {str(project): follow(page, project) for page, project in projects.items()}
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "page_runner.py"],
        input=json.dumps(commands),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    for project, results in outcomes.items():
        for words, (code, output) in zip(commands[project], results, strict=True):
            assert code == 0, f"{project}: {words}\n{output}"
    return {
        page: Done(project, [output for _, output in outcomes[str(project)]])
        for page, project in projects.items()
    }


def test_the_pages_are_short_and_listed() -> None:
    listed = re.findall(r"^\| \[.*?\]\((.*?)\.md\) \|", read("README"), re.MULTILINE)
    assert sorted(listed) == PAGES
    for page in PAGES:
        lines = read(page).splitlines()
        assert len(lines) <= MAX_LINES, page
        assert re.fullmatch(r"# How do I .*\?", lines[0])


def test_changed_projects_are_as_clean_as_before(followed: dict[str, Done]) -> None:
    changed = [done.project for page, done in followed.items() if changes_in(read(page))]
    assert len(changed) >= 6
    for tool in (["ruff", "check"], ["ruff", "format", "--check"]):
        command = [sys.executable, "-m", *tool, "--no-cache", *map(str, changed)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=changed[0])
        assert done.returncode == 0, done.stdout


def test_changes_stay_at_the_top_of_the_package() -> None:
    for page in PAGES:
        for change in changes_in(read(page)):
            assert {Path(name).parent for name in change} == {Path(PACKAGE)}, page


def test_a_changed_model_is_trained_and_evaluated(followed: dict[str, Done]) -> None:
    done = followed["change-the-model"]
    assert any(".block." in name for name in done.checkpoint("residual")["model"])
    assert done.read_json("residual", "evaluation.json")["accuracy"] >= 0


def test_an_own_data_set_is_learned(followed: dict[str, Done]) -> None:
    done = followed["own-data-set"]
    assert "train: across 140, down 140" in done.outputs[0]
    assert done.read_json("stripes", "data.json")["info"]["classes"] == ["across", "down"]
    assert done.row("stripes")["train/loss"] < 0.6  # two classes, not told apart: 0.69


def test_an_own_loss_is_trained_and_the_validation_loss_stays(followed: dict[str, Done]) -> None:
    done = followed["own-loss"]
    plain, focal = done.row("plain"), done.row("focal")
    assert focal["train/loss"] < 0.9 * plain["train/loss"]
    assert focal["val/loss"] > 0.95 * plain["val/loss"]
    assert "focal_gamma" in done.outputs[-1]


def test_an_own_metric_chooses_the_best_epoch_and_is_evaluated(followed: dict[str, Done]) -> None:
    done = followed["own-metric"]
    row = done.row("top2")
    assert row["val/top2"] > row["val/accuracy"]
    assert done.checkpoint("top2")["progress"]["best"] == row["val/top2"]
    assert "top2" in done.read_json("top2", "evaluation.json")


def test_an_own_schedule_sets_the_rate(followed: dict[str, Done]) -> None:
    assert followed["own-scheduler"].row("steps")["lr"] == pytest.approx(2e-3 * 0.1**2)


def test_a_run_starts_where_another_one_ended(followed: dict[str, Done]) -> None:
    done = followed["transfer"]
    assert "first" in next(line for line in done.outputs[1].splitlines() if "tarts from" in line)
    assert done.row("second")["train/loss"] < 0.9 * done.row("first")["train/loss"]


def test_two_optimizers_train_and_are_kept(followed: dict[str, Done]) -> None:
    checkpoint = followed["two-optimizers"].checkpoint("both")
    assert len(checkpoint["muon"]["state"]) == 1  # the last layer
    assert len(checkpoint["optimizer"]["state"]) == len(
        [p for name, p in checkpoint["model"].items() if p.ndim != 2 and is_parameter(name)]
    )


def is_parameter(name: str) -> bool:
    return name.endswith(("weight", "bias"))


def test_a_sweep_trains_every_combination(followed: dict[str, Done]) -> None:
    done = followed["sweep"]
    runs = {path.name for path in (done.project / "runs").iterdir() if path.is_dir()}
    assert runs >= {f"lr-{lr}-decay-{decay}" for lr in (0.001, 0.004) for decay in (0.0, 0.1)}
    assert all(name in done.outputs[1] for name in runs if name.startswith("lr-"))
    losses = {done.row(name)["train/loss"] for name in runs if name.startswith("lr-")}
    assert len(losses) == 4


def test_an_exported_model_answers_without_torch_and_the_project(
    followed: dict[str, Done], tmp_path: Path
) -> None:
    done = followed["deploy"]
    copied = Path(shutil.copytree(done.project / "runs" / "first" / "export", tmp_path / "model"))
    program = "import sys\nsys.modules['torch'] = sys.modules['my_torch_project'] = None\n"
    program += blocks_in(read("deploy"), "python")[0]
    (copied / "classify.py").write_text(program, encoding="utf-8")
    for name in ("1.png", "2.png"):
        pixels = np.random.default_rng(0).integers(0, 256, (30, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(copied / name)
    (command,) = re.findall(r"^`python (classify\.py .*?)`", read("deploy"), re.MULTILINE)
    lines = run(copied, sys.executable, *command.split()).splitlines()
    assert [line.split()[0] for line in lines] == ["1.png", "2.png"]
    assert all(0.1 <= float(line.split()[2]) <= 1 for line in lines)


def run(folder: Path, *words: str, **variables: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        words, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_two_processes_make_one_run_which_one_process_resumes(followed: dict[str, Done]) -> None:
    done = followed["several-gpus"]
    assert done.row("two")["epoch"] == 2
    assert done.checkpoint("two")["progress"]["step"] == 20


def test_cruft_brings_what_is_new_in_the_template_and_extras_later(
    tmp_path: Path, config_file: Path
) -> None:
    """A team changed one of its files, and the template one of its own."""
    template, project = copy_of_the_template(tmp_path / "template"), tmp_path / "my-torch-project"
    environment = {"COOKIECUTTER_CONFIG": str(config_file), "PYTHONPATH": str(template)}
    cruft = [sys.executable, "-m", "cruft"]
    run(tmp_path, *cruft, "create", str(template), "--no-input", **environment)
    run(project, "git", "init", "--quiet")
    commit(project, "New project")
    with (project / PACKAGE / "models.py").open("a", encoding="utf-8") as file:
        file.write("\n# Ours.\n")
    package = template / "{{cookiecutter.project_slug}}" / "{{cookiecutter.__package}}"
    with (package / "engine" / "files.py").open("a", encoding="utf-8") as file:
        file.write("\nUPDATED = True\n")
    commit(template, "Update")
    for command in commands_in(read("update")):
        words = shlex.split(command)
        run(project, *(cruft if words[0] == "cruft" else words[:1]), *words[1:], **environment)
    assert "Ours." in (project / PACKAGE / "models.py").read_text("utf-8")
    assert "UPDATED" in (project / PACKAGE / "engine" / "files.py").read_text("utf-8")
    assert (project / "Dockerfile").is_file() and not list(project.rglob("*.rej"))


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def copy_of_the_template(folder: Path) -> Path:
    """A repository with what a clone would hold."""
    listed = run(TEMPLATE, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TEMPLATE / name, folder / name)
    run(folder, "git", "init", "--quiet")
    commit(folder, "As it is")
    return folder
