"""Figures that are tables of text."""

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox


def draw_table(titles: list[str], rows: list[list[str]], widths: list[float]) -> Figure:
    """A table with columns of these ``widths`` (sum 1); text that is too long is cut.

    Columns of numbers are aligned to the right.
    """
    figure = Figure(figsize=(9, 0.5 + 0.26 * len(rows)))
    axes = figure.add_subplot()
    axes.axis("off")
    table = axes.table(rows, colLabels=titles, colWidths=widths, bbox=Bbox.unit())
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    figure.draw_without_rendering()  # from here on the width of every text is known
    for (_, column), cell in table.get_celld().items():
        cell.visible_edges = "horizontal"
        cell.set_edgecolor("0.85")
        cell.PAD = 0.02  # of its width
        text, room = cell.get_text(), 0.95 * cell.get_window_extent().width
        letters, width = text.get_text(), text.get_window_extent().width
        if width > room:
            text.set_text(letters[: int(len(letters) * room / width) - 1] + "…")
        numbers = all(is_number(row[column]) for row in rows)
        text.set_horizontalalignment("right" if numbers else "left")
    return figure


def is_number(text: str) -> bool:
    """Whether a cell shows a number: 1,234.5, -2e+06, 97%."""
    return bool(text) and text[-1] in "0123456789%" and not any(c in text for c in " _:/")
