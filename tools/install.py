"""Makes .venv with all that the demo and the tests need: `python tools/install.py [--newest]`.

A second call finds its mark and does nothing. torch comes from the index that fits this machine,
and from the package registry when that index cannot be reached. With --newest there are no upper
bounds, to see early what newer packages break. Standard library only.
"""

import importlib.util
import os
import re
import subprocess
import sys
import threading
import urllib.request
import venv
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
ENVIRONMENT = TEMPLATE / ".venv"
MARK = ENVIRONMENT / "installed.txt"
OLDEST_PYTHON = (3, 11)
PROBE_SECONDS = 4


def main(*, is_newest: bool = False) -> int:
    if sys.version_info < OLDEST_PYTHON:
        return fail("Python 3.11 or newer is needed: make PYTHON=python3.11 ...")
    wanted = without_upper_bounds(requirements()) if is_newest else requirements()
    if MARK.is_file() and MARK.read_text("utf-8").split("\n") == wanted:
        return 0
    make_environment()
    mark = ">=" if is_newest else "=="
    install_torch([line for line in wanted if re.match(f"torch(vision)?{mark}", line)])
    if not pip_install(*["--upgrade"] * is_newest, *wanted):
        return fail("pip could not install the requirements; its own words are above.")
    MARK.write_text("\n".join(wanted), encoding="utf-8")
    return 0


def fail(sentence: str) -> int:
    """Says what is wrong and gives the exit code."""
    print(sentence, file=sys.stderr)
    return 1


def requirements() -> list[str]:
    """The template's own requirements and those of every project that it can render."""
    own = (TEMPLATE / "requirements.txt").read_text("utf-8")
    files = ["pyproject.toml", "requirements-torch.txt"]
    lists = [*(PROJECT / name for name in files), *TEMPLATE.glob("templates/*/dependencies.txt")]
    text = "\n".join(path.read_text("utf-8") for path in lists)
    ranges = re.findall(r'^  "([\w-]+>=.*)",$', text, re.MULTILINE)
    pins = re.findall(r"\btorch[a-z]*==[0-9.]+", text)
    return sorted({*pins, *ranges, *re.findall("^[a-z].*", own, re.MULTILINE)})


def without_upper_bounds(wanted: list[str]) -> list[str]:
    """The same packages with their lower bounds alone."""
    return [re.sub(r",<[\w.]+", "", line) for line in wanted if "==" not in line]


def make_environment() -> None:
    """A new .venv, or the one that is there; Debian's bare Python has no pip to put into it."""
    has_pip = importlib.util.find_spec("ensurepip") is not None
    print(f"Setting up {ENVIRONMENT}", flush=True)
    venv.create(ENVIRONMENT, with_pip=has_pip)


def environment_python() -> Path:
    """The Python of .venv."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip_install(*arguments: str) -> bool:
    """Whether pip, the environment's own or this Python's, installed what is asked for."""
    own = importlib.util.find_spec("ensurepip") is not None
    if own:
        pip = [str(environment_python()), "-m", "pip"]
    else:
        pip = [sys.executable, "-m", "pip", "--python", str(environment_python())]
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = [*pip, "install", "--disable-pip-version-check", *quiet, *arguments]
    return subprocess.run(command, check=False).returncode == 0


def install_torch(wanted: list[str]) -> None:
    """Tries the index that fits this machine; the registry, which comes next, is the fallback."""
    index = torch_index()
    if not index:
        return
    if not is_reachable(f"{index}/torch/"):
        print(f"{index} cannot be reached: torch comes from the package registry", flush=True)
        return
    print(f"Installing torch from {index}", flush=True)
    pip_install("--index-url", index, "--retries", "1", *wanted)


def torch_index() -> str | None:
    """Where the torch builds for this machine are; None for the registry."""
    sys.path.insert(0, str(TEMPLATE))
    from detection.detect import detect
    from detection.plan import make_plan

    return make_plan(detect()).index_url


def is_reachable(address: str) -> bool:
    """Whether `address` answers in time; asked in a thread, for a name server may hang."""
    answers: list[int] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS) as response:
                answers.append(response.status)
        except OSError:
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answers == [200]


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--newest"]):
        sys.exit("Type python tools/install.py, or python tools/install.py --newest")
    sys.exit(main(is_newest="--newest" in sys.argv))
