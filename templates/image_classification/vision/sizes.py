"""The size of images for the small network, by the sizes of the user's."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from .images import image_size

SIZES = (8, 16, 28, 32, 48, 64, 96, 128)  # few, so that other data of a kind gets the same
NUM_FILES = 200  # whose headers are read


def typical_size(paths: Sequence[Path], report: DataReport) -> int:
    """The one of ``SIZES`` that is nearest to the median shorter side of the images."""
    sides = []
    for path in paths[:: max(1, len(paths) // NUM_FILES)]:
        with suppress(UserError):  # it will be said when all images are read
            sides.append(min(image_size(path)))
    if not sides:
        return SIZES[-1]
    ratios = np.log(np.array(SIZES) / np.median(sides))
    size = SIZES[np.abs(ratios).argmin()]
    report.note(
        f"The model gets images of {size} x {size} pixels. Half of yours have a shorter side of "
        f"{np.median(sides):.0f} or more. Type --image-size for another size."
    )
    return size
