"""Find the largest batch that fits in the memory of the GPU: ``python -m PACKAGE find-batch-size``.

It takes training steps with batches of growing size, with the flags of train, and keeps no run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import TrainingFailed, UserError, is_out_of_memory
from .arguments import Settings, parse, requested_settings, warn

if TYPE_CHECKING:  # --help takes no torch
    from ..engine.data import Data
    from ..engine.run import Run
    from ..hyperparameters import Hyperparameters

SHARE = 0.8  # of the memory; the rest is for what varies from batch to batch


@dataclass(frozen=True)
class FindBatchSizeArguments(Settings):
    """Find the largest batch whose training step fits in the memory of the GPU.

    Takes the flags of train, and keeps no run. For GPUs: on a CPU it says why it is of no use.
    """

    config: Path | None = None
    """TOML file of settings, such as the hyperparameters.toml of an earlier run."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = parse(FindBatchSizeArguments, "find-batch-size", argv)
    from ..engine.device import resolve
    from ..engine.distributed import Distributed
    from ..engine.run import Run
    from ..loaders import make_data

    hardware = resolve(arguments, requested_settings(argv))
    warn(hardware.notes)
    if hardware.device.type not in ("cuda", "xpu"):
        raise UserError(
            f"find-batch-size needs a GPU that reports its memory, and this run computes on "
            f"{hardware.device.type}. A CPU does not train faster with larger batches: keep "
            f"--batch-size {arguments.batch_size}."
        )
    run = Run(Path(), arguments.run_settings, hardware, Distributed())
    data = make_data(arguments.hparams)
    unit = run.settings.accumulation_steps
    largest = len(data.train) // unit * unit
    size = search(lambda size: fits(size, arguments.hparams, data, run), unit, largest)
    if not size:
        raise TrainingFailed(
            f"Not even a batch of {unit} fits in memory. Try a smaller model or --precision bf16."
        )
    limit = f"{SHARE:.0%} of the memory of {hardware.name}"
    why = "the whole training set" if size == largest else limit
    print(f"Largest batch: --batch-size {size} ({why}).")
    print("Another batch size needs another learning rate: find-lr proposes one.")
    return 0


def search(fits: Callable[[int], bool], unit: int, largest: int) -> int:
    """The largest multiple of ``unit``, at most ``largest``, that fits, to an eighth; 0 if none.

    Doubles from two units, for a batch norm needs two samples, and then halves the gap between the
    largest that fits and the smallest that does not.
    """
    good, size = 0, min(2 * unit, largest)
    while good < size and fits(size):
        good, size = size, min(2 * size, largest)
    while size - good > max(unit, good // 8):
        middle = (good + size) // 2 // unit * unit
        good, size = (middle, size) if fits(middle) else (good, middle)
    return good


def fits(size: int, hparams: "Hyperparameters", data: "Data", run: "Run") -> bool:
    """Whether a training step with ``size`` samples, the longest ones, leaves memory free."""
    import torch

    torch.accelerator.empty_cache()
    torch.accelerator.reset_peak_memory_stats(run.device)
    try:
        take_steps(size, hparams, data, run)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    _, total = torch.accelerator.get_memory_info(run.device)
    return torch.accelerator.max_memory_reserved(run.device) <= SHARE * total


def take_steps(size: int, hparams: "Hyperparameters", data: "Data", run: "Run") -> None:
    """Two steps with ``size`` samples: after the first one, the optimizer has its state."""
    import numpy as np

    from ..criterion import Criterion
    from ..engine.data import BatchIndex
    from ..engine.loading import to_device
    from ..train import make_state, train_step

    state = make_state(hparams, data.info, run)
    state.model.train()
    lengths = data.train_lengths or [0] * len(data.train)
    longest = np.argsort(lengths, kind="stable")[::-1][:size]
    shares = np.split(longest, run.settings.accumulation_steps)
    batches = [BatchIndex(share, share.astype(np.uint64)) for share in shares]
    for _ in range(2):
        micro_batches = list(to_device(map(data.train.__getitems__, batches), run.device))
        criterion = Criterion(hparams, data.info)
        loss, _ = train_step(state, state.model, criterion, micro_batches, hparams, run)
        state.progress.end_step()
    loss.item()  # wait for the device
