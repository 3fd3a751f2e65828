"""The shortest loop that one would write by hand, with the sums kept as tensors."""

from typing import Any

import torch
from torch.optim import AdamW

from ..child import Referee
from ..plan import LEARNING_RATE
from ..workloads import Workload


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    model = workload.make_model()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0)
    loader = workload.loader()
    model.train()
    for _ in range(referee.rounds):
        referee.start()
        running_loss, right, steps = torch.zeros(()), torch.zeros(()), 0
        for batch in loader:
            loss, outputs = workload.forward(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            running_loss += loss.detach()
            right += workload.count(outputs, batch)
            steps += 1
        print(f"loss {float(running_loss) / steps:.4f}, right {float(right):.0f}")
        referee.stop(steps)
    referee.finish(workload.quality(model))
