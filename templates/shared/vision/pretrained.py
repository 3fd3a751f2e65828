"""Torchvision's models by name, with their weights."""

import difflib
from collections.abc import Sequence
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch
from torchvision import models

from ..engine.errors import UserError


def newest_weights(name: str, family: ModuleType, own: Sequence[str]) -> Any:
    """The newest weights of a model in ``family``, which is torchvision.models or a module in it.

    A UserError if there is none; its message also names the project's ``own`` models.
    """
    known = models.list_models(module=family)
    if name not in known:
        close = difflib.get_close_matches(name, [*own, *known], n=3)
        hint = f" Did you mean {', '.join(close)}?" if close else ""
        raise UserError(
            f"There is no model {name!r}.{hint} Choose {', '.join(own)}, or one of torchvision's: "
            f"{', '.join(known)}."
        )
    return models.get_model_weights(name).DEFAULT


def build_with_weights(name: str, weights: Any, **options: Any) -> Any:
    """The model ``name`` with these weights, which are downloaded unless this machine has them."""
    try:
        weights.get_state_dict(check_hash=True, weights_only=True)  # refuses code in the file
        return models.get_model(name, weights=weights, **options)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"The weights of {name} are not on this machine and cannot be downloaded ({error}). "
            f"Put {weights.url} into {torch.hub.get_dir()}/checkpoints, or leave out --pretrained."
        ) from None
