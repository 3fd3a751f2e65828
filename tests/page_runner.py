"""Runs the commands of many projects in one process, so that torch is imported once.

Reads {project: [[word, ...], ...]} from standard input, and writes {project: [[exit code, output],
...]} to standard output. A command is what stands after ``python``.
"""

import io
import json
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path


def forget(folder: Path) -> None:
    """Forget the modules of a project, as the next one has others of the same names."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def run(words: list[str]) -> tuple[int, str]:
    """The exit code and the output of a command in the current folder."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            if words[0] == "-m":
                sys.argv = words[1:]
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = words
                runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


def main() -> None:
    """Run everything."""
    outcomes: dict[str, list[tuple[int, str]]] = {}
    for project, commands in json.load(sys.stdin).items():
        os.chdir(project)
        sys.path.insert(0, project)
        outcomes[project] = [run(words) for words in commands]
        sys.path.remove(project)
        forget(Path(project))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
