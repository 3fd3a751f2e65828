"""In the style of torchvision's reference scripts (references/classification/train.py there).

What its users get: meters that keep the last 20 values and print their median, ``.item()`` for
the loss and both accuracies in every step, a printed line every 10 steps, no fused optimizer.
"""

import datetime
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from ..child import Referee
from ..plan import LEARNING_RATE
from ..workloads import Workload

PRINT_EVERY = 10


class Meter:
    """The last values of a quantity, and the mean of all."""

    def __init__(self, window: int = 20) -> None:
        self.last: deque[float] = deque(maxlen=window)
        self.total, self.count = 0.0, 0

    def update(self, value: float, count: int = 1) -> None:
        self.last.append(value)
        self.total += value * count
        self.count += count

    def __str__(self) -> str:
        median = torch.tensor(list(self.last)).median().item()
        return f"{median:.4f} ({self.total / self.count:.4f})"


class Meters(defaultdict[str, Meter]):
    """Meters by name, printed together while one iterates."""

    def __init__(self) -> None:
        super().__init__(Meter)

    def log_every(self, batches: Any, title: str) -> Iterator[Any]:
        """The batches, with a line about every tenth."""
        began = end = time.time()
        seconds, waited = Meter(), Meter()
        for step, batch in enumerate(batches):
            waited.update(time.time() - end)
            yield batch
            seconds.update(time.time() - end)
            if step % PRINT_EVERY == 0:
                left = seconds.total / seconds.count * (len(batches) - step)
                eta = datetime.timedelta(seconds=int(left))
                meters = "  ".join(f"{name}: {meter}" for name, meter in self.items())
                print(
                    f"{title}  [{step}/{len(batches)}]  eta: {eta}  {meters}  "
                    f"time: {seconds}  data: {waited}"
                )
            end = time.time()
        print(f"{title} Total time: {datetime.timedelta(seconds=int(time.time() - began))}")


def accuracies(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Per cent of the images whose class is the likeliest, and among the five likeliest."""
    with torch.no_grad():
        hits = logits.topk(5, dim=1).indices.t() == classes
        first, five = hits[:1].sum(), hits.sum()
        return first * (100.0 / len(classes)), five * (100.0 / len(classes))


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    model = workload.make_model()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0)
    loader = workload.loader("reference")
    for epoch in range(referee.rounds):
        referee.start()
        model.train()
        meters, steps = Meters(), 0
        for batch in meters.log_every(loader, f"Epoch: [{epoch}]"):
            began = time.time()
            loss, logits = workload.forward(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            first, five = accuracies(logits, batch[1])
            meters["loss"].update(loss.item())
            meters["lr"].update(optimizer.param_groups[0]["lr"])
            meters["acc1"].update(first.item(), len(logits))
            meters["acc5"].update(five.item(), len(logits))
            meters["img/s"].update(len(logits) / (time.time() - began))
            steps += 1
        referee.stop(steps)
    referee.finish(workload.quality(model))
