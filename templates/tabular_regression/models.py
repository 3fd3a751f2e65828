"""Step 3, define models: a linear one, and networks that start as the linear one."""

import math

import torch
from torch import Tensor, nn

from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .tabular.layers import Embeddings, Linear, PiecewiseLinear, make_blocks
from .utils import default_embedding_size

# Numeric features are clamped to this many standard deviations, and to MARGIN of them beyond what
# training rows have. Otherwise a single extreme cell would decide the prediction of its row and
# the gradient of its batch.
MAX_DEVIATION, MARGIN = 10.0, 1.0
Sizes = tuple[int, list[int], int]
"""Number of features, of categories in each column, and of outputs."""


class TabularModel(nn.Module):
    """A network, with the preprocessing of its inputs and the scale of its outputs."""

    median: Tensor
    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor
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
        edges = [info.edges[column] for column in info.numeric]
        lowest = torch.tensor([column_edges[0] - MARGIN for column_edges in edges])
        highest = torch.tensor([column_edges[-1] + MARGIN for column_edges in edges])
        self.register_buffer("lowest", lowest.clamp(min=-MAX_DEVIATION))
        self.register_buffer("highest", highest.clamp(max=MAX_DEVIATION))
        gaps = [number for number, column in enumerate(columns) if column["missing"]]
        self.register_buffer("gap_columns", torch.tensor(gaps, dtype=torch.int64))
        # Training starts at the mean of the target, or at the frequencies of the classes.
        counts = torch.tensor(info.class_counts, dtype=torch.float32)
        shift = (counts / counts.sum()).log() if info.classes else torch.tensor(info.target_mean)
        self.register_buffer("output_scale", torch.tensor(info.target_std))
        self.register_buffer("output_shift", shift)

    def forward(self, numeric: Tensor, categories: Tensor) -> Tensor:
        """Numbers in the units of the target (N,), or logits (N, classes).

        In training, the members of an ensemble answer for themselves: (N, members) or (N, members,
        classes). In evaluation, it is the mean of their numbers or of their probabilities.

        Args:
            numeric: (N, F) float, NaN where a cell is empty.
            categories: (N, K) int64, 0 where a category is missing or unknown.
        """
        output: Tensor = self.network(self.preprocess(numeric), categories).float()
        if not self.is_classifier:
            output = output.squeeze(-1) * self.output_scale
        output = output + self.output_shift
        if self.training or output.ndim == self.output_shift.ndim + 1:
            return output
        if self.is_classifier:
            return output.log_softmax(-1).logsumexp(1) - math.log(output.shape[1])
        return output.mean(1)

    def preprocess(self, numeric: Tensor) -> Tensor:
        """(N, F) to (N, F + G): standardized columns, then 1 where a cell was empty.

        G columns have empty cells in the training rows; for the others nothing could be learned.
        """
        missing = numeric.isnan()
        filled = torch.where(missing, self.median, numeric)
        standard = ((filled - self.mean) / self.std).clamp(self.lowest, self.highest)
        if not len(self.gap_columns):
            return standard
        return torch.cat([standard, missing[:, self.gap_columns].to(standard.dtype)], dim=1)


class MLP(nn.Module):
    """Residual blocks over the features and embedded categories, beside a linear model.

    The last layer starts at zero, so training starts at the linear model. There are no norms: they
    would hide from the blocks how far a row is from the mean. Residual MLPs for tables: Gorishniy
    et al. 2021, https://arxiv.org/abs/2106.11959.
    """

    def __init__(self, sizes: Sizes, hparams: Hyperparameters) -> None:
        super().__init__()
        num_features, num_categories, num_outputs = sizes
        self.linear = Linear(*sizes)
        self.embed = make_embeddings(num_categories, hparams)
        self.first = nn.Linear(num_features + self.embed.size, hparams.width)
        self.blocks = make_blocks(hparams.depth, hparams.width, hparams.dropout)
        last = nn.Linear(hparams.width, num_outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(nn.ReLU(), last)

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, outputs)."""
        hidden = self.first(self.embed(features, categories))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        output: Tensor = self.linear(features, categories) + self.head(hidden)
        return output


class TabM(nn.Module):
    """An ensemble of MLPs in one network, beside a linear model and a curve for every column.

    The members share the layers. Each has its own scale and shift of the first layer's outputs,
    which begin at random, and its own last layer, which begins at zero. Each learns from its own
    loss. After TabM: Gorishniy, Kotelnikov and Babenko 2025, https://arxiv.org/abs/2410.24210.
    """

    def __init__(self, sizes: Sizes, edges: list[list[float]], hparams: Hyperparameters) -> None:
        super().__init__()
        num_features, num_categories, num_outputs = sizes
        members, width = hparams.members, hparams.width
        self.linear = Linear(*sizes)
        self.bins = PiecewiseLinear(edges)
        self.curves = Linear(self.bins.size, [], num_outputs, speed=3.0)
        self.embed = make_embeddings(num_categories, hparams)
        self.first = nn.Linear(num_features + self.bins.size + self.embed.size, width)
        self.member_scale = nn.Parameter(torch.randint(2, (members * width,)) * 2.0 - 1)
        self.member_shift = nn.Parameter(torch.empty(members * width).uniform_(-0.5, 0.5))
        self.blocks = make_blocks(hparams.depth, width, hparams.dropout)
        self.dropout = nn.Dropout(hparams.dropout)
        self.heads = nn.Parameter(torch.zeros(members, width, num_outputs))

    def forward(self, features: Tensor, categories: Tensor) -> Tensor:
        """(N, features) and (N, K) to (N, members, outputs)."""
        bins = self.bins(features)
        shared = self.first(self.embed(torch.cat([features, bins], dim=1), categories))
        scale, shift = (v.view(-1, shared.shape[1]) for v in (self.member_scale, self.member_shift))
        hidden = shared.unsqueeze(1) * scale + shift
        for block in self.blocks:
            hidden = hidden + block(hidden)
        own: Tensor = torch.einsum("nmw,mwo->nmo", self.dropout(hidden.relu()), self.heads)
        additive: Tensor = self.linear(features, categories) + self.curves(bins, categories)
        return own + additive.unsqueeze(1)


def make_embeddings(num_categories: list[int], hparams: Hyperparameters) -> Embeddings:
    """Of the size that ``hparams`` give, or larger ones for more categories."""
    sizes = [hparams.embedding_size or default_embedding_size(n) for n in num_categories]
    return Embeddings(num_categories, sizes)


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model that ``hparams`` name; ``initialize`` matters only for pretrained models."""
    num_features = len(info.numeric) + sum(bool(c["missing"]) for c in info.numeric.values())
    num_categories = [len(categories) for categories in info.categorical.values()]
    sizes = (num_features, num_categories, len(info.classes) or 1)
    if hparams.model == "linear":
        return TabularModel(Linear(*sizes), info)
    if hparams.model == "mlp":
        return TabularModel(MLP(sizes, hparams), info)
    edges = [info.edges[column] for column in info.numeric]
    return TabularModel(TabM(sizes, edges, hparams), info)
