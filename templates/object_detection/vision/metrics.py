"""COCO's mean average precision. Importing torchmetrics takes a second, so import this late."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision


class AveragePrecision(Metric):
    """``map``, the mean over classes and IoU thresholds from 0.5 to 0.95, and ``map50`` at 0.5.

    https://cocodataset.org/#detection-eval. Processes may have different numbers of images; with
    torchmetrics' own class they may not.
    """

    full_state_update = False
    NAMES = ("boxes", "scores", "labels", "true_boxes", "true_labels")

    def __init__(self) -> None:
        super().__init__()
        for name in self.NAMES:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, outputs: dict[str, Tensor]) -> None:
        """Add a batch: (N, K, ...) detections and (N, T, ...) true boxes; label -1 means none."""
        for name in self.NAMES:
            getattr(self, name).append(outputs[name])

    def compute(self) -> dict[str, Tensor]:
        """Both numbers; NaN if there are no true boxes."""
        metric = MeanAveragePrecision(backend="faster_coco_eval", sync_on_compute=False)
        boxes, scores, labels, true_boxes, true_labels = (
            torch.cat(state) if isinstance(state := getattr(self, name), list) else state
            for name in self.NAMES
        )
        for n in range(len(boxes)):
            found, true = labels[n] >= 0, true_labels[n] >= 0
            detections = {"boxes": boxes[n, found], "scores": scores[n, found]}
            target = {"boxes": true_boxes[n, true], "labels": true_labels[n, true]}
            metric.update([detections | {"labels": labels[n, found]}], [target])
        values, nan = metric.compute(), torch.tensor(torch.nan)
        has_boxes = bool((true_labels >= 0).any())
        return {
            "map": values["map"] if has_boxes else nan,
            "map50": values["map_50"] if has_boxes else nan,
        }
