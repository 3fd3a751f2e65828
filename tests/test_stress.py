"""Killed at random moments, a run of any task ends with the same bits (`make stress` does more)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CHOICES, TEMPLATE, Render

KILLS = 20
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def checkpoint(project: Path, run: str) -> dict[str, Any]:
    path = project / "runs" / run / "checkpoints" / "last.pt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("task", CHOICES["task"])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task)
    done = subprocess.run(
        [sys.executable, TEMPLATE / "tests/stress.py", project, "--kills", str(KILLS)],
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()[2:]]
    assert len(rows) == 4
    assert sum(int(row[3]) for row in rows) == KILLS

    # Two processes have trained as one did.
    one, two = checkpoint(project, "calm-0-1"), checkpoint(project, "calm-0-2")
    assert two["progress"]["step"] == one["progress"]["step"]
    assert two["model"].keys() == one["model"].keys()
    for mine, other in zip(one["log"]["rows"], two["log"]["rows"], strict=True):
        assert mine["train/loss"] == pytest.approx(other["train/loss"], rel=0.2)
