"""What went wrong outside of this program, in a sentence with the remedy."""

import errno

from .errors import RunFailed

FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
RESUME = "What was saved before is kept: go on with --resume."


def explain(error: BaseException) -> RunFailed | None:
    """The error as the user should read it; None if it is a mistake in the program."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        return _explain_file(error)
    text = str(error)
    if isinstance(error, EOFError | ConnectionResetError | ConnectionRefusedError):
        return _WORKER  # in the middle of its answer
    if is_out_of_memory(error):
        gpu = any(word in text for word in ("GPU", "CU", "MPS", "DEVICE"))
        return RunFailed(_MEMORY.format(place="The GPU" if gpu else "This machine"))
    if not isinstance(error, RuntimeError):
        return None
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpec" in text):
        return _WORKER
    if "Connection closed by peer" in text or "Connection reset by peer" in text:
        return RunFailed(
            "Another process of the group has ended, so this one does too. What that one said is "
            f"above. `torchrun --max-restarts 3` starts them again. {RESUME}"
        )
    if "does not have a deterministic implementation" in text:
        operation = text.partition(" does not")[0]
        return RunFailed(
            f"--deterministic: torch has no deterministic way to compute {operation} on this "
            "device. Leave the flag out, or choose another model."
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU (also as its libraries say it) or on the machine."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",  # CUDA error, MPS backend
    "STATUS_ALLOC_FAILED",  # CUBLAS, CUDNN, CUSOLVER
    "OUT_OF_DEVICE_MEMORY",  # Intel's GPUs
)


_MEMORY = (
    "{place} has not enough memory for this. Type --accumulation-steps 2 (or more), which cuts "
    "each batch into parts; or --precision bf16, a smaller --batch-size "
    "(auto: the largest that fits), --eval-batch-size or model."
)


_WORKER = RunFailed(
    "A process that loads data was killed. The system does that when memory runs out: try a "
    f"smaller --num-workers. {RESUME}"
)


def _explain_file(error: OSError) -> RunFailed | None:
    name = f" {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return RunFailed(f"The disk is full: cannot write{name}. Make room. {RESUME}")
    if error.errno in FORBIDDEN and name:
        return RunFailed(f"No permission for{name} ({error.strerror}). Choose another folder.")
    return None
