"""Step 5, train the model: the loop. ``python train.py --help`` lists all that can be set."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from . import checkpoint, console, distributed, runs
from .checkpoint import Progress, State
from .criterion import Criterion
from .datasets import make_data
from .distributed import World
from .errors import RunFailed, Stopped
from .evaluate import Metrics, evaluate, is_better
from .hyperparameters import Hyperparameters
from .loaders import Data, make_eval_loader, make_train_loader, to_device
from .models import make_model
from .optimizer import WeightAverage, make_optimizer, make_schedule
from .runtime import Runtime, compile_model
from .sampling import StepSampler
from .signals import StopSignals
from .utils import mix_seed, peak_memory_mib, seed_torch

LOSSES_AT_ONCE = 50  # losses are fetched together, because each fetch waits for the device


@dataclass(frozen=True)
class Job:
    """What a run works with: made once, never changed."""

    settings: Hyperparameters
    run: Path
    runtime: Runtime
    world: World
    data: Data
    criterion: Criterion


def train(
    settings: Hyperparameters, run: Path, runtime: Runtime, world: World, resume: bool = False
) -> Progress:
    """Train as ``settings`` say, write the run's folder, and tell how far it came.

    Raises:
        UserError: the data, the model or the checkpoint cannot be used.
        RunFailed: the loss is not finite.
        Stopped: Ctrl-C or SIGTERM; the run is saved and can be resumed.
    """
    data = make_data(settings)
    job = Job(settings, run, runtime, world, data, Criterion(settings, data.facts))
    loader, sampler = make_train_loader(data, settings, runtime, world)
    val_loader = make_eval_loader(data.val, data, settings, runtime, world)
    state = make_state(job, sampler.num_steps)
    if resume:
        go_on(job, state)
    if world.is_main:
        parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        runs.save_environment(run, runtime, parameters)
        print(console.opening_line(data, runtime, parameters))
    compile_model(state.model, runtime)
    model = distributed.wrap(state.model, runtime.device, world)
    with StopSignals() as stop:
        while state.progress.epoch < settings.epochs and not is_exhausted(state.progress, settings):
            row = train_epoch(job, state, model, loader, sampler, stop)
            metrics, outputs = evaluate(
                state.average.model, job.criterion, val_loader, runtime, world
            )
            finish_epoch(job, state, row, metrics, outputs)
    return state.progress


def make_state(job: Job, steps_per_epoch: int) -> State:
    """Model, optimizer and the rest, before the first step."""
    settings, runtime = job.settings, job.runtime
    seed_torch(mix_seed(settings.seed), runtime.device)
    model = make_model(settings, job.data.facts)
    model = distributed.share_batch_norms(model, runtime.device, job.world)
    runtime.place(model)
    optimizer = make_optimizer(model, settings)
    return State(
        model=model,
        average=WeightAverage(model, settings.ema_decay),
        optimizer=optimizer,
        schedule=make_schedule(optimizer, settings, settings.epochs * steps_per_epoch),
        scaler=torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16"),
        progress=Progress(),
    )


def go_on(job: Job, state: State) -> None:
    """Load the run's last checkpoint into ``state``; a run without one starts at its beginning."""
    content = checkpoint.load_last(job.run)
    if content is not None:
        checkpoint.require_same_data(content["facts"], job.data.facts)
        state.load(content)
    job.world.wait()
    if job.world.is_main:
        runs.keep_metrics(job.run, state.progress.epoch)


def train_epoch(
    job: Job,
    state: State,
    model: nn.Module,
    loader: DataLoader[Any],
    sampler: StepSampler,
    stop: StopSignals,
) -> dict[str, Any]:
    """Take the steps that are left of the epoch under way; returns its row for metrics.jsonl."""
    progress, first = state.progress, state.progress.step_in_epoch
    sampler.epoch, sampler.start = progress.epoch, first
    started, rate, losses = time.perf_counter(), 0.0, list[Tensor]()
    batches = iter(loader)
    model.train()
    for _ in console.progress_bar(
        f"epoch {progress.epoch + 1}/{job.settings.epochs}",
        range(first, sampler.num_steps),
        visible=job.world.is_main,
    ):
        rate = float(state.schedule.get_last_lr()[0])
        losses.append(train_step(job, state, model, batches))
        progress.step += 1
        progress.step_in_epoch += 1
        if len(losses) == LOSSES_AT_ONCE:
            collect(losses, progress)
        if job.world.agrees(stop.received is not None, progress.step):
            collect(losses, progress)
            save(job, state)
            raise Stopped(stop.received or 0)
    collect(losses, progress)
    seconds = time.perf_counter() - started
    return {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "train/loss": sum(job.world.gather(progress.loss_sum)) / job.world.size / sampler.num_steps,
        "lr": rate,
        "samples_per_second": (sampler.num_steps - first) * sampler.batch_size / seconds,
        "seconds": seconds,
        "peak_memory_mib": peak_memory_mib(job.runtime.device),
    }


def train_step(job: Job, state: State, model: nn.Module, batches: Iterator[Any]) -> Tensor:
    """One optimizer step; returns the mean loss, still on the device."""
    settings, device = job.settings, job.runtime.device
    losses = []
    for part in range(settings.accumulation_steps):
        batch = to_device(next(batches), device)
        # Dropout depends on where the run is, not on what it did before.
        seed_torch(mix_seed(settings.seed, state.progress.step, part, job.world.rank), device)
        with distributed.gradients_stay_here(model, part + 1 < settings.accumulation_steps):
            with job.runtime.autocast():
                loss = job.criterion.loss(model, batch) / settings.accumulation_steps
            state.scaler.scale(loss).backward()
        losses.append(loss.detach())
    if settings.clip_norm:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.schedule.step()
    state.average.update(state.progress.step)
    return torch.stack(losses).sum()


def collect(losses: list[Tensor], progress: Progress) -> None:
    """Fetch the losses from the device and add them up.

    Raises:
        RunFailed: one of them is not finite.
    """
    first = progress.step - len(losses)
    for step, value in enumerate(torch.stack(losses).tolist() if losses else [], start=first + 1):
        if not math.isfinite(value):
            raise RunFailed(
                f"The loss is {value} in step {step} (epoch {progress.epoch + 1}). The last good "
                "checkpoint is kept. Try a smaller --learning-rate or --clip-norm, or --precision "
                "fp32, and look for extreme values in the data."
            )
        progress.loss_sum += value
    losses.clear()


def finish_epoch(
    job: Job, state: State, row: dict[str, Any], metrics: Metrics, outputs: dict[str, np.ndarray]
) -> None:
    """Record the epoch; keep the model if it is the best so far."""
    progress, name = state.progress, job.settings.monitor
    progress.epoch, progress.step_in_epoch, progress.loss_sum = progress.epoch + 1, 0, 0.0
    better = is_better(metrics[name], progress.best, name, job.criterion)
    if better:
        progress.best, progress.best_epoch = metrics[name], progress.epoch
    if job.world.is_main:
        if better:
            checkpoint.save_best(job.run, state, job.settings, job.data.facts, metrics, outputs)
        # The row first: on resuming, rows without a checkpoint are dropped and written again.
        runs.add_metrics(job.run, row | {f"val/{key}": value for key, value in metrics.items()})
        print(console.epoch_line(row, metrics, job.settings.epochs, better))
    save(job, state)


def save(job: Job, state: State) -> None:
    """Write last.pt, by one process for all."""
    if job.world.is_main:
        checkpoint.save_last(job.run, state, job.settings, job.data.facts)
    job.world.wait()


def is_exhausted(progress: Progress, settings: Hyperparameters) -> bool:
    """Whether the last ``patience`` epochs brought nothing better."""
    return 0 < settings.patience <= progress.epoch - progress.best_epoch
