"""Errors that are meant for the user, and what to say about errors of the system."""

import errno
from collections.abc import Sequence
from pathlib import Path

from .machine import describe_shared_memory, max_open_files

NUM_SHOWN = 3  # errors of a kind that are shown in full


class UserError(Exception):
    """What is wrong and what to type instead, in a sentence or two.

    The command line prints the text without a traceback and ends with exit code 2.
    """

    exit_code = 2


def join_errors(errors: Sequence[UserError], total: int, noun: str) -> UserError:
    """One error for all things of a kind, such as images, that have an error each."""
    if len(errors) == 1:
        return errors[0]
    shown = " ".join(str(error) for error in errors[:NUM_SHOWN])
    more = f" And {len(errors) - NUM_SHOWN:,} more." if len(errors) > NUM_SHOWN else ""
    return UserError(f"{len(errors):,} of {total:,} {noun} cannot be used. {shown}{more}")


def first_line(error: Exception) -> str:
    """The beginning of its message; those of compilers have pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]


class TrainingFailed(UserError):
    """The request was right, but the run could not continue; exit code 1."""

    exit_code = 1


class Stopped(Exception):
    """A signal ended the run between two steps, after a checkpoint was saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


RESUME = "If the run has a checkpoint, --resume continues from it."
FULL_DISK = "The disk is full: cannot write{}. Free some space. " + RESUME
SHARED_MEMORY = (
    "The shared memory is full, in which processes hand over batches: {shm}. Start the container "
    "with --shm-size=8g, or use a smaller --num-workers or --batch-size. " + RESUME
)
MANY_FILES = (
    "Too many files are open: this system allows a program {files}. Allow more with "
    "`ulimit -n 4096`, or use a smaller --num-workers. " + RESUME
)
NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
OUT_OF_MEMORY = (
    *("can't allocate memory", "not enough memory", "out of memory"),
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN, cuSOLVER
    "OUT_OF_DEVICE_MEMORY",  # Intel GPUs
)
RUNTIME_ERRORS = {
    "shared memory": SHARED_MEMORY,  # first, as it also names the worker
    "Too many open files": MANY_FILES,
    "ancdata": MANY_FILES,
    "unexpected pos": FULL_DISK.format(" a checkpoint"),  # how torch.save reports it
    "PytorchStreamWriter failed": FULL_DISK.format(" a checkpoint"),
    "DataLoader worker (pid": "A process that loads data was killed. The system does that when "
    f"memory runs out: try a smaller --num-workers. {RESUME}",
    "by peer": "Another process of the group has ended, so this one ends too. Its own message is "
    f"above. `torchrun --max-restarts 3` starts them again. {RESUME}",
    "does not have a deterministic implementation": "--deterministic: torch cannot compute "
    "{operation} deterministically on this device. Leave out the flag, or use another model.",
}
"""What is in torch's message -> what to say."""


def explain(error: BaseException) -> TrainingFailed | None:
    """The error in a sentence with the remedy; None if it is a mistake in the program."""
    text = str(error)
    if isinstance(error, EOFError | ConnectionResetError | ConnectionRefusedError):
        return TrainingFailed(RUNTIME_ERRORS["DataLoader worker (pid"])
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        name = f" {error.filename}" if error.filename else ""
        if error.errno in NO_SPACE:
            return TrainingFailed(FULL_DISK.format(name))
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return TrainingFailed(MANY_FILES.format(files=max_open_files()))
        if error.errno in NO_PERMISSION and name:
            return TrainingFailed(
                f"No permission for{name} ({error.strerror}). Work in a folder of your own, or let "
                f"its owner type `chmod -R g+w {Path(str(error.filename)).parent}`."
            )
    elif is_out_of_memory(error):
        on_gpu = any(word in text for word in ("GPU", "CU", "MPS", "DEVICE"))
        return TrainingFailed(
            f"{'The GPU' if on_gpu else 'This machine'} has not enough memory for this. Use "
            "--accumulation-steps 2 (or more), --precision bf16, a smaller --batch-size or "
            "--eval-batch-size, or a smaller model."
        )
    elif isinstance(error, RuntimeError):
        for words, sentence in RUNTIME_ERRORS.items():
            if words in text:
                facts = {"shm": describe_shared_memory(), "files": max_open_files()}
                operation = text.partition(" does not")[0]
                return TrainingFailed(sentence.format(operation=operation, **facts))
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the machine."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def is_compile_error(error: BaseException) -> bool:
    """Whether the error comes from torch.compile, and not from the model itself."""
    modules = [kind.__module__ for kind in type(error).__mro__]
    return any(name.startswith(("torch._dynamo", "torch._inductor")) for name in modules)
