"""The metrics of a table, imported when they are needed: torchmetrics takes a second."""

import warnings

import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, R2Score
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassF1Score
from torchmetrics.utilities import dim_zero_cat


def scores_of_numbers() -> MetricCollection:
    """Fresh metrics of predicted numbers."""
    return MetricCollection(
        {"r2": R2(), "rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}
    )


def scores_of_classes(num_classes: int) -> MetricCollection:
    """Fresh metrics of predicted classes."""
    check = False
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=check),
            "f1": MulticlassF1Score(num_classes, average="macro", validate_args=check),
            "auroc": MeanAUROC(num_classes, average="none", validate_args=check),
        },
        compute_groups=False,  # the area needs every row, the others only counts
    )


class R2(R2Score):
    """Explained part of the variance; of fewer than two samples it is not a number."""

    def compute(self) -> Tensor:
        """The score, a scalar of at most 1."""
        if self.total < 2:
            return torch.full_like(self.residual, torch.nan)
        return super().compute()


class MeanAUROC(MulticlassAUROC):
    """Area under the ROC curve of each class against the others; their mean.

    Only classes count of which there are rows, and rows of others.
    """

    def compute(self) -> Tensor:  # type: ignore[override]  # the base class's own has the same
        """The mean, a scalar in [0, 1]; NaN if there is no such class."""
        counts = torch.bincount(dim_zero_cat(self.target), minlength=self.num_classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the classes that are left out here
            areas = super().compute()
        known = (counts > 0) & (counts < counts.sum())
        return areas[known].mean()
