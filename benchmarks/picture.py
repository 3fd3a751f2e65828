"""The picture of the README: time per step against a bare loop, one panel a match."""

from pathlib import Path
from statistics import median

import matplotlib

from .plan import MATCHES
from .tables import Results, time_ratios

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

OURS, OTHERS, BARE = "#c8502d", "#9aa5b1", "#52606d"


def draw(results: Results, path: Path) -> None:
    """Write the picture as PNG."""
    matches = results["matches"]
    columns = min(3, len(matches))
    rows = -(-len(matches) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(4 * columns, 2.5 * rows), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(matches) :]:
        panel.set_visible(False)
    for panel, (name, match) in zip(panels.flat, matches.items(), strict=False):
        draw_match(panel, MATCHES[name].title, match)
    figure.suptitle("Time per step against a bare loop (shorter is faster)", fontsize=11)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def draw_match(panel: Axes, title: str, match: dict[str, dict[str, object]]) -> None:
    """Bars to the median ratio, with a line from the least to the greatest."""
    ratios = {name: time_ratios(result, match["bare"]) for name, result in match.items()}
    shown = [(name, values) for name, values in ratios.items() if values][::-1]
    for place, (name, values) in enumerate(shown):
        color = OURS if name.startswith("ours") else BARE if name == "bare" else OTHERS
        middle = median(values)
        panel.barh(place, middle, color=color, height=0.7)
        panel.plot([min(values), max(values)], [place, place], color="black", linewidth=1)
        panel.text(max(values), place, f"  {middle:.2f}", va="center", fontsize=8)
    panel.set_yticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
    panel.axvline(1, color=BARE, linewidth=0.8, linestyle=":")
    panel.set_xlim(0, 1.2 * max((max(values) for _, values in shown), default=1))
    panel.tick_params(axis="x", labelsize=8)
    panel.set_title(title, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
