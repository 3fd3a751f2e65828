"""Step 5, train: the loop. ``python train.py --help`` lists every flag."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .criterion import Criterion
from .engine.checkpoint import Checkpointer, Progress
from .engine.data import Data
from .engine.evaluation import evaluate
from .engine.metric_log import MetricLog
from .engine.run import Run
from .engine.run_directory import save_environment, save_epochs
from .hyperparameters import Hyperparameters
from .loaders import Batch, DataInfo, make_data, make_eval_loader, make_train_loader
from .models import make_model
from .optimizer import lr_factor, make_ema, make_optimizer, set_lr


@dataclass
class TrainState:
    """Everything that training changes. A checkpoint stores the ``state_dict()`` of each field."""

    model: nn.Module
    ema: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: Progress

    @property
    def eval_model(self) -> nn.Module:
        """The model to validate and to keep: the averaged one, if there is an average."""
        return self.model if self.ema is None else self.ema.module


def make_state(hparams: Hyperparameters, info: DataInfo, run: Run) -> TrainState:
    """The model and the optimizer before the first step."""
    run.seed(hparams.seed)
    model = make_model(hparams, info)
    run.initialize(model, info)  # does nothing without --init-from
    model = run.to_device(model)
    return TrainState(
        model=model,
        ema=make_ema(model, hparams.ema_decay),
        optimizer=make_optimizer(model, hparams),
        scaler=torch.amp.GradScaler(run.device.type, enabled=run.hardware.precision == "fp16"),
        progress=Progress(),
    )


def train(hparams: Hyperparameters, run: Run) -> Progress:
    """Train a model from scratch, or from the last checkpoint in the run's directory.

    Raises:
        TrainingFailed: the loss or the gradient is not finite.
        Stopped: Ctrl-C or SIGTERM; a checkpoint was saved.
    """
    data = make_data(hparams)
    train_loader = make_train_loader(data, hparams, run)
    val_loader = make_eval_loader(data.val, data, run)
    criterion = Criterion(hparams, data.info)
    state = make_state(hparams, data.info, run)
    progress = state.progress
    num_epochs = hparams.num_epochs(len(data.train))
    log = MetricLog(run, progress, num_epochs, train_loader)
    checkpointer = Checkpointer(run, vars(state) | {"log": log}, hparams, data.info)
    checkpointer.load_last()  # does nothing in a new run
    announce(data, num_epochs, state.model, run)
    if num_epochs > 1:
        for cache in data.caches:
            run.dist.on_main(cache.fill)
    model = run.wrap(state.model)  # compiled and data-parallel, where that was requested
    num_steps = num_epochs * train_loader.steps_per_epoch

    with checkpointer:  # ends when everything is on the disk
        while progress.epoch < num_epochs and not progress.is_out_of_patience(hparams.patience):
            model.train()
            steps = train_loader.steps(progress.epoch, start=progress.step_in_epoch)
            for micro_batches in log.progress_bar(steps):
                lr = hparams.learning_rate * lr_factor(hparams, progress.step, num_steps)
                set_lr(state.optimizer, lr)
                loss, grad_norm = train_step(state, model, criterion, micro_batches, hparams, run)
                progress.end_step()
                log.add(loss=loss, grad_norm=grad_norm, lr=lr)
                checkpointer.save_if_due(progress)

            metrics, predictions = evaluate(state.eval_model, criterion, val_loader, run)
            is_best = progress.end_epoch(
                metrics[hparams.monitor],
                lower_is_better=hparams.monitor in criterion.LOWER_IS_BETTER,
            )
            log.end_epoch(metrics, is_best)
            best = {
                "model": state.eval_model.state_dict(),
                "epoch": progress.epoch,
                "metrics": metrics,
                "predictions": predictions,
            }
            checkpointer.save(best=best if is_best else None)
    run.dist.barrier()
    return progress


def train_step(
    state: TrainState,
    model: nn.Module,
    criterion: Criterion,
    micro_batches: list[Batch],
    hparams: Hyperparameters,
    run: Run,
) -> tuple[Tensor, Tensor | None]:
    """One optimizer step. Returns the loss and the gradient norm, if gradients are clipped.

    Both are still on the device, so that no step waits for the one before.
    """
    losses, num_losses = [], len(micro_batches)
    for i, batch in enumerate(micro_batches):
        # Dropout is a function of the step, so a resumed run draws the same numbers.
        run.seed(hparams.seed, state.progress.step, i, run.dist.rank)
        with run.no_sync(model, enabled=i + 1 < num_losses):  # exchange gradients once per step
            with run.autocast():
                loss = criterion.loss(model, batch)
            state.scaler.scale(loss / num_losses if num_losses > 1 else loss).backward()
        losses.append(loss.detach())
    grad_norm = None
    if hparams.clip_norm:
        state.scaler.unscale_(state.optimizer)
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), hparams.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()
    if state.ema is not None:
        state.ema.update_parameters(state.model)
    return torch.stack(losses).mean() if num_losses > 1 else losses[0], grad_norm


def announce(data: Data, num_epochs: int, model: nn.Module, run: Run) -> None:
    """Say what is trained and where, and keep it with the run."""
    if not run.is_main:
        return
    num_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    save_epochs(run.directory, num_epochs)
    save_environment(run, data, num_parameters)
    print(*data.report.lines(limit=10), sep="\n", end="\n" if data.report.lines() else "")
    print(
        f"{len(data.train)} training, {len(data.val)} validation, {len(data.test)} test samples; "
        f"{num_parameters:,} parameters to train on {run.hardware.name} in "
        f"{run.hardware.precision}."
    )
