"""Makes .venv-bench, where the rivals are: `python -m benchmarks.environment`, after .venv.

It sees all that .venv has, torch among it, so that only the rivals are installed. A second call
finds its mark and does nothing.
"""

import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
OURS, RIVALS = TEMPLATE / ".venv", TEMPLATE / ".venv-bench"
REQUIREMENTS = TEMPLATE / "benchmarks" / "requirements.txt"
MARK = RIVALS / "installed.txt"


def main() -> int:
    if not python_of(OURS).is_file():
        print(f"{OURS} is missing. Type: python tools/install.py", file=sys.stderr)
        return 1
    there = installed(site_packages(OURS))
    wanted = REQUIREMENTS.read_text("utf-8") + "".join(there)
    if MARK.is_file() and MARK.read_text("utf-8") == wanted:
        return 0
    print(f"Setting up {RIVALS}", flush=True)
    venv.create(RIVALS, clear=True)
    borrowed = site_packages(RIVALS) / "from_venv.pth"
    borrowed.write_text(f"{site_packages(OURS)}\n", encoding="utf-8")
    # With every version of .venv as a constraint pip replaces nothing: it adds, or it fails.
    constraints = RIVALS / "constraints.txt"
    constraints.write_text("".join(there), encoding="utf-8")
    command = [*pip(), "install", "--disable-pip-version-check", "--quiet"]
    if subprocess.run([*command, "-c", str(constraints), "-r", str(REQUIREMENTS)]).returncode:
        print("pip could not install the rivals; its own words are above.", file=sys.stderr)
        return 1
    MARK.write_text(wanted, encoding="utf-8")
    return 0


def python_of(environment: Path) -> Path:
    """The Python of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(environment: Path) -> Path:
    """Where an environment has its packages."""
    if os.name == "nt":
        return environment / "Lib" / "site-packages"
    return next(environment.glob("lib/python3*/site-packages"))


def installed(folder: Path) -> list[str]:
    """The packages in a folder, one line each, as constraints for pip."""
    found = metadata.distributions(path=[str(folder)])
    return sorted(f"{item.metadata['Name']}=={item.version}\n" for item in found)


def pip() -> list[str]:
    """pip, working on .venv-bench: the one of .venv, or this Python's where that has none."""
    has_pip = (site_packages(OURS) / "pip").is_dir()
    program = str(python_of(OURS)) if has_pip else sys.executable
    return [program, "-m", "pip", "--python", str(python_of(RIVALS))]


if __name__ == "__main__":
    sys.exit(main())
