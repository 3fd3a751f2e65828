"""A run: its directory, its device, and its place among the processes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .device import Hardware
from .distributed import Distributed, convert_sync_batchnorm
from .initial_weights import InitialWeights
from .seeding import mix_seed, seed_torch
from .settings import WHOLE, Limits, RunSettings
from .tracking import Tracking


@dataclass(frozen=True)
class Run:
    """Where a run computes and writes. It decides the speed; the hyperparameters the result."""

    directory: Path
    settings: RunSettings
    hardware: Hardware
    dist: Distributed
    profile_steps: int = 0
    """Steps to measure with torch.profiler."""
    limits: Limits = WHOLE
    """For debugging."""
    tracking: Tracking = field(default_factory=Tracking)
    """TensorBoard and the like, in the main process."""
    initial: InitialWeights | None = None
    """The weights of another run, from which this one starts."""

    @property
    def device(self) -> torch.device:
        """Where tensors are."""
        return self.hardware.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.dist.is_main

    def seed(self, *numbers: int) -> None:
        """Seed torch as a function of where the run is, such as (seed, step, micro-batch)."""
        seed_torch(mix_seed(*numbers), self.device)

    def initialize(self, model: nn.Module, info: Any) -> None:
        """Give a new model the weights of another run, where that was requested."""
        if self.initial is not None:
            lines = self.initial.load_into(model, asdict(info))
            print(*(lines if self.is_main else []), sep="\n", end="\n" * self.is_main)

    def to_device(self, model: nn.Module) -> nn.Module:
        """The model on the device, in its memory layout, ready for several processes."""
        model = convert_sync_batchnorm(model, self.device, self.dist)
        layout = torch.channels_last if self.hardware.channels_last else torch.contiguous_format
        return model.to(self.device).to(memory_format=layout)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call in training: compiled and data-parallel, where that was requested.

        A model may have a ``compile_target``, the submodule that can be compiled.
        """
        if self.hardware.compile:
            target: nn.Module = getattr(model, "compile_target", model)
            target.compile()
        if self.dist.world_size == 1:
            return model
        devices = [self.device] if self.device.type in ("cuda", "xpu") else None
        return DistributedDataParallel(model, device_ids=devices)

    def autocast(self) -> AbstractContextManager[Any]:
        """Automatic mixed precision; does nothing in fp32."""
        return self.hardware.autocast()

    def no_sync(self, model: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        """While gradients accumulate, processes need not exchange them."""
        if enabled and isinstance(model, DistributedDataParallel):
            return model.no_sync()
        return nullcontext()
