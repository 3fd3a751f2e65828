"""Decoded images on the disk, so that only the first epoch decodes them."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..engine.errors import UserError, join_errors
from ..engine.files import atomic_write
from ..engine.machine import usable_cpus
from ..engine.splits import SplitSettings

FOLDER = Path(".cache") / "images"
VERSION = 4  # to be raised when the format of the files changes
CHUNK = 64  # images decoded at once
ABANDONED_AFTER = 3600  # seconds since the last write to an unfinished file


class FolderSettings(SplitSettings, Protocol):
    """The hyperparameters that decide how a folder of images is read."""

    @property
    def cache_gib(self) -> float: ...
    @property
    def group_by(self) -> str | None: ...


class CacheRoom:
    """The disk space that all caches share, in this run and in others; 0 means no cache."""

    def __init__(self, limit_gib: float) -> None:
        self.limit = int(limit_gib * 2**30)
        self.caches: list[PixelCache] = []  # of this run; none is deleted for another one

    def reserve(self, wanted: int, own: Path) -> int:
        """How many bytes ``own`` can have; the caches longest unused make room for ``wanted``."""
        kept, files = {own, *(cache.path for cache in self.caches)}, []
        for path in FOLDER.iterdir():
            with suppress(FileNotFoundError):  # another run has just deleted it
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        allowed = self.limit - sum(size for _, size, path in files if path != own)
        for last_used, size, path in sorted(files):
            is_unfinished = path.suffix == ".tmp" and time.time() - last_used < ABANDONED_AFTER
            if allowed < wanted and path not in kept and not is_unfinished:
                with suppress(OSError):  # Windows keeps a file that another run reads
                    path.unlink(missing_ok=True)
                    allowed += size
        return allowed


@dataclass(eq=False)
class PixelCache:
    """Images, exactly as ``load`` decodes them, in one file; ``load`` gives those that do not fit.

    The file is named by a hash of the path, size and times of each image file, so a changed image
    is decoded again. It begins with a table.
    """

    load: Callable[[int], Tensor]  # decodes image number i to (C, H, W) uint8
    files: Sequence[Sequence[Path]]  # that each image is made from
    kind: str  # everything else that the pixels depend on, such as their size
    room: CacheRoom

    def __post_init__(self) -> None:
        self.room.caches.append(self)

    def __getitem__(self, index: int) -> Tensor:
        """(C, H, W) uint8, in memory with the channels last."""
        if self.room.limit:
            with suppress(OSError):  # there is no cache, or not anymore, or it cannot be read
                offset, *shape = self.table[index + 1].tolist()
                count = math.prod(shape)
                pixels = np.fromfile(self.path, np.uint8, count, offset=offset)
                if offset and len(pixels) == count:  # another run may have written a smaller file
                    return torch.from_numpy(pixels.reshape(shape)).permute(2, 0, 1)
        return self.load(index)

    @cached_property
    def path(self) -> Path:
        """The file, whether it exists or not."""
        digest = blake2b(f"{VERSION} {self.kind}".encode(), digest_size=12)
        for path in chain(*self.files):
            stat = path.stat()
            state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
            digest.update(os.fsencode(f"\0{path.absolute()}\0{state}"))
        return FOLDER / digest.hexdigest()

    @cached_property
    def table(self) -> np.ndarray:
        """(1 + N, 4) int64: the limit, then of each image its offset (0: did not fit) and shape."""
        return np.fromfile(self.path, np.int64, 4 * (1 + len(self.files))).reshape(-1, 4)

    def fill(self) -> None:
        """Decode the images, unless an earlier run did. Several runs may do so at the same time.

        A UserError if images cannot be decoded; the message has them all.
        """
        if not self.room.limit:
            return
        with suppress(FileNotFoundError, PermissionError):  # there is none, or of another user
            if self.table[0, 0] >= self.room.limit or self.table[1:, 0].all():
                with suppress(PermissionError):
                    os.utime(self.path)  # it counts as just used
                return
        start = time.perf_counter()
        try:
            self.table = self._write()
        except OSError as error:
            place = error.filename or FOLDER
            tqdm.write(f"Warning: no cache of decoded images ({place}: {error.strerror}).")
            return
        count, seconds = np.count_nonzero(self.table[1:, 0]), time.perf_counter() - start
        tqdm.write(
            f"Decoded {count:,} of {len(self.files):,} images into {FOLDER} in {seconds:.1f} s. "
            "--cache-gib 0 does without this cache."
        )

    def _write(self) -> np.ndarray:
        """Write a new file with the images that fit. Returns its table."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)  # made with a lower limit
        table = np.zeros((1 + len(self.files), 4), np.int64)
        table[0, 0] = self.room.limit
        errors: list[UserError] = []
        images = tqdm(self._decode(), "decoding", len(table) - 1, leave=False, disable=None)
        new = FOLDER / f"{uuid4().hex}.tmp"  # of its own, as several runs may write at once
        with atomic_write(new) as file:
            end, allowed = file.seek(table.nbytes), 0
            for row, image in enumerate(images, start=1):
                if isinstance(image, UserError):
                    errors.append(image)
                    continue
                pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
                if end + pixels.nbytes > allowed:
                    allowed = self.room.reserve(end + CHUNK * pixels.nbytes, Path(file.name))
                if end + pixels.nbytes > allowed:
                    break
                table[row] = end, *pixels.shape
                end += file.write(pixels.data)
            if errors:
                raise join_errors(errors, len(self.files), "images")
            file.seek(0)
            file.write(table.data)
        new.replace(self.path)
        return table

    def _decode(self) -> Iterator[Tensor | UserError]:
        """All images in order, decoded by up to eight threads; or why one cannot be."""

        def load(index: int) -> Tensor | UserError:
            try:
                return self.load(index)
            except UserError as error:
                return error

        numbers = range(len(self.files))
        with ThreadPoolExecutor(min(8, usable_cpus())) as pool:
            for start in numbers[::CHUNK]:
                yield from pool.map(load, numbers[start : start + CHUNK])


def find_caches(*pixels: PixelCache | Tensor) -> list[PixelCache]:
    """Those of the images that are in files, not in memory."""
    return [images for images in pixels if isinstance(images, PixelCache)]
