"""A run's best model as an object that a program can call; ``predict`` calls it too."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..engine.conformal import find_margin, with_bounds
from ..engine.data import Data, SampleDataset
from ..engine.device import resolve
from ..engine.distributed import Distributed
from ..engine.errors import UserError, join_errors
from ..engine.files import read_arrays
from ..engine.inputs import PredictOptions, TolerantInputs, find_inputs, predict
from ..engine.run import Run
from ..engine.run_directory import find_run
from ..hyperparameters import Hyperparameters
from ..loaders import INPUTS, make_eval_loader, make_inputs
from ..visualize import make_rows
from .arguments import RowOptions, load_settings, warn
from .best_model import load_best


def load(run: str | Path, requested: frozenset[str], **changes: Any) -> "Model":
    """The best model of a run; ``changes`` are settings with other values than in training.

    Those in ``requested`` are commands: an error if this machine cannot do them.
    """
    directory = find_run(str(run))
    settings = dataclasses.replace(load_settings(directory), compile=False, **changes)
    hardware = resolve(settings, requested)
    warn([*hardware.notes, *settings.debug_settings.notes()])
    where = Run(directory, settings.run_settings, hardware, Distributed())
    return Model(settings.hparams, where)


class Model:
    """The best model of a run with all that is needed to ask it. Needs no training data."""

    def __init__(self, hparams: Hyperparameters, run: Run) -> None:
        self.hparams, self.run = hparams, run
        self.model, self.criterion, self.info, _ = load_best(hparams, run)
        validated = run.directory / "predictions.npz"
        numbers = ("prediction", "target")  # and not the masks of thousands of images
        self.margin = find_margin(read_arrays(validated, numbers)) if validated.exists() else None

    def __call__(
        self, given: Any, *, top: int = RowOptions.top, min_score: float = RowOptions.min_score
    ) -> list[dict[str, Any]]:
        """The rows that ``predict`` writes: one for each image, text, or row of a table.

        Args:
            given: a path, an image (PIL), a table (DataFrame), a text, or a list of these. A
                ``str`` is a text where the model reads texts; a file is then a ``Path``.
            top: how many classes to list, the most probable first.
            min_score: boxes with a lower score are left out.

        Raises:
            UserError: some of it cannot be read; the message names all of it.
        """
        items = given if isinstance(given, list | tuple) else [given]
        inputs = [found for item in items for found in find_given(item)]
        failures: list[str] = []
        rows = list(self.rows(inputs, RowOptions(top=top, min_score=min_score), failures))
        if failures:
            raise join_errors(list(map(UserError, failures)), len(inputs), INPUTS.noun)
        return rows

    def rows(
        self, inputs: Sequence[Any], options: PredictOptions, failures: list[str]
    ) -> Iterator[dict[str, Any]]:
        """A row for each sample; why others could not be read is added to ``failures``."""
        for open_inputs in make_inputs(inputs, self.hparams, self.info):
            try:
                dataset = open_inputs(failures)
            except UserError as error:
                failures.append(str(error))
                continue
            in_memory = not isinstance(dataset, SampleDataset)
            data = Data(dataset, dataset, dataset, self.info, in_memory)
            loader = make_eval_loader(TolerantInputs(dataset), data, self.run)
            for indices, outputs, failed in predict(self.model, self.criterion, loader, self.run):
                failures += failed
                if indices:
                    places = [dataset.describe(index) for index in indices]
                    bounded = with_bounds(outputs, self.margin)
                    yield from make_rows(bounded, places, self.info, options)


def find_given(item: Any) -> list[Any]:
    """The files that a path names; anything else is taken as it is."""
    if isinstance(item, str) and INPUTS.takes_texts:
        if item.lower().endswith(tuple(INPUTS.suffixes)) and os.path.isfile(item):
            raise UserError(f"{item!r} is a file, but a str is a text. Write Path({item!r}).")
        return [item]
    is_path = isinstance(item, str | Path)
    return find_inputs([str(item)], INPUTS, []) if is_path else [item]
