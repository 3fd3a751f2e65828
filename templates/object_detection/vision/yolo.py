"""Annotations in YOLO's format: for each image a text file with a line for each object.

https://docs.ultralytics.com/datasets/detect
"""

from pathlib import Path
from typing import Any

import yaml

from ..engine.errors import UserError
from ..engine.files import read_text
from .annotations import AnnotatedImage, Box, Splits, check_box
from .pairs import pair_files

CLASS_FILES = ("data.yaml", "classes.txt", "labels/classes.txt")


def read_yolo(root: Path, folders: dict[str, tuple[Path, Path]]) -> tuple[Splits, list[str]]:
    """The images of each split, and the names of the classes.

    ``folders`` has the folders of images and of labels of each split. An image without a file of
    labels has no objects.

    Raises:
        UserError: something in the files is wrong.
    """
    classes = read_classes(root)
    splits: Splits = {}
    for split, (images, labels) in folders.items():
        pairs = pair_files(images, labels, {".txt"}, leave_out=["classes.txt"])
        splits[split] = [_read_labels(file, image, len(classes)) for image, file in pairs]
    return splits, classes


def _read_labels(file: Path | None, image: Path, num_classes: int) -> AnnotatedImage:
    """An image with the objects in its file of labels."""
    lines = read_text(file).splitlines() if file is not None else []
    objects = [
        _read_line(line, num_classes, f"{file}, line {place}")
        for place, line in enumerate(lines, start=1)
        if line.strip()
    ]
    return AnnotatedImage(image, [box for _, box in objects], [label for label, _ in objects])


def _read_line(line: str, num_classes: int, where: str) -> tuple[int, Box]:
    """The class and the box of a line."""
    try:
        label, x, y, w, h = (float(word) for word in line.split())
    except ValueError:
        raise UserError(
            f"{where}: there must be five numbers, class, center x and y, width and height, but "
            f"there is {line.strip()[:60]!r}. Outlines and scores must be left out."
        ) from None
    if label not in range(num_classes):
        raise UserError(f"{where}: there is no class {label:g}; the last is {num_classes - 1}.")
    return int(label), check_box((x - w / 2, y - h / 2, x + w / 2, y + h / 2), where)


def read_classes(root: Path) -> list[str]:
    """The names in data.yaml, or those in classes.txt, one a line.

    Raises:
        UserError: there is neither file, or a name is missing or there twice.
    """
    path = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if path is None:
        raise UserError(
            f"{root / 'classes.txt'} is missing. Write the names of the classes, one a line."
        )
    text = read_text(path)
    names = _read_yaml(text, path) if path.suffix == ".yaml" else text.strip().splitlines()
    names = [str(name).strip() for name in names]
    if not names or "" in names or len(set(names)) < len(names):
        raise UserError(
            f"{path} has the classes {names}, but there must be some, each with a name of its own."
        )
    return names


def _read_yaml(text: str, path: Path) -> list[Any]:
    """The list ``names`` of a YAML file, or the mapping from 0, 1, ... to names."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML ({reason}).") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise UserError(f"{path} must have the names of the classes: `names: [cat, dog]`.")
    return names
