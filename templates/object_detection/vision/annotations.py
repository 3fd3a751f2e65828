"""Annotated images, whatever the format of their annotations, and the check of a box."""

import math
from dataclasses import dataclass
from pathlib import Path

from ..engine.errors import UserError

TOLERANCE = 0.005  # fraction of an image by which a box may reach beyond it; that much is cut off
MIN_SIDE = 1e-5  # fraction of an image
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 as fractions of the image's width and height."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file and its objects."""

    path: Path
    boxes: list[Box]
    labels: list[int]
    size: tuple[int, int] | None = None
    """Width and height in pixels, if the annotations have them."""


Splits = dict[str, list[AnnotatedImage]]


def check_box(box: Box, where: str) -> Box:
    """The box, cut where it reaches beyond the image by a rounding error.

    Raises:
        UserError: it has no area or is not inside the image; ``where`` says which box it is.
    """
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        problem = "has a number that is not finite"
    elif min(x2 - x1, y2 - y1) < MIN_SIDE:
        problem = "has no width or no height"
    elif min(x1, y1) < -TOLERANCE or max(x2, y2) > 1 + TOLERANCE:
        problem = "reaches beyond its image"
    else:
        x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in box)
        if min(x2 - x1, y2 - y1) >= MIN_SIDE:
            return x1, y1, x2, y2
        problem = "is outside its image"
    raise UserError(f"{where}: the box {problem}. Correct or remove it.")
