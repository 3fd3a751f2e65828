"""Step 3, define models: recurrent networks and a small transformer that read token after token."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .datasets import FIRST, PADDING, UNKNOWN
from .hyperparameters import Hyperparameters


class Classifier(nn.Module):
    """An embedding of the tokens, a network that reads them, and a layer over what it found.

    First each token sees its neighbours: a network that reads one letter after another would
    otherwise need many epochs to learn what three of them mean together (Kim et al. 2016,
    https://arxiv.org/abs/1508.06615). The answer to a text never depends on the padding after it.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        encoder: nn.Module,
        num_features: int,
        num_classes: int,
        *,
        dropout: float,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.neighbours = nn.Conv1d(embedding.embedding_dim, embedding.embedding_dim, 3, padding=1)
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * num_features, num_classes)
        self.token_dropout = token_dropout

    def forward(self, tokens: Tensor, lengths: np.ndarray) -> Tensor:
        """Texts to logits (N, classes).

        Args:
            tokens: (N, L), each text with PADDING after its end.
            lengths: (N,), how many tokens each text has.
        """
        is_token = tokens != PADDING
        if self.training and self.token_dropout:
            lost = torch.rand(tokens.shape, device=tokens.device) < self.token_dropout
            tokens = torch.where(lost & is_token, UNKNOWN, tokens)
        features = self.look_around(self.dropout(self.embedding(tokens)))
        features = self.encoder(features, is_token, lengths)
        logits: Tensor = self.head(self.dropout(pool(features, is_token)))
        return logits

    def look_around(self, embedded: Tensor) -> Tensor:
        """(N, L, inputs) to the same shape; padding is embedded as 0, as is what lies outside."""
        seen = functional.gelu(self.neighbours(embedded.transpose(1, 2)))
        result: Tensor = embedded + seen.transpose(1, 2)
        return result


def pool(features: Tensor, is_token: Tensor) -> Tensor:
    """Mean and maximum over the tokens of each text: (N, L, F) to (N, 2F)."""
    inside = is_token.unsqueeze(2)
    mean = features.masked_fill(~inside, 0).sum(1) / inside.sum(1)
    largest = features.masked_fill(~inside, -math.inf).amax(1)
    return torch.cat([mean, largest], dim=1)


class Recurrent(nn.Module):
    """A GRU or an LSTM over packed sequences: each text ends where its last token is.

    torch.compile leaves this part as it is, and compiles the rest.
    """

    def __init__(
        self,
        cell: type[nn.GRU] | type[nn.LSTM],
        inputs: int,
        width: int,
        depth: int,
        *,
        bidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.layers = cell(
            inputs,
            width,
            depth,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if depth > 1 else 0.0,
        )

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, inputs: Tensor, _: Tensor, lengths: np.ndarray) -> Tensor:
        """(N, L, inputs) to (N, L, width), twice as many features when bidirectional."""
        ends = torch.from_numpy(lengths)
        packed = pack_padded_sequence(inputs, ends, batch_first=True, enforce_sorted=False)
        outputs, _ = self.layers(packed)
        features, _ = pad_packed_sequence(outputs, batch_first=True, total_length=inputs.shape[1])
        return features


class Transformer(nn.Module):
    """Layers of attention and of small networks, each after a norm (Xiong et al. 2020).

    Places in the text are added as sines (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).
    """

    places: Tensor

    def __init__(
        self, width: int, depth: int, *, num_heads: int, max_length: int, dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("places", sines(max_length, width), persistent=False)
        self.layers = nn.ModuleList(Layer(width, num_heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, is_token: Tensor, _: np.ndarray) -> Tensor:
        """(N, L, width) and (N, L) to (N, L, width)."""
        features = inputs + self.places[: inputs.shape[1]]
        for layer in self.layers:
            features = layer(features, is_token)
        normalized: Tensor = self.norm(features)
        return normalized


class Layer(nn.Module):
    """Attention to the tokens of the text, never to padding; then a network for each token."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor, is_token: Tensor) -> Tensor:
        """(N, L, width) and (N, L) to (N, L, width)."""
        features = features + self.attend(self.attention_norm(features), is_token)
        result: Tensor = features + self.network(features)
        return result

    def attend(self, features: Tensor, is_token: Tensor) -> Tensor:
        """Each token's mixture of the others, in several heads."""
        heads = self.queries_keys_values(features).unflatten(2, (3, self.num_heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)  # (N, heads, L, width / heads) each
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=is_token[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        output: Tensor = self.mix(mixed.transpose(1, 2).flatten(2))
        return output


def sines(num_places: int, width: int) -> Tensor:
    """(num_places, width): sines and cosines of the place, from fast to slow."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(num_places).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def make_model(
    settings: Hyperparameters, facts: dict[str, Any], *, initialize: bool = True
) -> nn.Module:
    """The model for texts of which ``facts`` are known.

    ``initialize`` is for tasks with pretrained weights; here all weights are new.
    """
    encoder: nn.Module
    width, depth = settings.width, settings.depth
    if settings.model == "transformer":
        inputs = num_features = width
        encoder = Transformer(
            width,
            depth,
            num_heads=settings.num_heads,
            max_length=settings.max_length,
            dropout=settings.dropout,
        )
    else:
        inputs, num_features = settings.embedding_size, width * (2 if settings.bidirectional else 1)
        encoder = Recurrent(
            nn.GRU if settings.model == "gru" else nn.LSTM,
            inputs,
            width,
            depth,
            bidirectional=settings.bidirectional,
            dropout=settings.dropout,
        )
    return Classifier(
        nn.Embedding(FIRST + len(facts["vocabulary"]), inputs, padding_idx=PADDING),
        encoder,
        num_features,
        len(facts["classes"]),
        dropout=settings.dropout,
        token_dropout=settings.token_dropout,
    )
