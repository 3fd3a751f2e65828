"""The changes that the README shows touch few files, all at the top, and train."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import CHOICES, Render
from pages import apply, changes_in

PACKAGE = "my_torch_project"
SMALL = [
    "--val-fraction=0.05",
    "--test-fraction=0.85",
    "--batch-size=8",
    "--epochs=1",
    "--device=cpu",
]
NUM_EXAMPLES = 4  # a logged value, a schedule, a loss, a second optimizer


@pytest.mark.parametrize("task", CHOICES["task"])
def test_the_changes_in_the_readme_touch_two_files_at_most_and_train(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task)
    changes = changes_in((project / "README.md").read_text("utf-8"))
    assert len(changes) == NUM_EXAMPLES
    for change in changes:
        assert len(change) <= 2
        assert {Path(name).parent for name in change} == {Path(PACKAGE)}
        apply(change, project)
    for tool in (["ruff", "check"], ["ruff", "format", "--check"]):
        subprocess.run([sys.executable, "-m", *tool, "--no-cache"], cwd=project, check=True)
    done = subprocess.run(
        [sys.executable, "train.py", *SMALL, "--schedule", "linear", "--run", "changed"],
        cwd=project,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = project / "runs" / "changed"
    row = json.loads((run / "metrics.jsonl").read_text("utf-8"))
    assert row["train/weight_norm"] > 0
    checkpoint = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert checkpoint["critic"] and checkpoint["critic_optimizer"]["state"]
