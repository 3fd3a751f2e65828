"""Annotations in COCO's JSON format (https://cocodataset.org/#format-data)."""

import json
import os
import sys
from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any

from ..engine.errors import UserError
from ..engine.files import read_text
from .annotations import AnnotatedImage, Box, Splits, check_box


def read_coco(files: dict[str, Path]) -> tuple[Splits, list[str]]:
    """The images of each split's JSON file, and the names of the classes.

    Raises:
        UserError: something in the files is wrong, or they have different categories.
    """
    contents = {split: _load(path) for split, path in files.items()}
    categories = _read_categories(contents["train"], files["train"])
    for split, path in files.items():
        if _read_categories(contents[split], path) != categories:
            raise UserError(f"{path} has other categories than {files['train']}. Make them equal.")
    numbers = {category: number for number, category in enumerate(categories)}
    splits = {split: _read_images(contents[split], path, numbers) for split, path in files.items()}
    paths = Counter(image.path for images in splits.values() for image in images)
    for path, count in paths.items():
        if count > 1:
            raise UserError(
                f"{path} is listed {count} times in {', '.join(map(str, files.values()))}. "
                "List an image once, so that no test image is trained on."
            )
    return splits, list(categories.values())


def _load(path: Path) -> dict[str, list[Any]]:
    """The three lists of a file."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    names = ("categories", "images", "annotations")
    return {name: _get(content, name, list, str(path)) for name in names}


def _get(record: Any, key: str, kind: Any, where: str) -> Any:
    """``record[key]``, which must be a ``kind``."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{where}: {key!r} is missing or wrong. COCO's format needs it.")
    return value


def _read_categories(content: dict[str, list[Any]], path: Path) -> dict[int, str]:
    """The names by id, in the order of the ids."""
    names: dict[int, str] = {}
    for place, record in enumerate(content["categories"], start=1):
        where = f"{path}, category {place}"
        number, name = _get(record, "id", int, where), _get(record, "name", str, where)
        if number in names or name in names.values():
            raise UserError(f"{where}: {name!r} or its id {number} is there twice. Keep one.")
        names[number] = name
    return dict(sorted(names.items()))


def _read_images(
    content: dict[str, list[Any]], path: Path, numbers: dict[int, int]
) -> list[AnnotatedImage]:
    """The images of a file with their boxes. Boxes of crowds are left out."""
    images = dict(
        _read_image(record, path, place) for place, record in enumerate(content["images"], start=1)
    )
    if len(images) < len(content["images"]):
        raise UserError(f"{path}: several images have the same id. Number them anew.")
    num_crowds = 0
    for place, record in enumerate(content["annotations"], start=1):
        where = f"{path}, annotation {place}"
        image = images.get(_get(record, "image_id", int | str, where))
        if image is None:
            raise UserError(f"{where}: there is no image with the id {record['image_id']!r}.")
        if record.get("iscrowd"):
            num_crowds += 1
        else:
            _add_box(image, record, numbers, f"{where} (image {image.path.name})")
    if num_crowds and os.environ.get("RANK", "0") == "0":
        print(f"Left out of {path}: {num_crowds} boxes of crowds (iscrowd).", file=sys.stderr)
    return list(images.values())


def _read_image(record: Any, path: Path, place: int) -> tuple[int | str, AnnotatedImage]:
    """The id of an image, and the image without boxes."""
    where = f"{path}, image {place}"
    name, number = _get(record, "file_name", str, where), _get(record, "id", int | str, where)
    size = _get(record, "width", int, where), _get(record, "height", int, where)
    if min(size) < 1:
        raise UserError(f"{where}: width and height must be above 0, but are {size}.")
    inside = PureWindowsPath(name)  # knows both / and \, so a name means the same everywhere
    if inside.anchor or ".." in inside.parts or not inside.parts:
        raise UserError(f"{where}: {name!r} is not a file below {path.parent}. Use such names.")
    folders = (path.parent / "images" / path.stem, path.parent / "images", path.parent)
    candidates = (folder / Path(*inside.parts) for folder in folders)
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        raise UserError(f"{where}: there is no file {name!r} in {folders[1]}. Put it there.")
    return number, AnnotatedImage(file, [], [], size)


def _add_box(image: AnnotatedImage, record: Any, numbers: dict[int, int], where: str) -> None:
    """Add the box and the class of an annotation to its image."""
    number = numbers.get(_get(record, "category_id", int, where))
    if number is None:
        raise UserError(f"{where}: there is no category with the id {record['category_id']}.")
    image.boxes.append(_to_box(_get(record, "bbox", list, where), image.size or (1, 1), where))
    image.labels.append(number)


def _to_box(bbox: list[Any], size: tuple[int, int], where: str) -> Box:
    """A ``Box`` from [x, y, width, height] in pixels."""
    if len(bbox) != 4 or not all(type(value) in (int, float) for value in bbox):
        raise UserError(f"{where}: bbox must be [x, y, width, height], but is {bbox}.")
    x, y, w, h = bbox
    width, height = size
    return check_box((x / width, y / height, (x + w) / width, (y + h) / height), where)
