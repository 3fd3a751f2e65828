"""PyTorch-Ignite with the trainer that its guides make, and metrics of the running epoch."""

from typing import Any

from ignite.engine import Engine, Events, create_supervised_trainer
from ignite.metrics import Accuracy, RunningAverage
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW

from ..child import Referee
from ..plan import LEARNING_RATE
from ..workloads import Workload


def run(workload: Workload, referee: Referee, options: dict[str, Any]) -> None:
    model = workload.make_model()
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0)
    trainer = create_supervised_trainer(
        model, optimizer, functional.cross_entropy, output_transform=keep
    )
    RunningAverage(output_transform=lambda output: output[0]).attach(trainer, "loss")
    Accuracy(output_transform=lambda output: output[1:]).attach(trainer, "accuracy")
    begun = [0]

    @trainer.on(Events.EPOCH_STARTED)  # type: ignore[untyped-decorator]
    def _(engine: Engine) -> None:
        referee.start()
        begun[0] = engine.state.iteration

    @trainer.on(Events.EPOCH_COMPLETED)  # type: ignore[untyped-decorator]
    def _(engine: Engine) -> None:
        print(engine.state.epoch, engine.state.metrics)
        referee.stop(engine.state.iteration - begun[0])

    trainer.run(workload.loader(), max_epochs=referee.rounds)
    referee.finish(workload.quality(model))


def keep(images: Tensor, classes: Tensor, logits: Tensor, loss: Tensor) -> tuple[float, Any, Any]:
    """What a step leaves to the metrics; Ignite's own default is ``loss.item()`` alone."""
    return loss.item(), logits, classes
