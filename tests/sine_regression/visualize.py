"""Step 6, visualize results: the curve."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from .engine.data import Data
from .engine.inputs import PredictOptions
from .loaders import DataInfo


def draw(predictions: Mapping[str, np.ndarray], data: Data) -> Iterator[tuple[str, Figure, str]]:
    """Yield (file name, figure, caption).

    ``predictions`` has the outputs of ``Criterion.evaluate`` and ``index`` (N,) into data.val. It
    is empty before the first validation.
    """
    if not predictions:
        return
    x = torch.cat([data.val[i][0] for i in predictions["index"].tolist()])
    for name in ("prediction", "residual"):
        y = predictions["prediction"] - (predictions["target"] if name == "residual" else 0)
        figure = Figure(figsize=(6, 4))
        axes = figure.add_subplot()
        axes.plot(x, y, ".")
        axes.set(xlabel="x", ylabel=name)
        yield name, figure, f"{name} of the validation points."


def make_rows(
    outputs: Mapping[str, np.ndarray],
    places: Sequence[str],
    info: DataInfo,
    options: PredictOptions,
) -> Iterator[dict[str, Any]]:
    """The rows of the table that predict writes."""
    for place, y in zip(places, outputs["prediction"].tolist(), strict=True):
        yield {"point": place, "y": y}
