"""Metrics that torchmetrics has with other edge cases. Import this late: it takes a second."""

import warnings

import torch
from torch import Tensor
from torchmetrics import R2Score
from torchmetrics.classification import MulticlassAUROC
from torchmetrics.utilities import dim_zero_cat


class R2(R2Score):
    """The coefficient of determination; NaN for fewer than two samples."""

    def compute(self) -> Tensor:
        """The score, a scalar of at most 1."""
        if self.total < 2:
            return torch.full_like(self.residual, torch.nan)
        return super().compute()


class MeanAUROC(MulticlassAUROC):
    """Mean area under the ROC curves of each class against the others.

    Classes without a row, and a class that has all rows, are left out.
    """

    def compute(self) -> Tensor:  # type: ignore[override]  # the base class has the same type
        """The mean, a scalar in [0, 1]; NaN if every class is left out."""
        counts = torch.bincount(dim_zero_cat(self.target), minlength=self.num_classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about the classes that are left out
            areas = super().compute()
        return areas[(counts > 0) & (counts < counts.sum())].mean()
