"""What annotation files say about images and their objects, whatever the format."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError

Size = tuple[int, int]
"""Width and height in pixels."""
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2."""
Label = int | str
"""What an annotation file calls a class: its number or its name."""


@dataclass
class AnnotatedImage:
    """An image file and its objects."""

    path: Path
    split: str
    source: Path
    """The file that has its boxes."""
    declared: Size | None = None
    """Its size as the annotations have it; None if they do not."""
    size: Size = (1, 1)
    """Its size as it is seen, after the EXIF orientation."""
    turn: int = 1
    """The EXIF orientation, if the boxes are for the image without it."""
    boxes: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))
    """(k, 4): x1, y1, x2, y2 as fractions of the image's width and height."""
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class Annotations:
    """The images and objects of all splits, as a reader adds them."""

    def __init__(self, noun: str, *, in_pixels: bool) -> None:
        self.noun = noun
        """What an object is called in its file: annotation, line, object."""
        self.in_pixels = in_pixels
        """Whether boxes are in pixels, or fractions of the image."""
        self.names: dict[Label, str] = {}
        """The name of the class for each label that objects may have."""
        self.images: list[AnnotatedImage] = []
        self.owners: list[int] = []
        self.labels: list[Label] = []
        self.sides: list[float] = []
        """x1, y1, x2, y2 of one box after the other."""
        self.places: list[int] = []
        self._numbers: dict[Path, int] = {}
        self._twice, self._leaks = list[str](), list[str]()

    def add_image(self, path: Path, split: str, source: Path, declared: Size | None = None) -> int:
        """The number of the image; one that is listed twice has the objects of both."""
        number = self._numbers.setdefault(path, len(self.images))
        if number == len(self.images):
            self.images.append(AnnotatedImage(path, split, source, declared))
        elif self.images[number].split == split:
            self._twice.append(path.name)
        else:
            self._leaks.append(f"{path} ({self.images[number].split} and {split})")
        return number

    def add_box(self, image: int, label: Label, box: Box, place: int) -> None:
        """Add an object; ``place`` is its line or number in the file, from 1."""
        self.owners.append(image)
        self.labels.append(label)
        self.sides += box
        self.places.append(place)

    def place(self, box: int) -> str:
        """Where a box stands."""
        image = self.images[self.owners[box]]
        return f"{image.path.name} ({self.noun} {self.places[box]} of {image.source.name})"

    def check_lists(self, report: DataReport) -> None:
        """Refuse images that are in two splits; say which are listed twice."""
        if self._leaks:
            listed = some(self._leaks, len(self.images), "image")
            raise UserError(
                f"In two splits: {listed}. List an image once, so that no test image is trained on."
            )
        what = "Images listed twice, taken once with the boxes of both"
        report.note_some(what, self._twice, len(self.images), "image")


class Faults:
    """What is wrong, by kind, so that all of it is said at once."""

    def __init__(self) -> None:
        self.places: dict[str, list[str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Remember a place with this kind of fault."""
        self.places.setdefault(kind, []).append(place)

    def sentences(self, total: int, noun: str, plural: str = "") -> list[str]:
        """One for each kind: "Boxes without width or height: 3 of 24 boxes, ..."."""
        return [
            f"{kind}: {some(found, max(total, len(found)), noun, plural)}."
            for kind, found in self.places.items()
        ]

    def refuse(self, total: int, noun: str) -> None:
        """Raise a UserError if there are faults."""
        if self.places:
            raise UserError(" ".join(self.sentences(total, noun)))

    def note(self, report: DataReport, total: int, noun: str, plural: str = "") -> None:
        """Add the faults to the report."""
        for sentence in self.sentences(total, noun, plural):
            report.note(sentence)
