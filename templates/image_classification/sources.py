"""Where images come from: the digits inside scikit-learn, or a folder of your own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .cache import PixelCache, Room
from .class_folders import read_class_folders
from .hyperparameters import Hyperparameters
from .images import SUFFIXES, read_image
from .loaders import packaged_file, split


class Source(Protocol):
    """One part of the data: its images before any transformation, and their classes."""

    @property
    def labels(self) -> Sequence[int]: ...

    def read(self, index: int) -> Tensor:
        """(C, H, W) uint8."""
        ...

    def describe(self, index: int) -> str:
        """Where the image is from, for messages and figures."""
        ...


@dataclass(frozen=True)
class Digits:
    """Some of the handwritten digits, which are held in memory."""

    images: Tensor
    labels: list[int]
    numbers: list[int]

    def read(self, index: int) -> Tensor:
        """(1, 8, 8) uint8."""
        return self.images[index]

    def describe(self, index: int) -> str:
        """Its number in scikit-learn's file."""
        return f"digit {self.numbers[index]}"


@dataclass(frozen=True)
class Files:
    """Image files, which are decoded when they are needed, or once for all epochs."""

    paths: list[Path]
    labels: list[int]
    pixels: PixelCache

    def read(self, index: int) -> Tensor:
        """(3, H, W) uint8, not much larger than the model needs them."""
        return self.pixels[index]

    def describe(self, index: int) -> str:
        """Its path."""
        return str(self.paths[index])


def read_digits(settings: Hyperparameters) -> tuple[dict[str, Digits], list[str]]:
    """The parts and the classes of 1,797 handwritten digits (Alpaydin and Kaynak, UCI, 1998)."""
    table = np.loadtxt(packaged_file("digits.csv.gz"), delimiter=",", dtype=np.uint8)
    images = torch.from_numpy(table[:, :64]).view(-1, 1, 8, 8)
    images = (images.float() * (255 / 16)).round().to(torch.uint8)  # the file has 17 grey levels
    labels = table[:, 64].tolist()
    parts = {
        name: Digits(images[numbers], [labels[number] for number in numbers], numbers)
        for name, numbers in split(len(labels), settings, labels).items()
    }
    return parts, [str(digit) for digit in range(10)]


def read_folder(
    root: Path, settings: Hyperparameters, side: int
) -> tuple[dict[str, Files], list[str]]:
    """The parts and the classes of a folder with one folder of images a class.

    ``side``: the shorter side of larger images is made so long.

    Raises:
        UserError: there is no such folder, or not two classes with enough images.
    """
    parts, classes = read_class_folders(root, settings, SUFFIXES, "images")
    room, found = Room(settings.cache_gib * 2**30 if settings.cache else 0), {}
    for part, files in parts.items():
        decode = partial(_decode, files.paths, side)
        sources = [[path] for path in files.paths]
        pixels = PixelCache(decode, sources, kind=f"RGB {side}", room=room)
        found[part] = Files(files.paths, files.labels, pixels)
    return found, classes


def _decode(paths: Sequence[Path], side: int, index: int) -> Tensor:
    return read_image(paths[index], side)
