"""The one kind of error that is meant for the user."""

import signal


class UserError(Exception):
    """What is wrong and what to type instead, in a sentence or two.

    The command line prints the text without a traceback and ends with exit code 2.
    """

    exit_code = 2


class RunFailed(UserError):
    """The request was right, but the run could not go on; exit code 1."""

    exit_code = 1


class Stopped(Exception):
    """A signal ended the run between two steps, after it was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def is_called(self, name: str | None) -> bool:
        """Whether it was SIG``name``."""
        return name is not None and signal.Signals(self.number).name == f"SIG{name}"
