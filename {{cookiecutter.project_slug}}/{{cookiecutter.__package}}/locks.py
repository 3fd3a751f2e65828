"""A run's folder belongs to one process at a time."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import UserError

FILE = ".lock"
_PLACE = 2**20  # on Windows nobody can read the bytes that are locked, so none of the text is


@contextmanager
def locked(run: Path, order: int) -> Iterator[None]:
    """Hold the folder ``run``. The system lets go of it when the process ends, however it ends.

    ``order`` is higher than that of all runs which were begun or went on before.

    Raises:
        UserError: another process holds it.
    """
    with (run / FILE).open("a+", encoding="utf-8") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            holder = read_holder(run)
            raise UserError(
                f"{run} is in use by process {holder.get('pid')} on {holder.get('host')}. Wait "
                "until it ends, or stop it."
            ) from None
        except OSError:
            pass  # a file system without locks
        file.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "order": order, **launch()}
        file.write(json.dumps(holder))
        file.flush()
        yield


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_holder(run: Path) -> dict[str, Any]:
    """Who holds the folder, or was the last to do so; empty if nobody knows.

    Not for the folder that this process holds: to close the file would let go of it.
    """
    try:
        content = json.loads((run / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def launch() -> dict[str, str]:
    """What stays the same when torchrun or Slurm starts this program again, by itself."""
    environment, command = os.environ, " ".join(sys.argv[1:])
    if "TORCHELASTIC_RUN_ID" in environment:
        agent = f"{socket.gethostname()} {os.getppid()}"
        return {"launch": f"torchrun {environment['TORCHELASTIC_RUN_ID']} {agent} {command}"}
    if "SLURM_JOB_ID" in environment:
        return {"launch": f"slurm {environment['SLURM_JOB_ID']} {command}"}
    return {}


def is_of_this_launch(run: Path) -> bool:
    """Whether a run was last held by the program that now was started again."""
    mine = launch().get("launch")
    return mine is not None and read_holder(run).get("launch") == mine


def was_restarted() -> bool:
    """Whether torchrun or Slurm has started this program again."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") != "0" for name in counts)
