"""Hugging Face's Accelerate: the bare loop, with everything prepared for any device."""

from typing import Any

import torch
from accelerate import Accelerator
from torch.optim import AdamW

from ..child import Referee
from ..plan import LEARNING_RATE
from ..workloads import Workload


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    accelerator = Accelerator(cpu=True)
    model = workload.make_model()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0)
    model, optimizer, loader = accelerator.prepare(model, optimizer, workload.loader())
    model.train()
    for _ in range(referee.rounds):
        referee.start()
        running_loss, right, steps = torch.zeros(()), torch.zeros(()), 0
        for batch in loader:
            loss, outputs = workload.forward(model, batch)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            running_loss += loss.detach()
            right += workload.count(outputs, batch)
            steps += 1
        accelerator.print(f"loss {float(running_loss) / steps:.4f}, right {float(right):.0f}")
        referee.stop(steps)
    referee.finish(workload.quality(model))
