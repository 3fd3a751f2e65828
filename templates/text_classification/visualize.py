"""Step 6, visualize results: confusion, quality of each class, mistakes, lengths, and samples."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from .engine.data import Data
from .engine.files import shorten
from .engine.inputs import PredictOptions
from .loaders import DataInfo
from .report.best_classes import best_classes
from .report.calibration import draw_calibration, draw_thresholds
from .report.confusion import count_pairs, draw_classes, draw_confusion
from .report.mistakes import confident_mistakes, draw_no_mistakes
from .report.tables import draw_table

MAX_MISTAKES, MAX_SAMPLES, MAX_BINS = 20, 15, 10


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` has the outputs of ``Criterion.evaluate`` and ``index`` (N,) into data.val. It
    is empty before the first validation.
    """
    train: Any = data.train
    val: Any = data.val
    info = data.info
    names = [shorten(name, 24) for name in info.classes]
    if predictions:
        target = predictions["target"]
        probabilities = torch.from_numpy(predictions["logits"]).softmax(dim=1).numpy()
        predicted = probabilities.argmax(axis=1)
        counts = count_pairs(target, predicted, len(names))
        yield "confusion_matrix", *draw_confusion(counts, names, "texts")
        yield "classes", *draw_classes(counts, names, "texts")
        yield "calibration", *draw_calibration(predictions["logits"], target, "texts")
        if len(names) == 2:
            yield "thresholds", *draw_thresholds(predictions["logits"], target, names[1])
        figure = draw_mistakes(predictions["index"], target, probabilities, val, names)
        yield "mistakes", figure, "The most confident mistakes. Some may be wrong labels."
        caption = "Accuracy by the number of tokens. Of the tokens of the validation texts "
        caption += f"{info.unknown_share:.2%} are unknown; {info.num_cut:,} texts are cut."
        yield "lengths", draw_lengths(predictions["length"], predicted == target), caption
    yield "samples", draw_samples(train, names), "Training texts from all over the set."


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes; ``places`` are the files, or rows in them."""
    found = best_classes(outputs["logits"], info.classes, options.top)
    for place, row in zip(places, found, strict=True):
        yield {"text": place} | row


def draw_mistakes(
    index: np.ndarray,
    target: np.ndarray,
    probabilities: np.ndarray,
    dataset: Any,
    names: list[str],
) -> Figure:
    """A table of the wrong predictions with the highest probability."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    worst = confident_mistakes(target, probabilities, MAX_MISTAKES)
    if not len(worst):
        return draw_no_mistakes(len(target), "texts")
    rows = []
    for n in worst:
        i = int(index[n])
        text, place = shorten(dataset.text(i), 46), shorten(dataset.describe(i), 24)
        rows.append([text, names[target[n]], names[predicted[n]], place, f"{confidence[n]:.0%}"])
    titles = ["text", "true class", "predicted class", "from", "probability"]
    return draw_table(titles, rows, [0.36, 0.18, 0.18, 0.18, 0.1])


def draw_lengths(length: np.ndarray, right: np.ndarray) -> Figure:
    """Accuracy of texts of similar length, in groups of similar size."""
    edges = np.unique(np.quantile(length, np.linspace(0, 1, MAX_BINS + 1), method="lower"))
    group = np.searchsorted(edges[1:-1], length, side="right")
    members = [group == number for number in np.unique(group)]
    figure = Figure(figsize=(8, 3.4))
    axes = figure.add_subplot()
    axes.bar(range(len(members)), [right[m].mean() for m in members], color="#56B4E9")
    axes.axhline(right.mean(), color="0.4", linestyle="--", linewidth=1, label="all texts")
    spans = ["–".join(map(str, np.unique([length[m].min(), length[m].max()]))) for m in members]
    labels = [f"{span}\nn = {m.sum():,}" for span, m in zip(spans, members, strict=True)]
    axes.set_xticks(range(len(members)), labels, fontsize=8)
    axes.set(xlabel="tokens in the text, and number of texts", ylabel="accuracy", ylim=(0, 1))
    figure.legend(loc="outside upper right")
    return figure


def draw_samples(dataset: Any, names: list[str]) -> Figure:
    """A table of training texts, the same ones every time."""
    rows = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, MAX_SAMPLES).astype(int)).tolist():
        tokens, label = dataset[i]
        rows.append([shorten(dataset.text(i), 90), names[int(label)], f"{len(tokens):,}"])
    return draw_table(["text", "class", "tokens"], rows, [0.7, 0.2, 0.1])
