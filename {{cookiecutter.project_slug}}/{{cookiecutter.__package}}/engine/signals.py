"""Signals end a run between two steps, not in the middle of one."""

import os
import signal
import subprocess
import sys
import threading
from types import FrameType


class StopSignals:
    """Remembers Ctrl-C, SIGTERM and a cluster's own signal, so that the loop can stop in order.

    A second Ctrl-C interrupts at once, as usual. Python gives signals to its main thread only.
    """

    def __init__(self, requeue_signal: str | None = None) -> None:
        self.received = 0
        self.numbers = [signal.SIGINT, signal.SIGTERM]
        if requeue_signal is not None and hasattr(signal, f"SIG{requeue_signal}"):
            self.numbers.append(getattr(signal, f"SIG{requeue_signal}"))

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is not threading.main_thread():
            print("Warning: this is not the main thread, so Ctrl-C does not save.", file=sys.stderr)
            self.numbers = []
        self._previous = {number: signal.signal(number, self._remember) for number in self.numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number


def is_signal(number: int, name: str | None) -> bool:
    """Whether the signal of this number is SIG``name``."""
    return name is not None and signal.Signals(number).name == f"SIG{name}"


def requeue() -> None:
    """Put this Slurm job into the queue again; outside of Slurm there is nothing to do."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"Warning: job {job} could not be queued again ({error}).", file=sys.stderr)
