"""Metrics and weights of classes of unequal size. Import it late: torchmetrics takes a second."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassRecall


class BalancedAccuracy(MulticlassRecall):
    """The mean share of each class that is recognized; classes without a sample are left out.

    As scikit-learn's ``balanced_accuracy_score``. ``MulticlassRecall`` with ``average="macro"``
    counts a class without samples as 0 as soon as it is predicted once.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, average="none", validate_args=False)

    def compute(self) -> Tensor:
        """The mean, a scalar in [0, 1]; NaN without samples."""
        num_samples = torch.as_tensor(self.tp) + torch.as_tensor(self.fn)
        return super().compute()[num_samples > 0].mean()
