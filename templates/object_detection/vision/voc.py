"""Annotations in XML: Pascal VOC's, a file for each image, or CVAT's, one file for all."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from ..engine.files import read_text
from ..engine.splits import split_of
from .annotations import Annotations, Box, Faults, Size
from .image_files import ImageFiles, Texts, check_missing, pair_by_name

Element = ElementTree.Element
BOX, CVAT_BOX = ("xmin", "ymin", "xmax", "ymax"), ("xtl", "ytl", "xbr", "ybr")


def read_xml(texts: Texts, files: ImageFiles, report: DataReport) -> Annotations | None:
    """What XML files say; None if there are none with annotations.

    Coordinates are taken as they stand, from 0 at the left and upper edge of the image. A UserError
    if something in the files is wrong.
    """
    roots = {path: _parse(path) for path in texts[".xml"]}
    voc = {path: root for path, root in roots.items() if root.tag == "annotation"}
    cvat = {path: root for path, root in roots.items() if root.tag == "annotations"}
    reader = XmlReader(files, report)
    if cvat:
        for path, root in cvat.items():
            reader.add_cvat(path, root)
    elif voc:
        reader.add_voc(voc, [path for path in texts[".txt"] if path.parent.name == "Main"])
    else:
        return None
    return reader.finish()


def _parse(path: Path) -> Element:
    """The root of an XML file. Files with entities are refused, because these can fill memory."""
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UserError(f"{path} has a DOCTYPE, which annotations do not need. Remove it.")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path} is not valid XML: {error}.") from None


class XmlReader:
    """Collects images and boxes, and what is wrong with them."""

    def __init__(self, files: ImageFiles, report: DataReport) -> None:
        self.files, self.report = files, report
        self.found = Annotations("object", in_pixels=True)
        self.faults, self.notes, self.num_objects = Faults(), Faults(), 0

    def add_voc(self, roots: dict[Path, Element], lists: list[Path]) -> None:
        """Add the images with their files, in the splits of ImageSets/Main or of folders."""
        pairs, rest = pair_by_name(self.files.paths, roots)
        missing = []
        for path in rest:
            name = roots[path].findtext("filename", "")
            image = self.files.find(name, self.files.bases(path, None), None)
            if image is None or pairs.setdefault(image, path) != path:
                missing.append(path.name)
        check_missing(missing, len(roots), next(iter(roots)).parent, [""], self.report)
        for image, split in self._voc_splits(lists):
            source = pairs.get(image)
            root = roots[source] if source else Element("annotation")
            size = _size(*(root.findtext(f"size/{name}", "") for name in ("width", "height")))
            number = self.found.add_image(image, split, source or image, size)
            for place, item in enumerate(root.findall("object"), start=1):
                sides = [item.findtext(f"bndbox/{side}", "") for side in BOX]
                self._add(number, item.findtext("name", ""), _box(sides), place)

    def _voc_splits(self, lists: list[Path]) -> list[tuple[Path, str]]:
        """Each image with its split."""
        named = {split_of(path.stem) or path.stem: path for path in lists}
        if "trainval" in named:
            named.setdefault("train", named["trainval"])
        if "train" not in named:
            return list(self.files.splits(self.report).items())
        found = [
            (image, split)
            for split, path in named.items()
            if split in ("train", "val", "test")
            for image in self.files.read_list(path, split, self.report)
        ]
        rest = set(self.files.paths) - {image for image, _ in found}
        aside, total = sorted(path.name for path in rest), len(self.files.paths)
        self.report.note_some("Left aside, in no list of ImageSets/Main", aside, total, "image")
        return found

    def add_cvat(self, path: Path, root: Element) -> None:
        """Add the images of a file of CVAT."""
        by_folder, missing = self.files.splits(self.report), []
        bases, records = self.files.bases(path, None), root.findall("image")
        for label in root.iter("label"):
            if name := label.findtext("name"):
                self.found.names[name] = name
        for record in records:
            name = record.get("name", "")
            image = self.files.find(name, bases, None)
            split = split_of(record.get("subset", "")) or (image and by_folder.get(image))
            if image is None:
                missing.append(name)
            elif split and split != "unlabeled":
                size = _size(record.get("width", ""), record.get("height", ""))
                number = self.found.add_image(image, split, path, size)
                for place, item in enumerate(record, start=1):
                    self._add(number, item.get("label", ""), _cvat_box(item), place)
        check_missing(missing, len(records), path, bases, self.report)

    def _add(self, image: int, name: str, box: Box | None, place: int) -> None:
        """Add an object, unless something of it is missing."""
        self.num_objects += 1
        where = f"{self.found.images[image].path.name}, object {place}"
        if not name.strip():
            self.faults.add("Objects without the name of a class", where)
        elif box is None:
            self.notes.add("Objects that are no boxes or outlines, left out", where)
        else:
            self.found.add_box(image, name.strip(), box, place)

    def finish(self) -> Annotations:
        """Refuse what is wrong, and say what was left out."""
        self.faults.refuse(self.num_objects, "object")
        self.notes.note(self.report, self.num_objects, "object")
        used = sorted({str(label) for label in self.found.labels})
        self.found.names |= {name: name for name in used}
        return self.found


def _cvat_box(item: Element) -> Box | None:
    """The box of an object, or the box around its outline."""
    points = re.findall(r"[-\d.e]+", item.get("points", ""))
    if item.tag in ("polygon", "polyline") and len(points) >= 4:
        corners = np.array(points, dtype=float).reshape(-1, 2)
        return *corners.min(0), *corners.max(0)
    return _box([item.get(side, "") for side in CVAT_BOX])


def _box(texts: list[str]) -> Box | None:
    """The numbers x1, y1, x2, y2; None if these are no numbers."""
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        return None
    return x1, y1, x2, y2


def _size(width: str, height: str) -> Size | None:
    """The size in pixels, if it makes sense."""
    sides = _box([width, height, "0", "0"])
    return (round(sides[0]), round(sides[1])) if sides and min(sides[:2]) > 0 else None
