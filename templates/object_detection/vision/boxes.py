"""The check of all boxes: what is clipped, what is left out, and what is refused."""

import numpy as np
from PIL import ExifTags

from ..engine.data_report import DataReport
from ..engine.errors import UserError, join_errors
from .annotations import Annotations, Faults, Size
from .decoding import open_image
from .images import image_size

TOLERANCE = 0.005  # fraction of an image by which a box may reach beyond it without a word
FAR = 0.1  # fraction of an image; boxes that reach so far beyond it are no rounding errors
MIN_SIDE = 1e-5  # fraction of an image


def check_sizes(found: Annotations) -> None:
    """Read the size of each image with boxes in pixels, and compare it with the annotations.

    A UserError if images cannot be read, or are not those that were annotated.
    """
    errors, faults = list[UserError](), Faults()
    for image in found.images if found.in_pixels else []:
        try:
            image.size = image_size(image.path)
        except UserError as error:
            errors.append(error)
            continue
        if image.declared and not _is_close(image.declared, image.size):
            with open_image(image.path) as file:
                image.turn = file.getexif().get(ExifTags.Base.Orientation, 1)
            if image.turn < 5 or not _is_close(image.declared, image.size[::-1]):
                sizes = [f"{width} × {height}" for width, height in (image.size, image.declared)]
                place = f"{image.path.name} has {sizes[0]} pixels, its boxes are for {sizes[1]}"
                faults.add("Images that are not those that were annotated", place)
    if errors:
        raise join_errors(errors, len(found.images), "images")
    faults.refuse(len(found.images), "image")


def _is_close(one: Size, other: Size) -> bool:
    """Whether the sizes are the same, but for rounding."""
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= 1


def check_boxes(found: Annotations, report: DataReport) -> list[str]:
    """Give each image its boxes and labels; returns the names of the classes.

    Boxes beyond their image are clipped. Those without area or outside of it, and those that are
    there twice, are left out. All of it is counted in the report. A UserError if most boxes are
    wrong, so their numbers mean something else.
    """
    names = list(dict.fromkeys(found.names.values()))
    numbers = {label: names.index(name) for label, name in found.names.items()}
    owners = np.array(found.owners, dtype=np.int64)
    labels = np.array([numbers[label] for label in found.labels], dtype=np.int64)
    boxes = _to_fractions(found, owners, report)
    is_good, boxes = _check_areas(found, boxes, report)
    chosen = np.flatnonzero(is_good)
    chosen = chosen[np.argsort(owners[chosen], kind="stable")]
    chosen = _leave_out_doubles(found, chosen, owners, labels, boxes, report)
    ends = np.cumsum(np.bincount(owners[chosen], minlength=len(found.images)))[:-1]
    parts = np.split(boxes[chosen], ends), np.split(labels[chosen], ends)
    for image, own_boxes, own_labels in zip(found.images, *parts, strict=True):
        image.boxes, image.labels = own_boxes, own_labels
    return names


def _to_fractions(found: Annotations, owners: np.ndarray, report: DataReport) -> np.ndarray:
    """The boxes (N, 4) as fractions of the images as they are seen."""
    boxes = np.array(found.sides, dtype=np.float64).reshape(-1, 4)
    if found.in_pixels and len(boxes):
        if np.nanmax(boxes) <= 1:
            raise UserError(
                f"All {len(boxes)} boxes end within one pixel, for example {found.place(0)}. "
                "Their numbers must be pixels, not fractions of the image."
            )
        _choose_turns(found, owners, boxes, report)
        boxes /= _sizes(found)[owners]
    elif len(boxes) and np.mean(np.abs(boxes).max(1) > 2) > 0.5:
        raise UserError(
            f"The {len(boxes)} boxes look like pixels, for example {found.place(0)}. They must be "
            "fractions: divide x and width by the image's width, y and height by its height."
        )
    turns = np.array([image.turn for image in found.images])
    return turn_boxes(boxes, turns[owners])


def _sizes(found: Annotations, *, as_seen: bool = False) -> np.ndarray:
    """(M, 4): width, height, width, height of each image, as declared or as it is seen."""
    seen = [image.size for image in found.images]
    sizes = seen if as_seen else [image.declared or image.size for image in found.images]
    return np.tile(np.array(sizes, dtype=np.float64), 2)


def _choose_turns(
    found: Annotations, owners: np.ndarray, boxes: np.ndarray, report: DataReport
) -> None:
    """Where sizes are without the EXIF orientation, find out whether the boxes are so too."""
    turned = [image for image in found.images if image.turn > 1]
    if not turned:
        return
    num_beyond = [
        np.count_nonzero((boxes / _sizes(found, as_seen=as_seen)[owners]).max(1) > 1 + TOLERANCE)
        for as_seen in (False, True)
    ]
    how = "are too, and are turned with it"
    if num_beyond[0] > num_beyond[1]:
        how = "fit the images as they are seen, and are read so"
        for image in turned:
            image.declared, image.turn = image.size, 1
    what = f"Sizes are without the EXIF orientation, the boxes {how}"
    names = [image.path.name for image in turned]
    report.note_some(what, names, len(found.images), "image")


def turn_boxes(boxes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of images as they are stored, turned by the EXIF orientations 5 to 8 (N,)."""
    points = boxes.reshape(-1, 2, 2).copy()
    points[turns >= 5] = points[turns >= 5][..., ::-1]
    for axis, mirrored in ((0, (6, 7)), (1, (7, 8))):
        rows = np.isin(turns, mirrored)
        points[rows, :, axis] = 1 - points[rows, ::-1, axis]
    return points.reshape(-1, 4)


def _check_areas(
    found: Annotations, boxes: np.ndarray, report: DataReport
) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes have an area in their image (N,), and the boxes clipped to it (N, 4)."""
    is_finite = np.isfinite(boxes).all(1)
    clipped = boxes.clip(0, 1)
    has_area, is_inside = (
        is_finite & ((corners[:, 2:] - corners[:, :2]).min(1, initial=1) >= MIN_SIDE)
        for corners in (boxes, clipped)
    )
    excess = np.maximum(-boxes, boxes - 1).max(1, initial=0)
    _refuse_corners(found, boxes, excess)
    kinds = {
        "Boxes with a number that is not finite, left out": ~is_finite,
        "Boxes without width or height, left out": is_finite & ~has_area,
        "Boxes outside of their images, left out": has_area & ~is_inside,
        "Boxes that reach beyond their images, clipped": is_inside & (excess > TOLERANCE),
    }
    faults = Faults()
    for kind, rows in kinds.items():
        for box in np.flatnonzero(rows).tolist():
            faults.add(kind, found.place(box))
    is_wrong = ~is_inside | (excess > FAR)
    if np.count_nonzero(is_wrong) > len(boxes) / 2:
        listed = " ".join(faults.sentences(len(boxes), "box", "boxes"))
        raise UserError(f"Most boxes are not inside their images. Correct them. {listed}")
    faults.note(report, len(boxes), "box", "boxes")
    return is_inside, clipped


def _refuse_corners(found: Annotations, boxes: np.ndarray, excess: np.ndarray) -> None:
    """Raise a UserError if the numbers make sense as x1, y1, x2, y2, but not as they were read."""
    if not len(boxes):
        return
    sizes = boxes[:, 2:] - boxes[:, :2]
    firsts = boxes[:, :2] if found.in_pixels else boxes[:, :2] + sizes / 2
    are_corners = (sizes > firsts) & (sizes <= 1 + TOLERANCE) & (firsts >= -TOLERANCE)
    if np.mean(excess > TOLERANCE) > 0.25 and np.mean(are_corners.all(1)) > 0.95:
        example = found.place(int(excess.argmax()))
        wanted = "x1, y1, width, height" if found.in_pixels else "center x, center y, width, height"
        raise UserError(
            f"The numbers of the {len(boxes)} boxes look like corners (x1, y1, x2, y2), for "
            f"example {example}: read as {wanted}, many reach beyond their images. Convert them."
        )


def _leave_out_doubles(
    found: Annotations,
    chosen: np.ndarray,
    owners: np.ndarray,
    labels: np.ndarray,
    boxes: np.ndarray,
    report: DataReport,
) -> np.ndarray:
    """``chosen`` without objects that are there twice; says which boxes have several classes."""
    keys = np.column_stack([labels, boxes.round(6), owners])[chosen]
    order = np.lexsort(keys.T)
    steps = np.diff(keys[order], axis=0) != 0
    is_double, is_same_box = ~steps.any(1), ~steps[:, 1:].any(1)
    doubles, others = order[1:][is_double], order[1:][is_same_box & ~is_double]
    kinds = {
        "Boxes that are there twice, taken once": doubles,
        "Boxes that are there with several classes, kept": others,
    }
    faults = Faults()
    for kind, rows in kinds.items():
        for row in np.sort(rows):
            faults.add(kind, found.place(chosen[row]))
    faults.note(report, len(boxes), "box", "boxes")
    return np.delete(chosen, doubles)
