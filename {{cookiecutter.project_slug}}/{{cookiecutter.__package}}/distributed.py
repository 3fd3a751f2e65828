"""One process or a thousand: what torchrun says of this process's place among the others."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from .errors import UserError


@dataclass(frozen=True)
class World:
    """This process's number (``rank``) among ``size`` processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def agree(self, signal: int, due: bool, step: int) -> tuple[int, bool]:
        """The signal that any process has received, 0 for none, and whether any must save.

        Several processes exchange it in every tenth step only, for each exchange waits for all.
        """
        if self.size == 1:
            return signal, due
        if step % 10:
            return 0, False
        signals, dues = zip(*self.gather((signal, due)), strict=True)
        return max(signals), any(dues)

    def gather(self, value: Any) -> list[Any]:
        """Everyone's ``value``, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def by_main(self, do: Callable[[], Any]) -> Any:
        """What ``do`` returns in the main process, which alone does it; its errors are for all."""
        result: Any = None
        if self.is_main:
            try:
                result = do()
            except (UserError, OSError) as error:
                result = error
        result = self.gather(result)[0]
        if isinstance(result, Exception):
            raise result
        return result

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            torch.distributed.barrier()


@contextmanager
def group(backend: str) -> Iterator[World]:
    """Join the group that torchrun announces in the environment; alone, there is none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    store, rank, size = next(rendezvous("env://"))
    # A group that torchrun has started again must not find the addresses of the one before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"attempt {attempt}", store)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield World(torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()


def share_batch_norms(model: nn.Module, device: torch.device, world: World) -> nn.Module:
    """Let batch norms see the whole batch, not this process's share; torch can on CUDA only."""
    if world.size == 1 or device.type != "cuda":
        return model
    shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return shared


def wrap(model: nn.Module, device: torch.device, world: World) -> nn.Module:
    """The model whose gradients are averaged over all processes."""
    if world.size == 1:
        return model
    devices = [device] if device.type in ("cuda", "xpu") else None
    return nn.parallel.DistributedDataParallel(model, device_ids=devices)


def share_buffers(model: nn.Module, world: World) -> None:
    """Give every process the main one's buffers, such as the statistics of batch norms.

    Each has seen other samples, but one model is evaluated and saved.
    """
    if world.size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def gradients_stay_here(model: nn.Module, wanted: bool) -> AbstractContextManager[None]:
    """While gradients accumulate, processes need not exchange them."""
    if wanted and isinstance(model, nn.parallel.DistributedDataParallel):
        return model.no_sync()
    return nullcontext()
