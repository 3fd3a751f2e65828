"""Ctrl-C and SIGTERM end a run between two steps, not in the middle of one."""

import signal
from types import FrameType


class StopSignals:
    """Turns Ctrl-C and SIGTERM into a wish that the loop reads between two steps.

    A second Ctrl-C interrupts at once, as usual.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> "StopSignals":
        self._previous = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
