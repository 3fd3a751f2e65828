"""Kills a run of every task 200 times, and compares its end with an undisturbed one.

make stress
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
KILLS = 200


def main() -> int:
    tasks = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["task"]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "cookiecutter.yaml"
        settings = {key: f"{folder}/{key}" for key in ("replay_dir", "cookiecutters_dir")}
        config.write_text(json.dumps(settings), encoding="utf-8")
        for task in tasks:
            print(f"\n{task}\n", flush=True)
            project = cookiecutter(
                str(TEMPLATE),
                no_input=True,
                extra_context={"task": task},
                output_dir=f"{folder}/{task}",
                config_file=str(config),
            )
            program = TEMPLATE / "tests" / "stress.py"
            command = [sys.executable, str(program), project, "--kills", str(KILLS)]
            failed |= subprocess.run(command).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
