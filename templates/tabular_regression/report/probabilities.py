"""Whether the probabilities that a classifier gives are right; torchmetrics is imported late."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

MAX_CURVES, NUM_BINS = 10, 10


def draw_roc(probabilities: Tensor, target: Tensor, names: list[str]) -> tuple[Figure, str]:
    """ROC curves of each class against the others (the lowest ones if there are many)."""
    from torchmetrics.functional.classification import binary_auroc, binary_roc

    pairs = [(probabilities[:, c], (target == c).long()) for c in range(len(names))]
    present = [c for c, (_, is_class) in enumerate(pairs) if 0 < is_class.sum() < len(target)]
    areas = {c: binary_auroc(*pairs[c]).item() for c in present}
    # The curves of two classes are mirror images.
    shown = sorted(present, key=areas.__getitem__)[: MAX_CURVES if len(names) > 2 else 1]
    figure = Figure(figsize=(7.5, 4.8))
    axes = figure.add_subplot()
    axes.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    for c in shown:
        fpr, tpr, _ = binary_roc(*pairs[c])
        axes.plot(fpr, tpr, label=f"{names[c]} ({areas[c]:.3f})", clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    if shown:
        figure.legend(loc="outside right upper", title="class (area)")
    caption = "ROC curves of each class against the others; the dashed line is chance."
    if len(names) > 2 and len(shown) < len(present):
        caption += f" Only the {len(shown)} of {len(present)} classes are shown, the lowest."
    return figure, caption


def draw_calibration(probabilities: Tensor, target: Tensor) -> tuple[Figure, str]:
    """Accuracy against the probability of the answer, in bins of equal width; the caption."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    confidence = probabilities.amax(1).numpy()
    right = (probabilities.argmax(1) == target).numpy()
    edges = np.linspace(0, 1, NUM_BINS + 1)
    group = np.digitize(confidence, edges[1:-1])
    bins = [(confidence[group == b], right[group == b]) for b in np.unique(group)]
    figure = Figure(figsize=(5.5, 6))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.axline((0, 0), slope=1, color="0.4", linestyle="--", linewidth=1)
    top.plot([c.mean() for c, _ in bins], [r.mean() for _, r in bins], "o-", clip_on=False)
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    bottom.hist(confidence, bins=edges.tolist(), edgecolor="white")
    bottom.set(xlabel="probability of the predicted class", ylabel="rows")
    num_classes = probabilities.shape[1]
    error = multiclass_calibration_error(probabilities, target, num_classes, NUM_BINS).item()
    caption = "How often the model is right (top) when it gives its answer a certain probability, "
    caption += f"and how many rows these are (bottom). The mean difference is {error:.1%}."
    return figure, caption
