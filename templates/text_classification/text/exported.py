"""The model as it is exported: numbers of tokens to logits, without packed sequences."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from ..engine.exporting import ExportForm
from . import reference
from .vocabulary import PADDING, UNKNOWN

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class FromTokens(nn.Module):
    """A classifier that needs no lengths, because they follow from the padding."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = copy.deepcopy(classifier)
        for name, part in list(self.classifier.named_modules()):
            layers = getattr(part, "layers", None)
            if isinstance(layers, nn.RNNBase):
                self.classifier.set_submodule(name, Unpacked(layers))

    def forward(self, tokens: Tensor) -> Any:
        """Tokens (N, L), with PADDING after the end of each text, to logits (N, classes)."""
        return self.classifier(tokens, None)


class Unpacked(nn.Module):
    """A GRU or LSTM over padded sequences, with the results of packed ones, which no graph has.

    What comes after the end of a text never reaches it: to read it backward, it is reversed without
    its padding.
    """

    def __init__(self, layers: nn.RNNBase) -> None:
        super().__init__()
        self.directions = ["", "_reverse"] if layers.bidirectional else [""]
        self.parts = nn.ModuleList(
            single_layer(layers, f"_l{depth}{direction}")
            for depth in range(layers.num_layers)
            for direction in self.directions
        )

    def forward(self, features: Tensor, is_token: Tensor, lengths: None) -> Tensor:
        """(N, L, inputs) to (N, L, width), twice as many features if bidirectional."""
        ends = is_token.sum(1)
        step = len(self.directions)
        for depth in range(0, len(self.parts), step):
            outputs = [self.parts[depth](features)[0]]
            if step == 2:
                backward = self.parts[depth + 1](reverse(features, ends))[0]
                outputs.append(reverse(backward, ends))
            features = torch.cat(outputs, dim=2)
        return features


def single_layer(layers: nn.RNNBase, name: str) -> nn.RNNBase:
    """One layer in one direction, as a network of its own."""
    weights = {f"{kind}_l0": layers.get_parameter(f"{kind}{name}") for kind in WEIGHTS}
    num_inputs = weights["weight_ih_l0"].shape[1]
    cell = nn.GRU if isinstance(layers, nn.GRU) else nn.LSTM
    single = cell(num_inputs, layers.hidden_size, batch_first=True)
    single.load_state_dict(weights)
    return single


def reverse(features: Tensor, ends: Tensor) -> Tensor:
    """Each text (N, L, F) from its end to its beginning; the padding after it stays."""
    places = torch.arange(features.shape[1], device=features.device)
    backward = ends.unsqueeze(1) - 1 - places
    places = torch.where(backward < 0, places, backward)
    return features.gather(1, places.unsqueeze(2).expand(-1, -1, features.shape[2]))


def text_form(model: nn.Module, max_length: int) -> ExportForm:
    """What export needs of a classifier of texts."""
    example = torch.full((2, 8), UNKNOWN)
    example[1, 5:] = PADDING
    return ExportForm(
        task="text-classification",
        module=FromTokens(model),
        inputs={"tokens": example},
        dynamic={"tokens": {0: Dim("batch"), 1: Dim("length", max=max_length)}},
        outputs=["logits"],
        reference=reference,
        to_calls=lambda tokens, lengths: [{"tokens": tokens}],
        to_result=lambda outputs, tokens, lengths: outputs[0]["logits"],
    )
