"""Step 3, define models: n-grams, recurrent networks and a small transformer."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .engine.exporting import ExportForm
from .hyperparameters import Hyperparameters
from .loaders import DataInfo
from .text.exported import text_form
from .text.vocabulary import FIRST, PADDING
from .utils import drop_tokens, hash_ngrams, mean_and_max, positional_encoding


class NGrams(nn.Module):
    """The sum of a row for each sequence of 1 to 5 tokens in a text, and a linear layer.

    As in fastText (Joulin et al. 2016, https://arxiv.org/abs/1607.01759), a hash says which row of
    the table a sequence has.
    """

    SCALE = 4.0  # lets the table learn at a learning rate for networks

    def __init__(self, hparams: Hyperparameters, info: DataInfo) -> None:
        super().__init__()
        size = min(hparams.embedding_size, len(info.classes))
        self.table = nn.Embedding(hparams.num_buckets, size, padding_idx=PADDING)
        self.head = nn.Linear(size, len(info.classes))
        nn.init.zeros_(self.table.weight)
        nn.init.orthogonal_(self.head.weight)
        self.longest, self.token_dropout = hparams.ngrams, hparams.token_dropout

    def forward(self, tokens: Tensor, lengths: np.ndarray) -> Tensor:
        """Texts to logits (N, classes); see Classifier."""
        if self.training:
            tokens = drop_tokens(tokens, self.token_dropout)
        rows = hash_ngrams(tokens, self.longest, self.table.num_embeddings)
        num_rows = (rows != PADDING).sum(1, keepdim=True)
        logits: Tensor = self.head(self.SCALE * self.table(rows).sum(1) / num_rows.sqrt())
        return logits


class Classifier(nn.Module):
    """An embedding of the tokens, an encoder, and a linear layer over what it found.

    A convolution first shows each token its neighbors: a network that reads one letter after the
    other would need many epochs to learn what three of them mean together (Kim et al. 2016,
    https://arxiv.org/abs/1508.06615). The answer to a text never depends on the padding after it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        num_inputs: int,
        num_features: int,
        hparams: Hyperparameters,
        info: DataInfo,
    ) -> None:
        super().__init__()
        num_tokens = FIRST + len(info.vocabulary)
        self.embedding = nn.Embedding(num_tokens, num_inputs, padding_idx=PADDING)
        self.neighbors = nn.Conv1d(num_inputs, num_inputs, kernel_size=3, padding=1)
        self.encoder = encoder
        self.dropout = nn.Dropout(hparams.dropout)
        self.head = nn.Linear(2 * num_features, len(info.classes))
        self.token_dropout = hparams.token_dropout

    def forward(self, tokens: Tensor, lengths: np.ndarray) -> Tensor:
        """Texts to logits (N, classes).

        Args:
            tokens: (N, L), each text with PADDING after its end.
            lengths: (N,), how many tokens each text has.
        """
        is_token = tokens != PADDING
        if self.training:
            tokens = drop_tokens(tokens, self.token_dropout)
        features = self.add_neighbors(self.dropout(self.embedding(tokens)))
        features = self.encoder(features, is_token, lengths)
        logits: Tensor = self.head(self.dropout(mean_and_max(features, is_token)))
        return logits

    def add_neighbors(self, embedded: Tensor) -> Tensor:
        """(N, L, F) to (N, L, F). Padding is embedded as zero, which is also what lies outside."""
        convolved = F.gelu(self.neighbors(embedded.transpose(1, 2)))
        return embedded + convolved.transpose(1, 2)


class Recurrent(nn.Module):
    """A GRU or LSTM over packed sequences, so each text ends where its last token is.

    torch.compile leaves it as it is, and compiles the rest.
    """

    def __init__(self, num_inputs: int, hparams: Hyperparameters) -> None:
        super().__init__()
        cell = nn.LSTM if hparams.model == "lstm" else nn.GRU
        self.layers = cell(
            num_inputs,
            hparams.width,
            hparams.depth,
            batch_first=True,
            bidirectional=hparams.bidirectional,
            dropout=hparams.dropout if hparams.depth > 1 else 0.0,
        )

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, features: Tensor, is_token: Tensor, lengths: np.ndarray) -> Tensor:
        """(N, L, inputs) to (N, L, width), twice as many features if bidirectional."""
        ends = torch.from_numpy(lengths)
        packed = pack_padded_sequence(features, ends, batch_first=True, enforce_sorted=False)
        outputs, _ = self.layers(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=features.shape[1])
        return padded


class Transformer(nn.Module):
    """Encoder layers with the norm first (Xiong et al. 2020, https://arxiv.org/abs/2002.04745)."""

    positions: Tensor

    def __init__(self, hparams: Hyperparameters) -> None:
        super().__init__()
        width = hparams.width
        positions = positional_encoding(hparams.max_length, width)
        self.register_buffer("positions", positions, persistent=False)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                hparams.num_heads,
                dim_feedforward=4 * width,
                dropout=hparams.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(hparams.depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, is_token: Tensor, lengths: np.ndarray) -> Tensor:
        """(N, L, width) and (N, L) to (N, L, width)."""
        features = features + self.positions[: features.shape[1]]
        for layer in self.layers:
            features = layer(features, src_key_padding_mask=~is_token)
        normalized: Tensor = self.norm(features)
        return normalized


def make_model(hparams: Hyperparameters, info: DataInfo, *, initialize: bool = True) -> nn.Module:
    """The model that ``hparams`` name; ``initialize`` matters only for pretrained models."""
    name = info.model if hparams.model == "auto" else hparams.model
    if name == "ngrams":
        return NGrams(hparams, info)
    if name == "transformer":
        return Classifier(Transformer(hparams), hparams.width, hparams.width, hparams, info)
    num_features = hparams.width * (2 if hparams.bidirectional else 1)
    encoder = Recurrent(hparams.embedding_size, hparams)
    return Classifier(encoder, hparams.embedding_size, num_features, hparams, info)


def make_export(model: nn.Module, hparams: Hyperparameters, info: DataInfo) -> ExportForm:
    """What export needs to know of the model."""
    return text_form(model, hparams.max_length)
