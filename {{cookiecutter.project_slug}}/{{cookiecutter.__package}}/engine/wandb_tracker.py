"""Weights & Biases: a run on its server or, where nobody is logged in, in the run's directory."""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from .files import PROJECT, read_toml
from .tracker import SECONDS, Tracker

BLOCK = 32768
HEAD = 7  # bytes at the beginning of a .wandb file, and of each chunk in it


class WandB(Tracker):
    """The server knows the last step; offline, the files that ``wandb sync`` will send."""

    def connect(self, identity: str) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        wandb = import_module("wandb")
        if wandb.run is not None:  # it has failed
            with suppress(Exception):
                wandb.teardown()
        is_online = "WANDB_MODE" in os.environ or wandb.login(prompt=False)
        limits = {"init_timeout": SECONDS, "finish_timeout": 6 * SECONDS, "console": "off"}
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT.name,
            name=self.directory.name,
            id=identity,
            resume="allow",
            dir=str(self.directory),
            mode=None if is_online else "offline",
            settings=wandb.Settings(**limits),
        )
        settings = read_toml(self.directory / "hyperparameters.toml")
        self.run.config.update(settings, allow_val_change=True)
        self.place, self.next_step = self.run.url, self.run.step
        if self.run.offline:
            self.place = f"wandb sync {self.directory / 'wandb'}/offline-run-*"
            files = self.directory.glob(f"wandb/*run-*-{identity}/run-{identity}.wandb")
            steps = [step for path in files for step in saved_steps(path.read_bytes())]
            self.next_step = max(steps, default=-1) + 1

    def has(self, name: str, step: int) -> bool:
        return step < self.next_step or super().has(name, step)

    def add(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step, commit=True)

    def add_files(self, step: int) -> None:
        for path in self.files():
            self.run.save(str(path), base_path=str(self.directory), policy="now")

    def close(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == "FINISHED" else 1)


def saved_steps(data: bytes) -> Iterator[int]:
    """The steps in a .wandb file: records in chunks, in blocks of 32 KiB, as in LevelDB's log."""
    messages = import_module("wandb.proto.wandb_internal_pb2")
    position, record = HEAD, b""
    while position + HEAD <= len(data):
        length, kind = struct.unpack_from("<HB", data, position + 4)  # after the checksum
        end = position + HEAD + length
        if kind == 0 or end > len(data):  # it was killed while it wrote
            return
        record += data[position + HEAD : end]
        # What is too little for a chunk at the end of a block is left empty.
        position = end + BLOCK - end % BLOCK if BLOCK - end % BLOCK < HEAD else end
        if kind in (1, 4):  # a whole record, or the last chunk of one
            message, record = messages.Record.FromString(record), b""
            if message.HasField("history"):
                yield message.history.step.num
