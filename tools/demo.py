"""Shows the template at work: a project with every default answer, trained and evaluated.

make demo
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
DEMO = TEMPLATE / "demo"


def main() -> int:
    start = time.perf_counter()
    project = generate()
    print(f"Generated {project} in {time.perf_counter() - start:.1f} s\n", flush=True)
    package = project.name.replace("-", "_")
    run([sys.executable, "train.py"], project)
    run([sys.executable, "-m", package, "evaluate", "latest"], project)
    show(project)
    print(f"From nothing to a tested model in {time.perf_counter() - start:.0f} s")
    return 0


def generate() -> Path:
    """A new project in demo/, in place of the last one; the user's own settings are left alone."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    config = DEMO / "cookiecutter.yaml"
    settings = {key: str(DEMO / ".cookiecutter") for key in ("replay_dir", "cookiecutters_dir")}
    config.write_text(json.dumps(settings), encoding="utf-8")
    return Path(
        cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(DEMO), config_file=str(config))
    )


def run(command: list[str], project: Path) -> None:
    """Shows a command as one would type it, and runs it in the project."""
    print("$ python", *command[1:], flush=True)
    subprocess.run(command, cwd=project, check=True)
    print(flush=True)


def show(project: Path) -> None:
    """Prints the metrics on the test set and where the report is."""
    (evaluation,) = project.glob("runs/*/evaluation.json")
    metrics = json.loads(evaluation.read_text("utf-8"))
    for name, value in metrics.items():
        if isinstance(value, float):
            print(f"test {name}: {value:.4f}")
    print(f"report: {evaluation.with_name('report.html')}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"The demo stopped: {' '.join(error.cmd[1:])} failed; its own words are above.")
