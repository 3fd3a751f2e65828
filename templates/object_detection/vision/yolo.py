"""Annotations in YOLO's format: for each image a text file with a line for each object.

https://docs.ultralytics.com/datasets/detect
"""

from pathlib import Path

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from ..engine.files import read_text
from .annotations import Annotations, Box, Faults, Label
from .image_files import ImageFiles, Texts, pair_by_name
from .yolo_config import CLASS_FILES, YoloConfig, find_yolo_splits, read_yolo_config

WRONG_LINE = (
    "A line must be five numbers (class, center x, center y, width, height) or a class and an "
    "outline (x1, y1, x2, y2, x3, y3, ...)"
)


def read_yolo(texts: Texts, files: ImageFiles, report: DataReport) -> Annotations | None:
    """What YOLO's text files say; None if there are none.

    An image without a text file, or with an empty one, has no objects. A UserError if something in
    the files is wrong.
    """
    pairs, rest = pair_by_name(files.paths, texts[".txt"])
    strange = [path for path in rest if not read_line(_first_line(path))]
    rest = [path for path in rest if path not in strange]
    if not pairs and not (rest and files.paths):
        return None
    _check_pairs(pairs, rest, files, report)
    folders = {path.parent for path in pairs.values()}
    aside = [p.name for p in strange if p.parent in folders and p.name not in CLASS_FILES]
    problem = "Left aside, because they have no image and no boxes"
    report.note_some(problem, aside, len(aside) + len(pairs), "text file")
    config = read_yolo_config(texts, report)
    found = Annotations("line", in_pixels=False)
    for path, split in find_yolo_splits(config, texts[".txt"], files, report):
        found.add_image(path, split, pairs.get(path, path))
    read_lines(found, config, report)
    if not config.names:
        config.names = _numbers_as_names(found.labels, report)
    _check_classes(found, config)
    found.names = {number: name for number, name in config.names.items()}
    return found


def _first_line(path: Path) -> str:
    return next(iter(read_text(path).split("\n")), "")


def _check_pairs(
    pairs: dict[Path, Path], rest: list[Path], files: ImageFiles, report: DataReport
) -> None:
    """Say which label files have no image; raise a UserError if these are most of them."""
    if len(rest) > len(pairs):
        image = next((path for path in files.paths if path not in pairs), files.paths[0])
        raise UserError(
            f"{len(rest)} label files have no image of the same name, for example {rest[0]}. An "
            f"image is {image}, so its labels must be in {image.stem}.txt. Rename them."
        )
    names, total = [path.name for path in rest], len(pairs) + len(rest)
    report.note_some("Left out, because they have no image", names, total, "label file")


def read_lines(found: Annotations, config: YoloConfig, report: DataReport) -> None:
    """Add the objects of all images.

    A UserError if lines are not what YOLO writes; all of them are counted.
    """
    faults, notes, num_lines = Faults(), Faults(), 0
    for number, image in enumerate(found.images):
        text = read_text(image.source) if image.source != image.path else ""
        for place, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            num_lines += 1
            where = f"line {place} of {image.source.name}"
            values = read_line(line) or [-1.0]
            box, kind = _to_box(values[1:], config.has_keypoints)
            if box is None or values[0] < 0 or values[0] % 1:
                faults.add(WRONG_LINE, f"{where}: {line.strip()[:60]!r}")
                continue
            found.add_box(number, int(values[0]), box, place)
            if kind or "," in line or ";" in line:
                notes.add(kind or "Lines with commas, read as if there were none", where)
    faults.refuse(num_lines, "line")
    notes.note(report, num_lines, "line")


def read_line(line: str) -> list[float] | None:
    """The numbers of a line, between spaces, tabs, commas or semicolons; None if it has others."""
    words = line.split()
    if len(words) < 5:
        words = line.replace(";" if ";" in line else ",", " ").split()
    try:
        return [float(word.strip(",;").replace(",", ".")) for word in words]
    except ValueError:
        return None


def _to_box(values: list[float], has_keypoints: bool) -> tuple[Box | None, str]:
    """The box that the numbers after the class mean, and what is unusual about them."""
    count, kind = len(values), ""
    if count == 5:
        kind = "Lines with a sixth number (a score), which is left out"
    elif count > 5 and has_keypoints:
        kind = "Lines with keypoints, which are left out"
    elif count >= 6 and count % 2 == 0:
        xs, ys = values[0::2], values[1::2]
        box = min(xs), min(ys), max(xs), max(ys)
        return box, "Lines with outlines, whose surrounding boxes are used"
    elif count != 4:
        return None, ""
    x, y, w, h = values[:4]
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2), kind


def _numbers_as_names(labels: list[Label], report: DataReport) -> dict[int, str]:
    """Names for classes that have none."""
    report.note(
        "There are no names of classes (data.yaml or classes.txt): they are named by their numbers."
    )
    return {number: str(number) for number in sorted(map(int, set(labels)))}


def _check_classes(found: Annotations, config: YoloConfig) -> None:
    """Raise a UserError if objects have classes without a name."""
    faults = Faults()
    for box, label in enumerate(found.labels):
        if label not in config.names:
            faults.add(f"Class {label}", found.place(box))
    if not faults.places:
        return
    known, used = sorted(config.names), sorted(map(int, set(found.labels)))
    hint = "Add their names, or correct the boxes."
    if (used[0], used[-1]) == (known[0] + 1, known[-1] + 1):
        first = config.names[known[0]]
        hint = f"If {used[0]} means {first}, number the names: `{used[0]}: {first}` and so on."
    elif used[0] == 0 < known[0]:
        hint = f"If 0 means {config.names[known[0]]}, number the names from 0."
    listed = " ".join(faults.sentences(len(found.labels), "box", "boxes"))
    raise UserError(
        f"{config.source} names the classes {_list_numbers(known)}, but there are boxes of others. "
        f"{listed} {hint}"
    )


def _list_numbers(numbers: list[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 8 else ", ".join(map(str, numbers))
