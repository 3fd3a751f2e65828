"""The six steps: hyperparameters, loaders, models, criterion and optimizer, train, visualize."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # older ones cannot read the other files
    sys.exit("Error: Python 3.11 or newer is needed, but this is " + sys.version.split()[0] + ".")

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from .cli.library import Model

__all__ = ["load_model"]


def load_model(
    run: "str | Path" = "latest", device: Literal["auto", "cuda", "mps", "xpu", "cpu"] = "auto"
) -> "Model":
    """The best model of a run, to be called with files, images, tables or texts.

    ``run`` is its directory, or its name in ``runs/``.
    """
    from .cli.library import load  # imports torch, which other uses of the package do not need

    return load(run, frozenset({"device"}), device=device, num_workers=0)
