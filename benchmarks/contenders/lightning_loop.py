"""Lightning with its defaults: bar, log, checkpoint. Loss and accuracy are those of the epoch."""

from typing import Any

import lightning
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ..child import Referee
from ..plan import LEARNING_RATE
from ..workloads import Workload


class Module(lightning.LightningModule):
    """The workload as Lightning wants it."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.workload = workload
        self.model: nn.Module = workload.make_model()

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss, outputs = self.workload.forward(self.model, batch)
        share = self.workload.count(outputs, batch) / len(outputs)
        self.log_dict(
            {"loss": loss, "right": share}, prog_bar=True, on_epoch=True, batch_size=len(outputs)
        )
        return loss

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=0)


class Clock(lightning.Callback):
    """Waits for the word to go, and takes the time."""

    def __init__(self, referee: Referee) -> None:
        self.referee, self.steps = referee, 0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.referee.start()
        self.steps = trainer.global_step

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.referee.stop(trainer.global_step - self.steps)


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    module = Module(workload)
    trainer = lightning.Trainer(
        max_epochs=referee.rounds, accelerator="cpu", callbacks=[Clock(referee)]
    )
    trainer.fit(module, workload.loader())
    referee.finish(workload.quality(module.model))
