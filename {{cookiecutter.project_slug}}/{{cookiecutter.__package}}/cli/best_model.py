"""The best checkpoint of a run as a model that can be called."""

from typing import NamedTuple

from torch import nn

from ..criterion import Criterion
from ..engine.calibration import Calibrated, load_temperature
from ..engine.checkpoint import load_checkpoint
from ..engine.run import Run
from ..hyperparameters import Hyperparameters
from ..loaders import DataInfo
from ..models import make_model


class BestModel(NamedTuple):
    """A model in evaluation mode on its device, and what it knows of its data."""

    model: nn.Module
    criterion: Criterion
    info: DataInfo
    epoch: int


def load_best(hparams: Hyperparameters, run: Run) -> BestModel:
    """The model with the weights of ``best.pt``, calibrated if a temperature was kept.

    Needs no training data.
    """
    best = load_checkpoint(run.directory / "checkpoints" / "best.pt")
    info = DataInfo(**best["info"])
    model = make_model(hparams, info, initialize=False)
    model.load_state_dict(best["model"])
    model = run.to_device(model)
    temperature = load_temperature(run.directory, best["epoch"])
    if temperature is not None:
        model = Calibrated(model, temperature)
    return BestModel(model.eval(), Criterion(hparams, info), info, best["epoch"])
