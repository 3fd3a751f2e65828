"""Lets contenders train in turn, each in a process of its own, and takes their times.

Every repeat asks all of them for one epoch, in another order than the repeat before. So what the
machine does meanwhile falls upon all alike, and ratios are taken within a repeat.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import IO, Any

from .child import Job
from .plan import CONTENDERS, Contender, Match
from .projects import ENVIRONMENT

PAUSE = 0.3  # seconds in which what an epoch leaves to the background comes to its end
TAIL = 3000  # characters of a contender's output that are kept, to explain a failure


class Failed(Exception):
    """A contender cannot go on; its own words."""


class Child:
    """A contender's process."""

    def __init__(self, contender: Contender, job: Job, project: Path) -> None:
        self.contender, self.output = contender, ""
        with Listener() as listener:
            stream, writer = terminal() if contender.terminal else pipe()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.child"],
                cwd=project,
                env=ENVIRONMENT | {"BENCHMARK_ADDRESS": str(listener.address)},
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
            )
            os.close(writer)
            threading.Thread(target=self._listen, args=[stream], daemon=True).start()
            self.connection: Connection[Any, Any] = listener.accept()
        self.connection.send(job)

    def _listen(self, stream: IO[bytes]) -> None:
        """Read on what it prints, so that it never waits for a reader."""
        with stream, contextlib.suppress(OSError):  # a terminal ends with an error
            while part := os.read(stream.fileno(), 65536):
                self.output = (self.output + part.decode("utf-8", "replace"))[-TAIL:]

    def hear(self) -> dict[str, Any]:
        """The next that it says.

        Raises:
            Failed: it has no more to say.
        """
        try:
            said: dict[str, Any] = self.connection.recv()
        except (EOFError, OSError):
            raise Failed(f"The process ended. {self.output}") from None
        if "error" in said:
            raise Failed(said["error"])
        return said

    def train_epoch(self) -> dict[str, Any]:
        """Let it train, while it is ready for nothing else."""
        self.connection.send("go")
        return self.hear()

    def close(self) -> None:
        """End it, if it has not ended by itself."""
        self.connection.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def pipe() -> tuple[IO[bytes], int]:
    """Both ends of what is no terminal."""
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb", buffering=0), writer


def terminal() -> tuple[IO[bytes], int]:
    """Both ends of a terminal of 100 columns, where there are such; else a pipe."""
    if sys.platform == "win32":
        return pipe()
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    return os.fdopen(reader, "rb", buffering=0), writer


def compete(
    match: Match, project: Path, data: Path, repeats: int, times: int = 1
) -> dict[str, dict[str, Any]]:
    """Epochs of the contenders of a match, in turn.

    Args:
        project: the rendered project in whose folder they run.
        data: where the workloads' files are.
        repeats: timed epochs, after the first one, which is for warming up.
        times: how many times as large the training data is.

    Returns:
        for each contender "rounds" (seconds, steps and samples of each epoch, the first included),
        "peak_mib" and "quality"; or "error", what it said when it failed.
    """
    results: dict[str, dict[str, Any]] = {name: {"rounds": []} for name in match.contenders}
    with contextlib.ExitStack() as stack:
        children = {}
        for name in match.contenders:
            job = make_job(CONTENDERS[name], match, data, repeats + 1, times)
            children[name] = Child(CONTENDERS[name], job, project)
            stack.callback(children[name].close)
        for name, child in children.items():
            with noted(results[name]):
                child.hear()  # all are ready before the first begins
        for names in orders(match.contenders, repeats + 1):
            for name in names:
                if "error" not in results[name]:
                    take_turn(children[name], results[name])
    return results


def make_job(contender: Contender, match: Match, data: Path, rounds: int, times: int) -> Job:
    """What a contender is to do in a match."""
    return Job(
        contender=contender.module,
        workload=match.workload,
        folder=data,
        rounds=rounds,
        options=contender.options,
        workers=match.workers,
        times=times,
        core=None if match.workers else last_core(),
    )


def take_turn(child: Child, result: dict[str, Any]) -> None:
    """One epoch; then wait until it is ready for the next, or has said its last words."""
    with noted(result):
        result["rounds"].append(child.train_epoch())
        said = child.hear()
        result |= {key: value for key, value in said.items() if key != "ready"}
        if "ready" not in said:  # its last words; its end must not disturb the next
            child.close()
        time.sleep(PAUSE)


@contextlib.contextmanager
def noted(result: dict[str, Any]) -> Iterator[None]:
    """A contender that fails is out; the others go on."""
    try:
        yield
    except Failed as failure:
        result["error"] = str(failure)


def orders(names: tuple[str, ...], repeats: int) -> Iterator[tuple[str, ...]]:
    """The names once for each repeat, each time beginning with the next."""
    for repeat in range(repeats):
        first = repeat % len(names)
        yield (*names[first:], *names[:first])


def last_core() -> int | None:
    """The core that everyone is bound to; None where programs cannot be bound."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
