"""Annotated images, and how COCO's JSON files describe them (yolo.py reads the other format)."""

import json
import math
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from .errors import UserError
from .utils import read_text

ROUNDING = 0.005  # part of an image by which a box may reach beyond it; that much is cut off
SMALLEST = 1e-5  # part of an image; what is narrower has no area
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 as parts of the image's width and height."""


@dataclass(frozen=True)
class Annotated:
    """An image file and its objects."""

    path: Path
    boxes: list[Box]
    labels: list[int]
    size: tuple[int, int] | None = None
    """Width and height in pixels, where the annotations tell."""


Parts = dict[str, list[Annotated]]


def check_box(box: Box, where: str) -> Box:
    """The box, cut where it reaches beyond the image by a rounding error.

    Raises:
        UserError: it is not inside the image, or has no area; ``where`` says which it is.
    """
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        problem = "has a number that is not finite"
    elif min(x2 - x1, y2 - y1) < SMALLEST:
        problem = "has no width or no height"
    elif min(x1, y1) < -ROUNDING or max(x2, y2) > 1 + ROUNDING:
        problem = "reaches beyond its image"
    else:
        x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in box)
        if min(x2 - x1, y2 - y1) >= SMALLEST:
            return x1, y1, x2, y2
        problem = "is outside its image"
    raise UserError(f"{where}: the box {problem}. Correct or remove it.")


# COCO: https://cocodataset.org/#format-data


def read_coco(files: dict[str, Path]) -> tuple[Parts, list[str]]:
    """The images of each part's JSON file. All files have the categories of the first.

    Raises:
        UserError: something in the files is wrong.
    """
    contents = {part: _load(path) for part, path in files.items()}
    names = _categories(contents["train"], files["train"])
    for part, path in files.items():
        if _categories(contents[part], path) != names:
            raise UserError(f"{path} has other categories than {files['train']}. Make them equal.")
    numbers = {category: number for number, category in enumerate(names)}
    parts = {part: _read_part(contents[part], path, numbers) for part, path in files.items()}
    paths = Counter(image.path for images in parts.values() for image in images)
    for path, count in paths.items():
        if count > 1:
            raise UserError(
                f"{path} is listed {count} times in {', '.join(map(str, files.values()))}. "
                "List an image once, so that no test image is trained on."
            )
    return parts, list(names.values())


def _load(path: Path) -> dict[str, list[Any]]:
    """The three lists of a JSON file."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    return {
        key: _field(content, key, list, str(path))
        for key in ("categories", "images", "annotations")
    }


def _field(record: Any, key: str, kind: Any, where: str) -> Any:
    """``record[key]``, which must be a ``kind``."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{where}: {key!r} is missing or wrong. COCO's format needs it.")
    return value


def _categories(content: dict[str, list[Any]], path: Path) -> dict[int, str]:
    """Names by COCO's numbers, in the order of the numbers."""
    names: dict[int, str] = {}
    for place, record in enumerate(content["categories"], start=1):
        where = f"{path}, category {place}"
        number, name = _field(record, "id", int, where), _field(record, "name", str, where)
        if number in names or name in names.values():
            raise UserError(f"{where}: {name!r} or its id {number} is there twice. Keep one.")
        names[number] = name
    return dict(sorted(names.items()))


def _read_part(
    content: dict[str, list[Any]], path: Path, numbers: dict[int, int]
) -> list[Annotated]:
    """The images of a file with their boxes; what is marked as a crowd is no object."""
    images = dict(
        _read_image(record, path, place) for place, record in enumerate(content["images"], start=1)
    )
    if len(images) < len(content["images"]):
        raise UserError(f"{path}: several images have the same id. Number them anew.")
    num_crowds = 0
    for place, record in enumerate(content["annotations"], start=1):
        where = f"{path}, annotation {place}"
        image = images.get(_field(record, "image_id", int | str, where))
        if image is None:
            raise UserError(f"{where}: there is no image with the id {record['image_id']!r}.")
        where = f"{where} (image {image.path.name})"
        if record.get("iscrowd"):
            num_crowds += 1
            continue
        number = numbers.get(_field(record, "category_id", int, where))
        if number is None:
            raise UserError(f"{where}: there is no category with the id {record['category_id']}.")
        image.boxes.append(_coco_box(_field(record, "bbox", list, where), image, where))
        image.labels.append(number)
    if num_crowds and os.environ.get("RANK", "0") == "0":
        print(f"Left out of {path}: {num_crowds} boxes of crowds (iscrowd).", file=sys.stderr)
    return list(images.values())


def _read_image(record: Any, path: Path, place: int) -> tuple[int | str, Annotated]:
    """The id of an image, and the image without boxes yet."""
    where = f"{path}, image {place}"
    name, number = _field(record, "file_name", str, where), _field(record, "id", int | str, where)
    size = _field(record, "width", int, where), _field(record, "height", int, where)
    if min(size) < 1:
        raise UserError(f"{where}: width and height must be above 0, but are {size}.")
    inside = PureWindowsPath(name)  # takes both / and \, so that it means the same everywhere
    if inside.anchor or ".." in inside.parts or not inside.parts:
        raise UserError(f"{where}: {name!r} is not a file below {path.parent}. Use such names.")
    folders = (path.parent / "images" / path.stem, path.parent / "images", path.parent)
    found = (folder / Path(*inside.parts) for folder in folders)
    file = next((file for file in found if file.is_file()), None)
    if file is None:
        raise UserError(f"{where}: there is no file {name!r} in {folders[1]}. Put it there.")
    return number, Annotated(file, [], [], size)


def _coco_box(values: list[Any], image: Annotated, where: str) -> Box:
    """[x, y, width, height] in pixels as a ``Box``."""
    if len(values) != 4 or not all(type(value) in (int, float) for value in values):
        raise UserError(f"{where}: bbox must be [x, y, width, height], but is {values}.")
    assert image.size is not None
    x, y, w, h = values
    width, height = image.size
    return check_box((x / width, y / height, (x + w) / width, (y + h) / height), where)
