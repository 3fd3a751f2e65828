"""A folder of images with boxes in any of the usual formats and layouts, in splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..engine.data_report import DataReport
from ..engine.errors import UserError, join_errors
from .annotations import AnnotatedImage, Annotations
from .boxes import check_boxes, check_sizes
from .cache import CacheRoom, FolderSettings, PixelCache
from .coco import read_coco
from .decoding import Range
from .headers import find_pixel_range
from .image_files import ImageFiles, Texts, pair_by_name
from .images import SUFFIXES, read_image
from .inspection import inspect_images
from .listing import FileFinder
from .pairs import split_missing
from .scenes import SIZE, make_scenes
from .sources import Source, name_sources, to_sources
from .voc import read_xml
from .yolo import read_yolo

TEXTS = (".json", ".xml", ".txt", ".yaml", ".yml", ".names", ".labels")
YOLO = "YOLO's text files"
READERS = {"COCO's JSON": read_coco, "XML": read_xml, YOLO: read_yolo}
SMALL = 2  # pixels in training
Splits = dict[str, list[AnnotatedImage]]


@dataclass(frozen=True)
class BoxedImages:
    """Images with boxes, before any transform."""

    pixels: PixelCache | Tensor
    """(3, H, W) uint8 each."""
    boxes: Sequence[np.ndarray]
    """(k, 4) each: x1, y1, x2, y2 as fractions of the image's width and height."""
    labels: Sequence[np.ndarray]
    names: Sequence[str]
    pixel_range: list[float] | None = None
    """Values that became 0 and 255, if there are more than 8 bits."""


def read_box_folder(
    root: Path,
    settings: FolderSettings,
    report: DataReport,
    *,
    size: int | None,
    side: int | None,
) -> tuple[dict[str, BoxedImages], list[str]]:
    """The splits and the names of the classes of a folder.

    A UserError if there are no annotations, something is wrong, or there are too few images.

    Args:
        root: the folder.
        settings: how to split it, where it has no splits, and the space for the cache.
        report: gets what was read and left out.
        size: of the longer side of images in training, if it is known.
        side: larger images are scaled down so that their shorter side has so many pixels.
    """
    splits, classes = read_annotations(root, report)
    splits = split_missing(splits, settings, attrgetter("path"), report)
    describe(splits, classes, size, report)
    paths = {split: [image.path for image in images] for split, images in splits.items()}
    pixel_range = find_pixel_range(paths, report)
    room, found = CacheRoom(settings.cache_gib), {}
    for split, images in splits.items():
        if not any(len(image.boxes) for image in images):
            raise UserError(
                f"{root}: none of the {len(images)} images of {split} has a box. Add some, or cut "
                "the images into other splits with --split-seed 1."
            )
        decode = partial(_decode, paths[split], side, pixel_range)
        files = [[path] for path in paths[split]]
        found[split] = BoxedImages(
            pixels=PixelCache(decode, files, kind=f"RGB {side} {pixel_range}", room=room),
            boxes=[image.boxes for image in images],
            labels=[image.labels for image in images],
            names=[str(path) for path in paths[split]],
            pixel_range=pixel_range,
        )
    return found, classes


def read_annotations(root: Path, report: DataReport) -> tuple[Splits, list[str]]:
    """The splits that the folder has, at least "train", and the names of the classes.

    A UserError if there are no annotations, or something in them is wrong.
    """
    if root.is_file():
        raise UserError(f"{root} is a file. Type --data {root.parent}, its folder.")
    if not root.is_dir():
        raise UserError(
            f"There is no folder {root}. Type --data with a folder of images and boxes."
        )
    images: list[Path] = []
    texts: Texts = {suffix: [] for suffix in TEXTS}
    finder = FileFinder({*TEXTS, *SUFFIXES}, "images or annotations")
    for path in finder.find([root])[root]:
        texts.get(path.suffix.lower(), images).append(path)
    finder.add_notes(report)
    found = _read_any(texts, ImageFiles(root, images), report)
    names = sorted({image.split for image in found.images})
    if "train" not in names:
        raise UserError(
            f"{root} has no training images, only those of {' and '.join(names) or 'no split'}. "
            "Name their folder or file train."
        )
    found.check_lists(report)
    check_sizes(found)
    classes = check_boxes(found, report)
    splits: Splits = {name: [] for name in names}
    for image in found.images:
        splits[image.split].append(image)
    return _leave_out_unlabeled(splits, report), classes


def _read_any(texts: Texts, files: ImageFiles, report: DataReport) -> Annotations:
    """What the first reader that finds annotations says; the other formats are left aside."""
    for name, read in READERS.items():
        if found := read(texts, files, report):
            report.note(f"The boxes are read from {name}.")
            bare = [image.path.name for image in found.images if image.source == image.path]
            what = "Without a label file, read as images without objects"
            report.note_some(what, bare, len(found.images), "image")
            if name != YOLO:
                used = {image.source for image in found.images}
                others = [path for path in texts[".txt"] + texts[".xml"] if path not in used]
                pairs, _ = pair_by_name(files.paths, others)
                aside = [path.name for path in pairs.values()]
                what = "Left aside, although they have the names of images"
                report.note_some(what, aside, len(others), "other file")
            return found
    num_json = len(texts[".json"])
    other = f" Its {num_json} JSON files are not COCO's: convert them." if num_json else ""
    raise UserError(
        f"{files.root} has no boxes: neither annotations.json or train.json (COCO), nor the "
        "folders images and labels (YOLO), nor Annotations with XML files (Pascal VOC). The "
        f"README says how to arrange them.{other}"
    )


def _leave_out_unlabeled(splits: Splits, report: DataReport) -> Splits:
    """The splits that have boxes; train must have some."""
    found: Splits = {}
    for split, images in splits.items():
        if any(len(image.boxes) for image in images):
            found[split] = images
        elif split == "train":
            raise UserError(f"None of the {len(images)} training images has a box. Add some.")
        else:
            report.note(
                f"The {len(images)} images of {split} have no boxes and are left aside; others "
                f"are split off the training images for {split}."
            )
    return found


def describe(splits: Splits, classes: list[str], size: int | None, report: DataReport) -> None:
    """Add the classes and the sizes of all boxes to the report."""
    num_small = 0
    for split, images in splits.items():
        boxes = np.concatenate([image.boxes for image in images])
        counts = np.array([len(image.boxes) for image in images])
        labels = np.concatenate([image.labels for image in images])
        report.count_classes(split, labels.tolist(), classes)
        sides = boxes[:, 2:] - boxes[:, :2]
        shown = {"box width": 100 * sides[:, 0], "box height": 100 * sides[:, 1]}
        for what, percent in shown.items():
            report.values.setdefault(f"{what} in percent of the image", {})[split] = percent
        report.values.setdefault("boxes in an image", {})[split] = counts
        bare = [image.path.name for image in images if not len(image.boxes)]
        what = f"{split}: without boxes, kept as background"
        report.note_some(what, bare, len(images), "image")
        num_small += int(np.count_nonzero(sides.min(1, initial=1) * (size or math.inf) < SMALL))
    if num_small:
        report.note(
            f"In training, {num_small:,} boxes are less than {SMALL} pixels wide or high. A "
            "larger --image-size shows more of them."
        )


def boxed_scenes(settings: FolderSettings) -> dict[str, BoxedImages]:
    """Scenes made of the handwritten digits in scikit-learn."""
    splits = {}
    for name, scenes in make_scenes(settings).items():
        boxes = [(boxes / SIZE).numpy() for boxes in scenes.boxes]
        labels = [labels.numpy() for labels in scenes.labels]
        splits[name] = BoxedImages(scenes.images, boxes, labels, scenes.names)
    return splits


def open_images(
    inputs: Sequence[Any], side: int | None, pixel_range: Range | None = None
) -> BoxedImages:
    """Images without boxes, which are read when they are asked for."""
    files = to_sources(inputs)
    pixels = PixelCache(partial(_decode, files, side, pixel_range), [], "", CacheRoom(0))
    boxes, labels = [np.zeros((0, 4))] * len(files), [np.zeros(0, np.int64)] * len(files)
    return BoxedImages(pixels, boxes, labels, name_sources(files))


def inspect_boxed_images(splits: dict[str, BoxedImages], report: DataReport) -> None:
    """See ``inspect_images``; a UserError names the images that cannot be used."""
    paths = {split: [Path(name) for name in images.names] for split, images in splits.items()}
    errors = inspect_images(paths, report, pixel_range=splits["train"].pixel_range)
    if errors:
        raise join_errors(errors, sum(map(len, paths.values())), "images")


def _decode(
    paths: Sequence[Source], side: int | None, pixel_range: Range | None, index: int
) -> Tensor:
    """(3, H, W) uint8."""
    return read_image(paths[index], side, pixel_range)
