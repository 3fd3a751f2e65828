"""Finds the command that was typed, and turns errors into a sentence and an exit code."""

import difflib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import NoReturn

from ..engine.errors import UserError, explain
from ..engine.machine import kill_workers

PACKAGE = __name__.partition(".")[0]
COMMANDS = {
    "train": "train a model; the same as python train.py",
    "evaluate": "compute the metrics of a run on the test set",
    "predict": "predict for your own files with a run's best model",
    "export": "write a run's best model as files that run without this project",
    "serve": "answer HTTP requests with a run's exported model",
    "benchmark": "measure speed, memory and metrics of a run's model, as it is and exported",
    "report": "draw the figures of a run and write its report.html again",
    "runs": "show a table of all runs",
    "compare": "compare runs: hyperparameters, metrics with intervals, curves",
    "check-data": "show what is in the data, and what is wrong with it",
    "find-lr": "try learning rates in one short training, and propose one",
    "find-batch-size": "find the largest batch that fits in the memory of the GPU",
    "doctor": "show what this machine is, what torch can do with it, and how to fix it",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # Threads that spin while they wait make a step up to twenty times slower when another program
    # takes a core. GNU OpenMP reads this when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0 if argv else 2
    try:
        return run_command(argv[0], argv[1:])
    except UserError as error:
        # A worker process wraps the error in its own traceback; the sentence comes last.
        sentence = str(error).rpartition(f"{type(error).__name__}: ")[2].strip()
        print(f"Error: {sentence}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == PACKAGE:
            raise
        missing = f"the package {error.name} is not installed here" if error.name else f"{error}"
        print(
            f"Error: {missing.rstrip('.')}. Use `uv sync`, and `uv run` "
            "before each command; or `python -m pip install -r requirements-torch.txt`, then "
            "`python -m pip install -e .`",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # such as predict ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        problem = explain(error)
        if problem is None:
            raise
        print(f"Error: {problem}", file=sys.stderr)
        sys.unraisablehook = lambda _: None  # what is cleaned up from here on has nothing to add
        return problem.exit_code


def run_and_exit(argv: list[str] | None = None) -> NoReturn:
    """Run a command and end this process with its exit code.

    Under torchrun it ends at once. In Python's own cleanup, threads of torch's process groups may
    abort a process that has done everything (seen with torch 2.14.1 and gloo).
    """
    with working_output():
        code = main(argv)
    if code:  # Python would wait for a worker that hangs
        kill_workers()
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def working_output() -> Iterator[None]:
    """Each line is in a log when it is printed, and what a terminal cannot show is escaped.

    A service, or a program without a window on Windows, has no output: it is thrown away.
    """
    with ExitStack() as stack:
        if sys.stdout is None or sys.stderr is None:
            nothing = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(sys.stdout or nothing))
            stack.enter_context(redirect_stderr(sys.stderr or nothing))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        yield


def run_command(name: str, argv: list[str]) -> int:
    """Import the module of the command, and call its ``main``.

    Raises:
        UserError: there is no such command.
    """
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Commands: {', '.join(COMMANDS)}."
        raise UserError(f"There is no command {name!r}. {hint}")
    module = importlib.import_module(f"{PACKAGE}.cli.{name.replace('-', '_')}")
    code: int = module.main(argv)
    return code


def overview() -> str:
    """The commands, a line each."""
    program = f"python -m {PACKAGE}"
    lines = [f"  {name:<16} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [f"usage: {program} COMMAND ...", "", *lines, "", f"{program} COMMAND --help says more."]
    )
