"""Compares the quality of the defaults with simple, strong baselines on many sets of data.

    python -m benchmarks.quality tables
    python -m benchmarks.quality tables --only mpg,wages --splits 1
    python -m benchmarks.quality all

Each subject is a module of this package with a ``main(argv)``; ``SUBJECT --help`` lists its
arguments. A whole run writes benchmarks/results/quality-SUBJECT.md. Let nothing else run meanwhile.
"""

import importlib
import sys
from pathlib import Path

PARTS = {"__init__", "__main__", "common", "child"}


def subjects() -> list[str]:
    """The modules here that can be run."""
    files = Path(__file__).parent.glob("*.py")
    names = (path.stem for path in files if "def main(argv" in path.read_text("utf-8"))
    return sorted(set(names) - PARTS)


def main(argv: list[str]) -> int:
    if argv == ["all"]:
        return max(main([subject]) for subject in subjects())
    if not argv or argv[0] not in subjects():
        print(__doc__, f"\nSubjects: {', '.join(subjects())}", sep="", file=sys.stderr)
        return 2
    importlib.import_module(f"benchmarks.quality.{argv[0]}").main(argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
