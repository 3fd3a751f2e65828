"""Checkpoint files: whole or not there, with a checksum, written while training goes on."""

import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from .errors import UserError
from .utils import atomic_write

FORMAT = 3


def write(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain types; ``path`` is the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        guarded = _Guarded(file)
        whole = {"format": FORMAT, "checksum": checksum(content), **content}
        torch.save(whole, guarded)  # type: ignore[arg-type]
        if guarded.error is not None:
            raise guarded.error


class _Guarded:
    """A file that keeps the error of a full disk, of which torch.save would say nothing useful."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            if self.error is None:
                self.file.write(data)
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing yet: the whole file is flushed at once."""


def read(path: Path) -> dict[str, Any]:
    """What was written, on the CPU. No code is loaded, whatever the file holds.

    Raises:
        UserError: there is no such file, it is damaged, or it is from another version of this
            format.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist. Train first, or choose another run.")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version, expected = content.pop("format"), content.pop("checksum", None)
    except PermissionError:
        raise
    except (pickle.UnpicklingError, EOFError, UnicodeError, MemoryError, *_DAMAGES) as error:
        reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged ({reason}).") from None
    if version != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {version}; this program reads {FORMAT}. "
            "Use the version of the project that wrote it."
        )
    if checksum(content) != expected:
        raise UserError(f"{path} is damaged (its checksum is another).")
    return content


# What torch.load raises where bytes were changed depends on the place.
_DAMAGES = (
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ImportError,
)


def checksum(content: Any) -> str:
    """SHA-256 of all that is in there, whatever the layout in memory."""
    digest = hashlib.sha256()
    _feed(digest.update, content)
    return digest.hexdigest()


def _feed(update: Callable[[Any], None], value: Any) -> None:
    if isinstance(value, Tensor):
        update(f"{value.dtype}{tuple(value.shape)}".encode())
        update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        update(f"dict{len(value)}".encode())
        for key, item in value.items():
            _feed(update, key)
            _feed(update, item)
    elif isinstance(value, list | tuple):
        update(f"{type(value).__name__}{len(value)}".encode())
        for item in value:
            _feed(update, item)
    else:
        update(f"{type(value).__name__}{value!r};".encode())


def to_host(value: Any) -> Any:
    """The same, with a copy of every tensor in the memory of the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: to_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_host(item) for item in value)
    return value


class Writer:
    """A thread that writes, so that training need not wait for the disk.

    Use it in a ``with`` statement, which ends when all is written.
    """

    def __init__(self) -> None:
        # With helpers of its own, this thread would make OpenMP count more threads than there are
        # processors, and put those of the training to sleep between operations: half the speed.
        self._thread = ThreadPoolExecutor(1, "writer", torch.set_num_threads, (1,))
        self._under_way: Future[None] | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:  # the error that ended the training matters more
            self.wait()

    def start(self, write: Callable[[], None]) -> None:
        """Begin to write when what was begun before is done; raises what went wrong with that."""
        self.wait()
        self._under_way = self._thread.submit(write)

    def wait(self) -> None:
        """Wait until nothing is left to be written.

        Raises:
            OSError: it could not be written, because the disk is full, say.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()
