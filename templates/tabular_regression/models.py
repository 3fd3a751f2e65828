"""Step 3, define models: a linear one, and a residual MLP that starts as the linear one."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from .hyperparameters import Hyperparameters

# A cell this many standard deviations away is an accident or an outlier; without a limit it alone
# would decide the prediction of its row, and the gradient of its batch.
LARGEST_VALUE = 10.0


class Standardized(nn.Module):
    """A network with the preprocessing of its table, so that no user can forget it."""

    median: Tensor
    mean: Tensor
    std: Tensor
    may_miss: Tensor

    def __init__(self, network: nn.Module, facts: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        columns = facts["numeric"].values()
        for name in ("median", "mean", "std"):
            values = torch.tensor([column[name] for column in columns], dtype=torch.float32)
            self.register_buffer(name, values)
        gaps = [number for number, column in enumerate(columns) if column["missing"]]
        self.register_buffer("may_miss", torch.tensor(gaps, dtype=torch.int64))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Rows to what the network makes of them (N, outputs).

        Args:
            numeric: (N, F) float, NaN where a value is missing.
            categories: (N, K) int64, 0 where a category is missing or unknown.
        """
        output: Tensor = self.network(self.features(numeric), categories)
        return output.float()

    def features(self, numeric: Tensor) -> Tensor:
        """(N, F) to (N, F + G): standardised columns, and 1 for each gap in G of the columns.

        The G columns are those with gaps in the training rows: elsewhere there is nothing to learn.
        """
        missing = numeric.isnan()
        filled = torch.where(missing, self.median, numeric)
        standard = ((filled - self.mean) / self.std).clamp(-LARGEST_VALUE, LARGEST_VALUE)
        if not len(self.may_miss):
            return standard
        return torch.cat([standard, missing[:, self.may_miss].to(standard.dtype)], dim=1)


class Regressor(Standardized):
    """Predicts a number in its own units; training starts at the mean of the target."""

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, network: nn.Module, facts: dict[str, Any]) -> None:
        super().__init__(network, facts)
        self.register_buffer("target_mean", torch.tensor(facts["target_mean"]))
        self.register_buffer("target_std", torch.tensor(facts["target_std"]))

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Rows, as in ``Standardized``, to predictions (N,) in the units of the target."""
        output = super().forward(numeric, categories).squeeze(1)
        return output * self.target_std + self.target_mean


class Classifier(Standardized):
    """Predicts a class; training starts at the shares that the classes have."""

    log_shares: Tensor

    def __init__(self, network: nn.Module, facts: dict[str, Any]) -> None:
        super().__init__(network, facts)
        counts = torch.tensor(facts["class_counts"], dtype=torch.float32)
        self.register_buffer("log_shares", (counts / counts.sum()).log())

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Rows, as in ``Standardized``, to logits (N, classes)."""
        return super().forward(numeric, categories) + self.log_shares


class Linear(nn.Module):
    """A weight for every feature and every category, and each output. All start at zero.

    They are vectors, which neither penalty nor weight decay touch, so these pull the MLP to this
    model, not to zero.
    """

    first_codes: Tensor
    effects: nn.Parameter | None

    def __init__(self, num_features: int, num_categories: list[int], num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.weights = nn.Parameter(torch.zeros(num_features * num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        # For all columns: code 0 of a column, then its categories, then the next column.
        num_codes = sum(num_categories) + len(num_categories)
        effects = nn.Parameter(torch.zeros(num_codes * num_outputs))
        self.register_parameter("effects", effects if num_categories else None)
        starts = [sum(num_categories[:column]) + column for column in range(len(num_categories))]
        self.register_buffer("first_codes", torch.tensor(starts, dtype=torch.int64))

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, outputs)."""
        output = torch.addmm(self.bias, features, self.weights.view(-1, self.num_outputs))
        if self.effects is None:
            return output
        effects = self.effects.view(-1, self.num_outputs)[categories + self.first_codes]
        return output + effects.sum(1)


class MLP(nn.Module):
    """Residual blocks over the features and the embedded categories, beside a linear model.

    The last layer starts at zero, so training starts at the linear model and adds what that cannot
    say. There are no norms, which would hide from the blocks how far a row is from the mean.
    Residual MLPs for tables: Gorishniy et al. 2021, https://arxiv.org/abs/2106.11959.
    """

    def __init__(
        self,
        num_features: int,
        num_categories: list[int],
        num_outputs: int,
        *,
        width: int,
        depth: int,
        dropout: float,
        embedding_size: int | None,
    ) -> None:
        super().__init__()
        sizes = [embedding_size or default_embedding_size(count) for count in num_categories]
        self.linear = Linear(num_features, num_categories, num_outputs)
        self.embeddings = nn.ModuleList(
            _embedding(count, size) for count, size in zip(num_categories, sizes, strict=True)
        )
        self.first = nn.Linear(num_features + sum(sizes), width)
        self.blocks = nn.ModuleList(_block(width, dropout) for _ in range(depth))
        last = nn.Linear(width, num_outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.ReLU(), last)

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, outputs)."""
        embedded = [table(categories[:, k]) for k, table in enumerate(self.embeddings)]
        hidden = self.first(torch.cat([features, *embedded], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        output: Tensor = self.linear(features, categories) + self.head(hidden)
        return output


def default_embedding_size(num_categories: int) -> int:
    """Grows slowly with the number of categories, as in fastai's tabular models."""
    size: float = 1.6 * math.pow(num_categories, 0.56)
    return min(50, max(2, round(size)))


def _embedding(num_categories: int, size: int) -> nn.Embedding:
    """Code 0 starts at zero: a category that no training row has must not mean anything."""
    table = nn.Embedding(num_categories + 1, size)
    nn.init.normal_(table.weight, std=size**-0.5)
    nn.init.zeros_(table.weight[0])
    return table


def _block(width: int, dropout: float) -> nn.Sequential:
    """(N, width) to (N, width), to be added to what came in."""
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
    )


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for a table of which ``facts`` are known.

    ``initialize`` is for tasks with pretrained weights; here all weights are new.
    """
    numeric = facts["numeric"].values()
    num_features = len(numeric) + sum(column["missing"] for column in numeric)
    num_categories = [len(vocabulary) for vocabulary in facts["categorical"].values()]
    classify = settings.objective == "classification"
    num_outputs = len(facts["classes"]) if classify else 1
    network: nn.Module
    if settings.model == "linear":
        network = Linear(num_features, num_categories, num_outputs)
    else:
        network = MLP(
            num_features,
            num_categories,
            num_outputs,
            width=settings.width,
            depth=settings.depth,
            dropout=settings.dropout,
            embedding_size=settings.embedding_size,
        )
    return Classifier(network, facts) if classify else Regressor(network, facts)
