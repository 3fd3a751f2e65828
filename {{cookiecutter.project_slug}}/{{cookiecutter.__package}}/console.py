"""What a person sees of a training run: an opening line, a progress bar, a line an epoch."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from .loaders import Data
from .runtime import Runtime


def opening_line(data: Data, runtime: Runtime, parameters: int) -> str:
    """What is trained, and where."""
    return (
        f"{len(data.train)} training, {len(data.val)} validation, {len(data.test)} test samples; "
        f"{parameters:,} parameters to train on {runtime.name} in {runtime.precision}."
    )


def progress_bar(title: str, steps: range, visible: bool) -> Iterable[int]:
    """Counts the steps of an epoch; shown on a terminal only, refreshed by time."""
    bar: Iterable[int] = tqdm(
        steps,
        desc=title,
        initial=steps.start,
        total=steps.stop,
        unit="step",
        leave=False,
        disable=None if visible else True,
    )
    return bar


def say(text: str) -> None:
    """Print lines, above a progress bar if one is shown."""
    tqdm.write(text)


def epoch_line(
    row: dict[str, Any], metrics: dict[str, float], num_epochs: int, better: bool
) -> str:
    """An epoch in a line for people; ``*`` marks the best so far."""
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    return (
        f"epoch {row['epoch']:>3}/{num_epochs}  train loss {row['train/loss']:.4f}  "
        f"validation: {values}  {row['samples_per_second']:,.0f} samples/s{' *' if better else ''}"
    )
