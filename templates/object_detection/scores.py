"""The metrics of a detector, imported when they are needed: torchmetrics takes a second."""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.detection import MeanAveragePrecision


def make_scores() -> MetricCollection:
    """Fresh ones."""
    return MetricCollection({"ap": AveragePrecision()})


class AveragePrecision(Metric):
    """COCO's mean average precision: map over IoU thresholds 0.5 to 0.95, and map50 at 0.5.

    https://cocodataset.org/#detection-eval. Its states can be gathered from processes that have
    different numbers of images; those of torchmetrics' own metric cannot.
    """

    full_state_update = False
    NAMES = ("boxes", "scores", "labels", "true_boxes", "true_labels")

    def __init__(self) -> None:
        super().__init__()
        for name in self.NAMES:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, outputs: dict[str, Tensor]) -> None:
        """Add what ``Criterion.evaluate`` returned."""
        for name in self.NAMES:
            getattr(self, name).append(outputs[name])

    def compute(self) -> dict[str, Tensor]:
        """Both numbers, NaN if there are no boxes to be found."""
        metric = MeanAveragePrecision(backend="faster_coco_eval", sync_on_compute=False)
        boxes, scores, labels, true_boxes, true_labels = (
            torch.cat(value) if isinstance(value := getattr(self, name), list) else value
            for name in self.NAMES
        )
        for n in range(len(boxes)):
            found, real = labels[n] >= 0, true_labels[n] >= 0
            detections = {"boxes": boxes[n, found], "scores": scores[n, found]}
            target = {"boxes": true_boxes[n, real], "labels": true_labels[n, real]}
            metric.update([detections | {"labels": labels[n, found]}], [target])
        values = metric.compute()
        defined = (true_labels >= 0).any()
        nothing = torch.tensor(torch.nan)
        return {
            "map": values["map"] if defined else nothing,
            "map50": values["map_50"] if defined else nothing,
        }
