"""The weights of an earlier run as the start of a new one: ``--init-from RUN``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .errors import UserError

LEARNED_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "weight", "bias")
"""Of batch norms. Other buffers, such as means of the inputs, belong to the data of this run."""


@dataclass(frozen=True)
class InitialWeights:
    """The best weights of ``run``; ``matching``: only those of the same name and shape."""

    run: Path
    best: Mapping[str, Any]
    """The content of its best.pt."""
    matching: bool = False

    def load_into(self, model: nn.Module, info: dict[str, Any]) -> list[str]:
        """Give the weights to a new model. Returns what the user should know, a line each.

        Raises:
            UserError: the run has another model or other classes, and ``matching`` is not set.
        """
        own, found = model.state_dict(), self.best["model"]
        learned = {name for name, _ in model.named_parameters()}
        learned |= {name for name in own if name.rpartition(".")[2] in LEARNED_BUFFERS}
        fitting = {
            name: value
            for name, value in found.items()
            if name in learned and value.shape == own[name].shape
        }
        differing = sorted(learned - fitting.keys())
        unused = sorted(found.keys() - own.keys())
        saved = self.best["info"]
        others = [name for name in info if names_in(info[name]) != names_in(saved.get(name))]
        if not self.matching and (differing or unused or others):
            raise UserError(
                f"{self.run} does not fit: {_list(differing + unused or others)} "
                f"{'of the model' if differing + unused else 'of the data'} differ. Use the same "
                "hyperparameters and data, or --init-matching in place of --init-from, which takes "
                "what has the same name and shape."
            )
        if not fitting:
            raise UserError(f"{self.run} has no weights of the same names and shapes.")
        model.load_state_dict(own | fitting)
        source = f"the weights of {self.run}, epoch {self.best['epoch']}"
        lines = [f"Starts from {source}: {len(fitting)} of {len(learned)} tensors."]
        if differing:
            lines.append(f"New weights, because they do not fit: {_list(differing)}.")
        if others:
            lines.append(f"The data of that run had another meaning: {_list(others)}.")
        return lines


def names_in(value: Any) -> Any:
    """What has a name in the data: classes, tokens, columns. Counts and statistics have none."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if isinstance(value, dict):
        inner = {name: item for name, item in value.items() if isinstance(item, dict | list)}
        return {name: names_in(item) for name, item in inner.items()}
    return None


def _list(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
