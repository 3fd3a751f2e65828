"""Which classes a model confuses, and how good it is at each of them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MAX_CONFUSED, MAX_CLASSES = 100, 40  # classes in the confusion matrix, and in the figure below it


def count_pairs(target: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """(num_classes, num_classes) counts; a row is a true class, a column a predicted class."""
    pairs = np.bincount(target.astype(np.int64) * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def draw_confusion(counts: np.ndarray, names: list[str], noun: str) -> tuple[Figure, str]:
    """The confusion matrix and its caption; ``noun`` says what is counted: images, rows, pixels."""
    mistakes = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    shown = np.sort(np.argsort(-mistakes, kind="stable")[:MAX_CONFUSED])
    shares = (counts / counts.sum(axis=1, keepdims=True).clip(min=1))[np.ix_(shown, shown)]
    side, room = min(max(3.0, 0.42 * len(shown)), 13.0), 1.5  # inches, for the cells and the names
    figure = Figure(figsize=(side + room + 1.0, side + room))
    axes = figure.add_subplot(xlabel="predicted class", ylabel="true class")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.04)
    texts, cell = [names[c] for c in shown], side / len(shown)
    angle = 0 if max(map(len, texts)) * 0.1 < cell else 90
    size = min(9, 46 * cell)  # points; an inch has 72
    axes.set_xticks(range(len(shown)), texts, fontsize=size, rotation=angle)
    axes.set_yticks(range(len(shown)), texts, fontsize=size)
    if len(shown) <= 30:
        write_counts(axes, counts[np.ix_(shown, shown)], shares)
    caption = f"{noun.capitalize()} by true and predicted class; the color is the share of the row."
    if len(shown) < len(names):
        caption += f" Shown are the {len(shown)} of {len(names)} classes with the most mistakes."
    return figure, caption


def write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Write the counts into the cells; where a count is too long for a cell, all become shares."""
    for row, column in np.argwhere(counts):
        share = shares[row, column]
        text = f"{counts[row, column]}" if counts.max() < 10_000 else f"{share:.0%}"
        color = "white" if share > 0.6 else "black"
        axes.text(column, row, text, color=color, ha="center", va="center", fontsize="small")


def draw_classes(counts: np.ndarray, names: list[str], noun: str) -> tuple[Figure, str]:
    """Precision, recall and F1 of each class, lowest F1 first, and the caption."""
    support, predicted, correct = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    f1 = ratio(2 * correct, support + predicted)
    order = np.lexsort((f1, support == 0))  # classes without a sample come last
    present = [int(c) for c in order if support[c] + predicted[c] > 0]
    shown = present[:MAX_CLASSES]
    figure, rows = Figure(figsize=(8, 1.2 + 0.24 * len(shown))), range(len(shown))
    axes = figure.add_subplot(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5), xlabel="share")
    axes.barh(rows, f1[shown], color="#BBDDF3", height=0.7, label="F1")
    # The markers have two sizes, so that both are seen where they are equal.
    precision, recall = ratio(correct, predicted)[shown], ratio(correct, support)[shown]
    axes.plot(precision, rows, ">C0", label="precision", markersize=9, mew=0, clip_on=False)
    axes.plot(recall, rows, "oC1", label="recall", markersize=5, mew=0, clip_on=False)
    axes.set_yticks(rows, [f"{names[c]}  (n = {support[c]:,})" for c in shown])
    figure.legend(loc="outside upper center", ncols=3)
    caption = f"Each class, lowest F1 first; n is the number of its {noun}."
    if len(shown) < len(present):
        caption += f" Only {len(shown)} of {len(present)} classes are shown."
    return figure, caption


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing to divide by."""
    return np.where(whole > 0, part / whole.clip(min=1), np.nan)
