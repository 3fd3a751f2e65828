"""Step 3, define models: a linear one, and an MLP that starts as the linear one."""

import torch
from torch import Tensor, nn

from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .utils import default_embedding_size

# Numeric features are clamped to this many standard deviations. Otherwise a single extreme cell
# would decide the prediction of its row and the gradient of its batch.
MAX_DEVIATION = 10.0


class TabularModel(nn.Module):
    """A network, with the preprocessing of its inputs and the scale of its outputs."""

    median: Tensor
    mean: Tensor
    std: Tensor
    gap_columns: Tensor
    output_scale: Tensor
    output_shift: Tensor

    def __init__(self, network: nn.Module, info: DataInfo) -> None:
        super().__init__()
        self.network = network
        self.is_classifier = bool(info.classes)
        columns = info.numeric.values()
        for name in ("median", "mean", "std"):
            self.register_buffer(name, torch.tensor([float(column[name]) for column in columns]))
        gaps = [number for number, column in enumerate(columns) if column["missing"]]
        self.register_buffer("gap_columns", torch.tensor(gaps, dtype=torch.int64))
        # Training starts at the mean of the target, or at the frequencies of the classes.
        counts = torch.tensor(info.class_counts, dtype=torch.float32)
        shift = (counts / counts.sum()).log() if info.classes else torch.tensor(info.target_mean)
        self.register_buffer("output_scale", torch.tensor(info.target_std))
        self.register_buffer("output_shift", shift)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Numbers in the units of the target (N,), or logits (N, classes).

        Args:
            numeric: (N, F) float, NaN where a cell is empty.
            categories: (N, K) int64, 0 where a category is missing or unknown.
        """
        output: Tensor = self.network(self.preprocess(numeric), categories).float()
        if not self.is_classifier:
            output = output.squeeze(1) * self.output_scale
        return output + self.output_shift

    def preprocess(self, numeric: Tensor) -> Tensor:
        """(N, F) to (N, F + G): standardized columns, then 1 where a cell was empty.

        G columns have empty cells in the training rows; for the others nothing could be learned.
        """
        missing = numeric.isnan()
        filled = torch.where(missing, self.median, numeric)
        standard = ((filled - self.mean) / self.std).clamp(-MAX_DEVIATION, MAX_DEVIATION)
        if not len(self.gap_columns):
            return standard
        return torch.cat([standard, missing[:, self.gap_columns].to(standard.dtype)], dim=1)


class Linear(nn.Module):
    """A weight for every feature, every category and each output, all zero at first.

    The weights are vectors, which have neither weight decay nor the ridge penalty. So these pull
    the MLP to the linear model, not to zero.
    """

    first_codes: Tensor
    effects: nn.Parameter | None

    def __init__(self, num_features: int, num_categories: list[int], num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs
        self.weights = nn.Parameter(torch.zeros(num_features * num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))
        # One row of effects for code 0 of the first column, its categories, the next column, ...
        sizes = [count + 1 for count in num_categories]
        effects = nn.Parameter(torch.zeros(sum(sizes) * num_outputs))
        self.register_parameter("effects", effects if sizes else None)
        first_codes = [sum(sizes[:column]) for column in range(len(sizes))]
        self.register_buffer("first_codes", torch.tensor(first_codes, dtype=torch.int64))

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, outputs)."""
        output = torch.addmm(self.bias, features, self.weights.view(-1, self.num_outputs))
        if self.effects is None:
            return output
        effects = self.effects.view(-1, self.num_outputs)[categories + self.first_codes]
        return output + effects.sum(1)


class MLP(nn.Module):
    """Residual blocks over the features and embedded categories, beside a linear model.

    The last layer starts at zero, so training starts at the linear model. There are no norms: they
    would hide from the blocks how far a row is from the mean. Residual MLPs for tables: Gorishniy
    et al. 2021, https://arxiv.org/abs/2106.11959.
    """

    def __init__(
        self,
        num_features: int,
        num_categories: list[int],
        num_outputs: int,
        hparams: Hyperparameters,
    ) -> None:
        super().__init__()
        sizes = [hparams.embedding_size or default_embedding_size(n) for n in num_categories]
        self.linear = Linear(num_features, num_categories, num_outputs)
        self.embeddings = nn.ModuleList(map(make_embedding, num_categories, sizes))
        self.first = nn.Linear(num_features + sum(sizes), hparams.width)
        self.blocks = nn.ModuleList(
            make_block(hparams.width, hparams.dropout) for _ in range(hparams.depth)
        )
        last = nn.Linear(hparams.width, num_outputs)
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


def make_embedding(num_categories: int, size: int) -> nn.Embedding:
    """Code 0 starts at zero, so a category that training rows do not have changes nothing."""
    embedding = nn.Embedding(num_categories + 1, size)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    nn.init.zeros_(embedding.weight[0])
    return embedding


def make_block(width: int, dropout: float) -> nn.Sequential:
    """A residual block, without the addition: (N, width) to (N, width)."""
    return nn.Sequential(
        nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
    )


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model that ``hparams`` name; ``initialize`` matters only for pretrained models."""
    num_features = len(info.numeric) + sum(bool(c["missing"]) for c in info.numeric.values())
    num_categories = [len(categories) for categories in info.categorical.values()]
    num_outputs = len(info.classes) or 1
    if hparams.model == "linear":
        return TabularModel(Linear(num_features, num_categories, num_outputs), info)
    return TabularModel(MLP(num_features, num_categories, num_outputs, hparams), info)
