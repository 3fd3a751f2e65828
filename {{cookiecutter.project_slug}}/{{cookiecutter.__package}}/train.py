"""Step 5, train the model: the loop. ``python train.py --help`` lists all that can be set."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import checkpoint, console, distributed, memory, runs
from .checkpoint import Progress, State
from .compiling import compile_model, compile_note
from .criterion import Criterion
from .datasets import make_data
from .distributed import World
from .errors import RunFailed, Stopped
from .evaluate import Metrics, evaluate, is_better
from .hyperparameters import Hyperparameters
from .loaders import Batches, Data, make_eval_loader, make_train_loader, on_device
from .losses import Losses
from .models import make_model
from .optimizer import (
    Kept,
    WeightAverage,
    forget_gradients,
    make_optimizer,
    make_schedule,
    take_step,
)
from .profiling import NoProfile, Profile
from .runtime import Runtime
from .sampling import StepSampler
from .saving import Saver
from .signals import StopSignals
from .stored_settings import require_same_settings, to_plain
from .utils import mix_seed, peak_memory_mib, seed_torch


@dataclass(frozen=True)
class Job:
    """What a run works with: made once, never changed."""

    settings: Hyperparameters
    run: Path
    runtime: Runtime
    world: World
    data: Data
    criterion: Criterion
    profile: Profile = field(default_factory=NoProfile)


def train(
    settings: Hyperparameters,
    run: Path,
    runtime: Runtime,
    world: World,
    *,
    resume: bool = False,
    profile: Profile | None = None,
) -> Progress:
    """Train as ``settings`` say, write the run's folder, and tell how far it came.

    Raises:
        UserError: the data, the model or the checkpoint cannot be used.
        RunFailed: the loss or the gradient is not finite.
        Stopped: Ctrl-C or SIGTERM; the run is saved and can be resumed.
    """
    data = make_data(settings)
    criterion = Criterion(settings, data.facts)
    job = Job(settings, run, runtime, world, data, criterion, profile or NoProfile())
    loader, sampler = make_train_loader(data, settings, runtime, world)
    val_loader = make_eval_loader(data.val, data, settings, runtime, world)
    state = make_state(job, sampler.num_steps)
    if resume:
        go_on(job, state)
    if settings.epochs > 1:
        for cache in data.caches:
            world.by_main(cache.fill)
    if world.is_main:
        parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
        runs.save_environment(run, runtime, parameters)
        print(console.opening_line(data, runtime, parameters))
    compile_model(state.model, runtime)
    model = distributed.wrap(state.model, runtime.device, world)
    memory.keep_freed(runtime.device)
    with (
        StopSignals(settings.requeue_signal) as stop,
        Saver(run, settings, data.facts, world) as saver,
    ):
        while state.progress.epoch < settings.epochs and not is_exhausted(state.progress, settings):
            row = train_epoch(job, state, model, loader, sampler, stop, saver)
            distributed.share_buffers(state.average.model, world)
            memory.give_back(runtime.device)
            metrics, outputs = evaluate(
                state.average.model, job.criterion, val_loader, runtime, world
            )
            finish_epoch(job, state, row, metrics, outputs, saver)
            if runtime.compile and world.is_main and state.progress.epoch == 1:
                print(compile_note())
    job.profile.end()
    world.wait()
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
        require_same_settings(content["hyperparameters"], to_plain(job.settings), job.run)
        checkpoint.require_same_data(content["facts"], job.data.facts)
        state.load(content)
    if job.world.by_main(lambda: checkpoint.best_is_damaged(job.run)):
        state.progress.best = None
    if job.world.is_main:
        runs.keep_metrics(job.run, state.rows)


def train_epoch(
    job: Job,
    state: State,
    model: nn.Module,
    loader: Batches,
    sampler: StepSampler,
    stop: StopSignals,
    saver: Saver,
) -> dict[str, Any]:
    """Take the steps that are left of the epoch under way; returns its row for metrics.jsonl."""
    progress, first = state.progress, state.progress.step_in_epoch
    sampler.epoch, sampler.start = progress.epoch, first
    losses = Losses(job.world, job.settings.on_nonfinite == "skip", partial(names, job, sampler))
    started, batches = time.perf_counter(), on_device(loader, job.runtime.device)
    model.train()
    for _ in console.progress_bar(
        f"epoch {progress.epoch + 1}/{job.settings.epochs}",
        range(first, sampler.num_steps),
        visible=job.world.is_main,
    ):
        with job.profile.step():
            losses_and_norm = train_step(job, state, model, batches)
        progress.step += 1
        progress.step_in_epoch += 1
        losses.add(*losses_and_norm, progress)
        signal, due = job.world.agree(stop.received, saver.is_due_by_clock(), progress.step)
        if signal or due or saver.is_due(progress.step):
            losses.collect(progress)
            saver.save(state)
        if signal:
            saver.wait()
            raise Stopped(signal)
    losses.collect(progress)
    seconds = time.perf_counter() - started
    return {
        "epoch": progress.epoch + 1,
        "step": progress.step,
        "train/loss": mean_loss(progress),
        "lr": progress.rate,
        "samples_per_second": (sampler.num_steps - first) * sampler.batch_size / seconds,
        "seconds": seconds,
        "peak_memory_mib": peak_memory_mib(job.runtime.device),
        **({"skipped_steps": progress.skipped} if progress.skipped else {}),
    }


def names(job: Job, sampler: StepSampler, step: int) -> list[str]:
    """Where the samples of a step of the epoch come from."""
    return [job.data.train.describe(index) for index in sampler.samples_of(step)]


def mean_loss(progress: Progress) -> float:
    """The mean training loss of the steps of an epoch.

    Raises:
        RunFailed: all of them were skipped.
    """
    taken = progress.step_in_epoch - progress.skipped
    if not taken:
        raise RunFailed(
            f"Not one step of epoch {progress.epoch + 1} had a finite loss and gradient. Try a "
            "smaller --learning-rate, and look for extreme values in the data."
        )
    return progress.loss_sum / taken


def train_step(
    job: Job, state: State, model: nn.Module, batches: Iterator[Any]
) -> tuple[list[Tensor], Tensor | None]:
    """One optimizer step.

    Returns what is still on the device: the mean loss of each part of the batch, and the norm of
    the gradients where it was measured.
    """
    settings, device, part = job.settings, job.runtime.device, job.profile.part
    num_parts, losses = settings.accumulation_steps, list[Tensor]()
    kept = Kept(model) if settings.on_nonfinite == "skip" else None
    state.progress.rate = state.schedule.set_rate(state.progress.step)
    for number in range(num_parts):
        with part("data"):
            batch = next(batches)
        # Dropout depends on where the run is, not on what it did before.
        seed_torch(mix_seed(settings.seed, state.progress.step, number, job.world.rank), device)
        with distributed.gradients_stay_here(model, number + 1 < num_parts):
            with part("forward"), job.runtime.autocast:
                loss = job.criterion.loss(model, batch)
            with part("backward"):
                share = loss / num_parts if num_parts > 1 else loss
                state.scaler.scale(share).backward()
        losses.append(loss.detach())
    with part("optimizer"):
        return losses, move_weights(settings, state, model, kept)


def move_weights(
    settings: Hyperparameters, state: State, model: nn.Module, kept: Kept | None
) -> Tensor | None:
    """Let the optimizer use the gradients; returns their norm where it was measured."""
    norm = None
    if settings.clip_norm or kept is not None:
        state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm or math.inf)
    if kept is not None and norm is not None:
        kept.put_back(state.optimizer, norm, state.scaler)
    if state.scaler.is_enabled():
        state.scaler.step(state.optimizer)
        state.scaler.update()
    else:
        take_step(state.optimizer)
    forget_gradients(state.optimizer)
    state.average.update(state.progress.step)
    # With a scaler, gradients that are too large are part of the game.
    return None if state.scaler.is_enabled() else norm


def finish_epoch(
    job: Job,
    state: State,
    row: dict[str, Any],
    metrics: Metrics,
    outputs: dict[str, np.ndarray],
    saver: Saver,
) -> None:
    """Record the epoch; keep the model if it is the best so far."""
    progress, name = state.progress, job.settings.monitor
    progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
    progress.loss_sum, progress.skipped = 0.0, 0
    better = is_better(metrics[name], progress.best, name, job.criterion)
    if better:
        progress.best, progress.best_epoch = metrics[name], progress.epoch
    saver.add_row(state, row | {f"val/{key}": value for key, value in metrics.items()})
    saver.save(state, metrics, outputs if better else None)
    if job.world.is_main:
        print(console.epoch_line(row, metrics, job.settings.epochs, better))


def is_exhausted(progress: Progress, settings: Hyperparameters) -> bool:
    """Whether the last ``patience`` epochs brought nothing better."""
    return 0 < settings.patience <= progress.epoch - progress.best_epoch
