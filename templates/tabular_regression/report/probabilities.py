"""ROC curves of several classes; torchmetrics is imported late."""

from matplotlib.figure import Figure
from torch import Tensor

MAX_CURVES = 10


def draw_roc(probabilities: Tensor, target: Tensor, names: list[str]) -> tuple[Figure, str]:
    """ROC curves of each class against the others (the lowest ones if there are many)."""
    from torchmetrics.functional.classification import binary_auroc, binary_roc

    pairs = [(probabilities[:, c], (target == c).long()) for c in range(len(names))]
    present = [c for c, (_, is_class) in enumerate(pairs) if 0 < is_class.sum() < len(target)]
    areas = {c: binary_auroc(*pairs[c]).item() for c in present}
    shown = sorted(present, key=areas.__getitem__)[:MAX_CURVES]
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
    if len(shown) < len(present):
        caption += f" Only the {len(shown)} of {len(present)} classes are shown, the lowest."
    return figure, caption
