"""Helpers that belong to no single step (step 3-1): seeds, files, memory, long texts."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO
from unicodedata import east_asian_width

from .errors import UserError

if TYPE_CHECKING:  # reports and other programs use this module without torch
    import numpy as np
    import torch


def mix_seed(*parts: int) -> int:
    """One seed from several numbers, such as (seed, epoch, index); neighbours give unrelated seeds.

    The finalizer of SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195)
    folds in one part after the other.
    """
    state = 0
    for part in parts:
        state = _fold(state, part)
    return state & 0x7FFFFFFFFFFFFFFF


def mix_seeds(*parts: int, last: "np.ndarray") -> "np.ndarray":
    """``mix_seed(*parts, n)`` for every n in ``last`` (uint64), at once."""
    state: Any = 0
    for part in (*parts, last):
        state = _fold(state, part)
    seeds: np.ndarray = state & 0x7FFFFFFFFFFFFFFF
    return seeds


def uniform(seeds: "np.ndarray", count: int) -> "np.ndarray":
    """``count`` numbers in [0, 1) from each of the seeds (N,): (N, count) float64."""
    import numpy as np

    bits = _fold(seeds.astype(np.uint64)[:, None], np.arange(count, dtype=np.uint64))
    numbers: np.ndarray = (bits >> 11) * 2.0**-53
    return numbers


def _fold(state: Any, part: Any) -> Any:
    """Numbers of 64 bits, or arrays of them."""
    mask = 0xFFFFFFFFFFFFFFFF
    state = (state + part + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def seed_torch(seed: int, device: "torch.device | None" = None) -> None:
    """Seed torch's generators on the CPU and on ``device``.

    It reseeds the generator objects, which takes about 1 µs; ``torch.manual_seed`` takes about
    90 µs because it visits every kind of device.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device is not None and device.type == "mps":
        torch.mps.manual_seed(seed)
    elif device is not None and device.type == "xpu":
        torch.xpu.manual_seed(seed)


def make_deterministic() -> None:
    """Let torch refuse every operation that may give other bits the next time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its start
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def import_torchmetrics() -> None:
    """Import torchmetrics in about half the time and memory; to be called before it is imported.

    torchmetrics 1.x imports scipy.signal, with half of scipy, only to give a name back to it that
    another library misses. Until that is done, something small stands in its place.
    """
    name = "scipy.signal"
    if name not in sys.modules and "torchmetrics" not in sys.modules:
        stand_in = ModuleType(name)
        stand_in.hamming = None  # type: ignore[attr-defined]  # the name
        sys.modules[name] = stand_in
        try:
            import torchmetrics  # noqa: F401
        finally:
            del sys.modules[name]


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces ``path`` only when it is complete and on the disk.

    Whatever happens meanwhile, ``path`` is either the old file or the whole new one.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _flush_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Have the new name of a file on the disk too; Windows does that by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def read_text(path: Path) -> str:
    """The content of a text file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: it cannot be read, or is not UTF-8; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not text in UTF-8 (line {line}). Save it as UTF-8.") from None


def peak_memory_mib(device: "torch.device") -> float | None:
    """Most memory in use so far: on the GPU, else of this process; None where nobody counts it."""
    if device.type in ("cuda", "xpu"):
        import torch

        return torch.accelerator.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def shorten(text: str, width: int) -> str:
    """The text in one line, with its middle left out where it is too long."""
    text = " ".join(text.split())
    cells = sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
    width = width * len(text) // max(cells, 1)  # a Hangul letter is as wide as two Latin ones
    half = (width - 1) // 2
    return text if len(text) <= width else f"{text[:half]}…{text[-half:]}"
{% include cookiecutter.task ~ "/utils.py" ignore missing %}
