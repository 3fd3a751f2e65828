"""Where images come from: the digits inside scikit-learn, or a folder of your own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import UserError
from .hyperparameters import Hyperparameters
from .images import SUFFIXES, read_image
from .loaders import packaged_file, split

NAMES_OF_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}


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
    """Image files, read when they are needed."""

    paths: list[Path]
    labels: list[int]

    def read(self, index: int) -> Tensor:
        """(3, H, W) uint8."""
        return read_image(self.paths[index])

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


def read_folder(root: Path, settings: Hyperparameters) -> tuple[dict[str, Files], list[str]]:
    """The parts and the classes of a folder with one folder a class.

    These may lie below train/, val/ and test/; a part without a folder is split off train/.

    Raises:
        UserError: there is no such folder, or not two classes with enough images.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of image folders.")
    folders = {part: _first_folder(root, names) for part, names in NAMES_OF_PARTS.items()}
    if folders["train"] is None:
        folders = {"train": root, "val": None, "test": None}
    found = {part: _list_images(folder) for part, folder in folders.items() if folder is not None}
    classes = sorted(found["train"])
    parts = {}
    for part, groups in found.items():
        for name in sorted(set(groups) - set(classes)):
            raise UserError(
                f"{folders[part]} has the class {name!r}, which {folders['train']} has not. "
                "Give every class a folder of training images."
            )
        labels = [classes.index(name) for name, paths in groups.items() for _ in paths]
        parts[part] = Files([path for paths in groups.values() for path in paths], labels)
    return parts | _split_off(parts, settings, classes), classes


def _first_folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _list_images(folder: Path) -> dict[str, list[Path]]:
    """The image files of every class folder, in a fixed order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        raise UserError(
            f"{folder} has {len(classes)} class folder(s); at least two are needed. "
            "Put the images of each class into a folder with the name of the class."
        )
    found = {}
    for path in classes:
        found[path.name] = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not found[path.name]:
            raise UserError(f"{path} has no images ({', '.join(sorted(SUFFIXES))}). Remove it.")
    return found


def _split_off(
    parts: dict[str, Files], settings: Hyperparameters, classes: list[str]
) -> dict[str, Files]:
    """The training images cut into what stays and the parts that have no folder."""
    missing = tuple(part for part in ("val", "test") if part not in parts)
    train = parts["train"]
    for number, name in enumerate(classes):
        if missing and train.labels.count(number) <= len(missing):
            raise UserError(
                f"The class {name!r} has {train.labels.count(number)} image(s), too few to be "
                f"split into train, {' and '.join(missing)}. Add images, or leave out the class."
            )
    return {
        part: Files([train.paths[i] for i in indices], [train.labels[i] for i in indices])
        for part, indices in split(len(train.paths), settings, train.labels, missing).items()
    }
