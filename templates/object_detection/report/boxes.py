"""Boxes over images."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle


def draw_box(axes: Axes, box: Sequence[float], color: str, text: str = "", line: str = "-") -> None:
    """Draw a box onto an image, with a text above it."""
    x1, y1, x2, y2 = (float(side) - 0.5 for side in box)  # pixel 0 begins at -0.5
    axes.add_patch(
        Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linestyle=line)
    )
    if text:
        background = {"facecolor": color, "pad": 0.5, "linewidth": 0}
        axes.text(x1, y1, text, fontsize=6, va="bottom", bbox=background, clip_on=True)
