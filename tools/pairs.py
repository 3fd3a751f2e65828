"""Renders every pair of answers, and checks and trains each project, as a Markdown table.

    python tools/pairs.py [--list] [--only TEXT]

Any two answers to two questions stand together in at least one project. Each is linted, its types
are checked, and it is trained for an epoch. The exit code is 1 if something failed.
"""

import argparse
import datetime
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
CHECKS = {
    "ruff": ["-m", "ruff", "check", "--quiet"],
    "format": ["-m", "ruff", "format", "--check", "--quiet"],
    "mypy": ["-m", "mypy"],
    "train": ["train.py", "--epochs", "1"],
}
Answers = dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="only print the answers")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with this answer")
    arguments = parser.parse_args()
    choices = read_choices()
    rows = [row for row in cover_pairs(choices) if arguments.only in (*row.values(), "")]
    if not rows:
        parser.error(f"no answer is {arguments.only!r}")
    checks = [] if arguments.list else ["render", *CHECKS]
    print(f"| {' | '.join([*choices, *checks, 'date'])} |")
    print("|---" * (len(choices) + len(checks) + 1) + "|")
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        for number, row in enumerate(rows):
            cells = [] if arguments.list else check(row, Path(name) / str(number), Path(name))
            failures += sum(cell.startswith("FAILED") for cell in cells)
            date = datetime.date.today().isoformat()
            print(f"| {' | '.join([*row.values(), *cells, date])} |", flush=True)
    return 1 if failures else 0


def read_choices() -> dict[str, list[str]]:
    """The questions that have a list of answers, and the extras."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    lists = {
        name: answers
        for name, answers in questions.items()
        if isinstance(answers, list) and not name.startswith("_")
    }
    return lists | {"extras": ["none", "all"]}


def cover_pairs(choices: dict[str, list[str]]) -> list[Answers]:
    """Few sets of answers, in which any two answers to two questions stand together once.

    Greedy: each set begins with a pair that is missing, and takes for every other question the
    answer with the most missing pairs.
    """
    missing = {
        frozenset([(one, a), (two, b)])
        for one, two in itertools.combinations(choices, 2)
        for a in choices[one]
        for b in choices[two]
    }
    rows = list[Answers]()
    while missing:
        row: Answers = dict(min(missing, key=sorted))
        for question, answers in choices.items():
            if question not in row:
                row[question] = max(
                    answers, key=lambda answer: num_new(row, question, answer, missing)
                )
        missing -= {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}
        rows.append({question: row[question] for question in choices})
    return rows


def num_new(
    row: Answers, question: str, answer: str, missing: set[frozenset[tuple[str, str]]]
) -> int:
    """How many missing pairs the answer would make with those of the row."""
    return sum(frozenset([(question, answer), item]) in missing for item in row.items())


def check(answers: Answers, folder: Path, shared: Path) -> list[str]:
    """Seconds of each step, or FAILED; what a step printed goes to the standard error."""
    command = ["-m", "cookiecutter", str(TEMPLATE), "--no-input", "-o", str(folder)]
    cells = [
        run([*command, *(f"{name}={value}" for name, value in answers.items())], shared, shared)
    ]
    for step in CHECKS.values():
        cells.append(
            "-" if "FAILED" in cells[0] else run(step, folder / "my-torch-project", shared)
        )
    return cells


def run(arguments: list[str], folder: Path, shared: Path) -> str:
    """Run Python; the caches of mypy and the settings of cookiecutter are in ``shared``."""
    own = {"HOME": str(shared), "MYPY_CACHE_DIR": str(shared / "mypy"), "PYTHONUTF8": "1"}
    start = time.perf_counter()
    outcome = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if outcome.returncode:
        print(" ".join(arguments), outcome.stdout, sep="\n", file=sys.stderr)
        return f"FAILED ({outcome.returncode})"
    return f"{time.perf_counter() - start:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
