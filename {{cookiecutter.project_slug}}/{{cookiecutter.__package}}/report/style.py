"""The look of every figure, and how a figure becomes a PNG file."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.rcsetup import cycler

# Okabe and Ito's colors, which color-blind people can tell apart (https://jfly.uni-koeln.de/color/).
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# Used for letters that matplotlib's own font lacks, if they are installed.
FONTS = ["Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "Malgun Gothic"]
FONTS += ["Apple SD Gothic Neo", "Microsoft YaHei", "PingFang SC", "Arial Unicode MS"]


@contextmanager
def style() -> Iterator[None]:
    """Figures that are made and saved in this context look alike and show names in any script."""
    installed = {font.name for font in fontManager.ttflist}
    look: dict[Any, Any] = {
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 144,
        "font.family": ["DejaVu Sans", *(name for name in FONTS if name in installed)],
        "font.size": 9,
        "legend.frameon": False,
        "savefig.bbox": "tight",  # nothing is cut off
        "text.parse_math": False,  # a class may be named "$x$"
    }
    with rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def to_png(figure: Figure) -> bytes:
    """The content of a PNG file; the same figure always gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
