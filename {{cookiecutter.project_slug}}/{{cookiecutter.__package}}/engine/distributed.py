"""One process or many: this process's place in the group that torchrun started."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from .errors import UserError


@dataclass(frozen=True)
class Distributed:
    """This process's ``rank`` among ``world_size`` processes. A single process has rank 0 of 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            distributed.barrier()

    def all_gather(self, value: Any) -> list[Any]:
        """The ``value`` of every process, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def on_main(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` in the main process only; all processes get its result or its error."""
        result: Any = None
        if self.is_main:
            try:
                result = function()
            except (UserError, OSError) as error:
                result = error
        result = self.all_gather(result)[0]
        if isinstance(result, Exception):
            raise result
        return result

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers of the main one, such as batch norm statistics.

        Each process has seen other samples, but one model is evaluated and saved.
        """
        if self.world_size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


@contextmanager
def process_group(backend: str) -> Iterator[Distributed]:
    """Join the group that torchrun announces in the environment. Without torchrun there is none."""
    if os.environ.get("WORLD_SIZE", "") in ("", "1"):
        yield Distributed()
        return
    absent = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if absent:
        raise UserError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(absent)} is missing. Start "
            "several processes with torchrun; for one, remove WORLD_SIZE from the environment."
        )
    store, rank, world_size = next(rendezvous("env://"))
    # A group that torchrun has restarted must not find the addresses of the one before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = PrefixStore(f"attempt {attempt}", store)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    try:
        yield Distributed(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def convert_sync_batchnorm(model: nn.Module, device: torch.device, dist: Distributed) -> nn.Module:
    """Let batch norms see the whole batch, not this process's share; torch can on CUDA only."""
    if dist.world_size == 1 or device.type != "cuda":
        return model
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted
