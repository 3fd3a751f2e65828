"""Annotations in COCO's JSON format (https://cocodataset.org/#format-data)."""

import json
import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import mask

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.files import read_text
from ..engine.splits import split_of
from .annotations import Annotations, Box, Faults, Size
from .image_files import ImageFiles, Texts, check_missing

MAX_FILES = 50  # a folder with more JSON files has one for each image, in another format
ROBOFLOW = "_annotations.coco.json"
Record = dict[str, Any]


@dataclass
class CocoFile:
    """An annotation file."""

    path: Path
    split: str | None
    """None: it has the images of all splits."""
    images: list[Record]
    annotations: list[Record]
    categories: list[Record]
    names: dict[Hashable, str] = field(default_factory=dict)
    """Of the categories, by id."""


def read_coco(texts: Texts, files: ImageFiles, report: DataReport) -> Annotations | None:
    """What COCO's JSON files say; None if there are none.

    A UserError if something in the files is wrong.
    """
    sources = _choose_files(texts[".json"], files.root, report)
    if not sources:
        return None
    names = _read_categories(sources, report)
    reader = CocoReader(files, report)
    reader.found.names = {name: name for name in names}
    for file in sources:
        reader.add_boxes(file, reader.add_images(file))
    reader.finish(sum(len(file.annotations) for file in sources))
    return reader.found


def as_id(value: Any) -> Hashable:
    """An id as it can be compared: 1, 1.0 and "1" are the same; None if it is no id."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return int(value) if value.isdecimal() and str(int(value)) == value else value
    return None


def _choose_files(paths: list[Path], root: Path, report: DataReport) -> list[CocoFile]:
    """The annotation file of each split, training first."""
    candidates = [path for path in paths if "instances" in path.stem.lower()] or paths
    found: dict[str | None, CocoFile] = {}
    for path in candidates if len(paths) <= MAX_FILES else []:
        file = _load(path, _split_of_file(path, root))
        if file and file.split in found:
            raise UserError(
                f"{found[file.split].path} and {path} are both annotations of "
                f"{file.split or 'all images'}. Keep one, or name them train.json and val.json."
            )
        if file and file.split != "unlabeled":
            found[file.split] = file
    if "train" in found:
        found.pop(None, None)
    used = {file.path for file in found.values()}
    aside = [path.name for path in paths if path not in used]
    report.note_some("Left aside", aside if found else [], len(paths), "JSON file")
    order = ("train", None, "val", "test")
    return [found[split] for split in order if split in found]


def _split_of_file(path: Path, root: Path) -> str | None:
    """The split in the name of a file, as in instances_val2017.json, or of its folder."""
    words = re.split(r"[\W_]+", path.stem.replace("trainval", "train"))
    folders = reversed(path.parent.relative_to(root).parts)
    return next(filter(None, map(split_of, [path.stem, *words, *folders])), None)


def _load(path: Path, split: str | None) -> CocoFile | None:
    """The content of a file; None if it is not COCO's JSON."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return None
    lists = [content.get(name) or [] for name in ("images", "annotations", "categories")]
    for records in lists:
        if not isinstance(records, list) or not all(isinstance(item, dict) for item in records):
            raise UserError(f"{path}: images, annotations and categories must be lists of objects.")
    images, annotations, categories = lists
    return CocoFile(path, split, images, annotations, categories)


def _read_categories(files: list[CocoFile], report: DataReport) -> list[str]:
    """Set the names of the categories of each file; returns those of all files, training first."""
    for file in files:
        file.names = _read_names(file, report)
    _leave_out_root(files, report)
    for file in files:
        doubles = [name for name, count in Counter(file.names.values()).items() if count > 1]
        what = "Several ids have the same name and are one class"
        report.note_some(what, doubles, len(file.names), "category", "categories")
    first = set(files[0].names.values())
    for file in files[1:]:
        added = sorted(set(file.names.values()) - first)
        if added and len(added) == len(set(file.names.values())):
            raise UserError(
                f"{file.path} and {files[0].path} have no category in common: {', '.join(added)} "
                f"and {', '.join(sorted(first))}. Give the same things the same names."
            )
        what = f"Not in {files[0].path.name}, but in {file.path.name}"
        report.note_some(what, added, len(file.names), "category", "categories")
    return list(dict.fromkeys(name for file in files for name in file.names.values()))


def _read_names(file: CocoFile, report: DataReport) -> dict[Hashable, str]:
    """The names of a file's categories, in the order of their ids."""
    names, faults = dict[Hashable, str](), Faults()
    for place, record in enumerate(file.categories, start=1):
        number, name = as_id(record.get("id")), str(record.get("name") or "").strip()
        if number is None or not name:
            faults.add(f"{file.path}: categories without id or name", f"category {place}")
        elif names.setdefault(number, name) != name:
            faults.add(f"{file.path}: categories with the same id", f"{names[number]} and {name}")
    faults.refuse(len(file.categories), "record")
    if not file.categories:
        used = {as_id(record.get("category_id")) for record in file.annotations} - {None}
        names = {number: str(number) for number in used}
        if names:
            report.note(f"{file.path.name} has no categories: the classes are named by their ids.")
    return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _leave_out_root(files: list[CocoFile], report: DataReport) -> None:
    """Remove the category 0 of Roboflow's files, which is the name of the whole project."""
    records = [record for file in files for record in file.categories]
    root = next((record for record in records if as_id(record.get("id")) == 0), None)
    if root is None or len(files[0].names) < 2:
        return
    above = {record.get("supercategory") for record in records if as_id(record.get("id")) != 0}
    is_root = root.get("supercategory") == "none" or root.get("name") in above
    is_used = any(as_id(a.get("category_id")) == 0 for file in files for a in file.annotations)
    if not is_used and (is_root or any(file.path.name == ROBOFLOW for file in files)):
        for file in files:
            file.names.pop(0, None)
        report.note(f"The category {root.get('name')!r} (id 0) has no boxes and is left out.")


class CocoReader:
    """Collects the images and boxes of all files, and what is wrong with them."""

    def __init__(self, files: ImageFiles, report: DataReport) -> None:
        self.files, self.report = files, report
        self.found = Annotations("annotation", in_pixels=True)
        self.faults, self.orphans, self.notes = Faults(), list[str](), Faults()
        self.listed: set[Path] = set()

    def add_images(self, file: CocoFile) -> dict[Hashable, int | None]:
        """Add a file's images. Returns their numbers by id; None for one that is left out."""
        numbers, names, missing = dict[Hashable, int | None](), dict[Hashable, str](), list[str]()
        bases, named = self.files.bases(file.path, file.split), dict[Path, str]()
        by_folder = {} if file.split else self.files.splits(self.report)
        for place, record in enumerate(file.images, start=1):
            number, name = as_id(record.get("id")), record.get("file_name")
            if number is None or not isinstance(name, str):
                where = f"image {place} of {file.path.name}"
                self.faults.add("Images without id or file_name", where)
                continue
            if names.setdefault(number, name) != name:
                pair = f"{number} ({names[number]}, {name})"
                self.faults.add("Images with the same id; number them anew", pair)
            path = self.files.find(name, bases, file.split)
            if path is None:
                missing.append(name)
            elif named.setdefault(path, name) != name:
                pair = f"{named[path]} and {name}"
                self.faults.add("Images with different names that fit the same file", pair)
            split = file.split or (path and by_folder.get(path))
            numbers[number] = None
            if path and split:
                numbers[number] = self.found.add_image(path, split, file.path, _size(record))
        self.listed |= named.keys()
        check_missing(missing, len(file.images), file.path, bases, self.report)
        return numbers

    def add_boxes(self, file: CocoFile, numbers: dict[Hashable, int | None]) -> None:
        """Add a file's boxes to its images. Those of crowds are left out."""
        for place, record in enumerate(file.annotations, start=1):
            owner = numbers.get(as_id(record.get("image_id")), -1)
            name = file.names.get(as_id(record.get("category_id")))
            if owner == -1:
                self.orphans.append(_where(file, place))
            elif owner is None:
                continue
            elif record.get("iscrowd") not in (None, 0, "0"):
                self.notes.add("Boxes of crowds (iscrowd), left out", _where(file, place))
            elif name is None:
                where = f"{_where(file, place)}: {record.get('category_id')!r}"
                self.faults.add("Annotations with a category that is not listed", where)
            elif box := _box(record):
                self.found.add_box(owner, name, box, place)
            elif box := _outline_box(record.get("segmentation")):
                what = "Boxes made of segmentations, as there was no bbox"
                self.notes.add(what, _where(file, place))
                self.found.add_box(owner, name, box, place)
            else:
                where = f"{_where(file, place)}: {record.get('bbox')!r}"
                self.faults.add("Neither bbox [x, y, width, height] nor segmentation", where)

    def finish(self, num_annotations: int) -> None:
        """Refuse what is wrong, and say what was left out."""
        self.faults.refuse(num_annotations, "annotation")
        if len(self.orphans) > num_annotations / 2:
            listed = some(self.orphans, num_annotations, "annotation")
            raise UserError(f"The image_id is that of no image in {listed}. Correct the ids.")
        problem = "Left out, because their image is not listed"
        self.report.note_some(problem, self.orphans, num_annotations, "annotation")
        self.notes.note(self.report, num_annotations, "annotation")
        unlisted = [path.name for path in self.files.paths if path not in self.listed]
        problem = "Left out, because no annotation file lists them"
        self.report.note_some(problem, unlisted, len(self.files.paths), "image file")


def _where(file: CocoFile, place: int) -> str:
    return f"annotation {place} of {file.path.name}"


def _size(record: Record) -> Size | None:
    """Width and height, if they make sense."""
    try:
        width, height = round(float(record["width"])), round(float(record["height"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (width, height) if min(width, height) > 0 else None


def _box(record: Record) -> Box | None:
    """The corners of the bbox, in pixels."""
    try:
        x, y, w, h = map(float, record["bbox"])
    except (KeyError, TypeError, ValueError):
        return None
    return x, y, x + w, y + h


def _outline_box(outline: Any) -> Box | None:
    """The box around polygons, or around a mask as run lengths, compressed or not."""
    try:
        if isinstance(outline, dict):
            height, width = outline["size"]
            if isinstance(outline["counts"], list):
                outline = mask.frPyObjects(outline, height, width)
            x, y, w, h = (float(number) for number in np.ravel(mask.toBbox([outline])))
            return x, y, x + w, y + h
        polygons = outline if isinstance(outline[0], list) else [outline]
        xs, ys = ([float(v) for p in polygons for v in p[axis::2]] for axis in (0, 1))
        return min(xs), min(ys), max(xs), max(ys)
    except (LookupError, TypeError, ValueError, RuntimeError):
        return None
