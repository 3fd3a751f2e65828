"""Entry to the commands: ``python -m PACKAGE COMMAND --help``. Each imports only what it needs."""

import os
import sys
from collections.abc import Callable

from .errors import UserError
from .faults import explain

PROGRAM = f"python -m {__package__}"
COMMANDS = {
    "train": "trains a model; the same as python train.py",
    "find-lr": "tries learning rates in one short training, and proposes one",
    "evaluate": "metrics of a run's best checkpoint on the test set",
    "report": "figures and report.html of a run again",
    "doctor": "what this machine is, what torch can do with it, what to type to fix it",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # Threads of the CPU that spin for long while they wait make a step up to twenty times slower
    # when another program takes a core. GNU OpenMP reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0 if argv else 2
    try:
        return find_command(argv[0])(argv[1:])
    except UserError as error:
        # A worker process wraps the error in its own traceback; the sentence comes last.
        print(f"Error: {str(error).rpartition('UserError: ')[2].strip()}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __package__:
            raise
        print(
            f"Error: the package {error.name} is not installed here. Type `uv sync`, and `uv run` "
            "before each command; or `python -m pip install -r requirements-torch.txt`, then "
            "`python -m pip install -e .`",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
        print(f"Error: {problem}", file=sys.stderr)
        sys.unraisablehook = lambda _: None  # what is torn down now has nothing to add
        return problem.exit_code


def find_command(name: str) -> Callable[[list[str]], int]:
    """The command of that name.

    Raises:
        UserError: there is none.
    """
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Commands: {', '.join(COMMANDS)}."
        raise UserError(f"There is no command {name!r}. {hint}")
    if name == "doctor":  # it needs nothing that must be installed
        from .doctor import main as doctor

        return doctor
    from . import commands

    command: Callable[[list[str]], int] = getattr(commands, name.replace("-", "_"))
    return command


def overview() -> str:
    """The commands, a line each."""
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [f"usage: {PROGRAM} COMMAND ...", "", *lines, "", f"{PROGRAM} COMMAND --help says more."]
    )


if __name__ == "__main__":
    sys.exit(main())
