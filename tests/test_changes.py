"""The changes that the README shows touch few files, all at the top, and train."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import CHOICES, Render

PACKAGE = "my_torch_project"
SMALL = [
    "--val-fraction=0.05",
    "--test-fraction=0.85",
    "--batch-size=8",
    "--epochs=1",
    "--device=cpu",
]
NUM_EXAMPLES = 4  # a logged value, a schedule, a loss, a second optimizer

Change = dict[str, list[tuple[str, str]]]
"""File -> old and new texts."""


def changes_in(readme: str) -> list[Change]:
    """The diffs of a README, of which each line stands as it is in the file."""
    changes = []
    for block in re.findall(r"^```diff\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        change: Change = {}
        for file, hunks in re.findall(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", block, re.M | re.S):
            for hunk in hunks.split("@@\n"):
                lines = hunk.splitlines()
                old, new = (
                    "".join(f"{line[1:]}\n" for line in lines if line[0] in kinds)
                    for kinds in (" -", " +")
                )
                change.setdefault(file, []).append((old, new))
        changes.append(change)
    return changes


@pytest.mark.parametrize("task", CHOICES["task"])
def test_the_changes_in_the_readme_touch_two_files_at_most_and_train(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task)
    changes = changes_in((project / "README.md").read_text("utf-8"))
    assert len(changes) == NUM_EXAMPLES
    for change in changes:
        assert len(change) <= 2
        for name, hunks in change.items():
            path = project / name
            assert path.parent == project / PACKAGE
            for old, new in hunks:
                text = path.read_text("utf-8")
                assert text.count(old) == 1, f"{name}: {old}"
                path.write_text(text.replace(old, new), encoding="utf-8")
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
