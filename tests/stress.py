"""Kills a training run again and again, and compares its end with that of an undisturbed one.

    python tests/stress.py PROJECT --kills 200

Prints a table; the exit code is 1 if any end differs in a single bit. Not for Windows.
"""

import argparse
import functools
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

PACKAGE = "my_torch_project"
FLAGS = ["train", "--device", "cpu", "--precision", "fp32", "--ema-decay", "0.9", "--no-report"]
FLAGS += ["--epochs", "2", "--batch-size", "8"]
NUM_SAMPLES = 80  # in an epoch
IMPORTED_LATE = ("torch._dynamo", "torchmetrics", "pydantic", "tyro")
TIMES = {"seconds", "samples_per_second", "peak_memory_mib"}


class Way(NamedTuple):
    """How a run is made: worker processes for the data, and processes that train."""

    workers: int
    processes: int


WAYS = (Way(0, 1), Way(2, 1), Way(0, 2), Way(2, 2))


def prepare() -> None:
    """Imports everything and makes the data, once for all processes that are forked from here."""
    own = (f"{PACKAGE}.{name}" for name in ("cli.main", "cli.train"))
    for module in (*own, *IMPORTED_LATE):
        import_module(module)
    command, train = import_module(f"{PACKAGE}.cli.train"), import_module(f"{PACKAGE}.train")
    make_data = functools.cache(train.make_data)
    vars(train)["make_data"] = make_data
    data = make_data(import_module(f"{PACKAGE}.hyperparameters").Hyperparameters())
    others = 1 - NUM_SAMPLES / sum(len(split) for split in (data.train, data.val, data.test))
    # Most samples are for the test, which is never run.
    FLAGS.extend(["--test-fraction", str(0.9 * others), "--val-fraction", str(0.1 * others)])
    make_data(command.parse(command.TrainArguments, "train", FLAGS[1:]).hparams)


@contextmanager
def training(flags: list[str], way: Way, log: Path) -> Iterator[list[int]]:
    """The processes of a training; forked from this one, so that none waits for imports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [*FLAGS, "--num-workers", str(way.workers), *flags]
    pids = [_fork(flags, rank, way.processes, port, log) for rank in range(way.processes)]
    yield pids
    for pid in pids:
        kill(pid)


def _fork(flags: list[str], rank: int, size: int, port: int, log: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        code = import_module(f"{PACKAGE}.cli.main").main(flags)
    finally:
        sys.stdout.flush()
        os._exit(code)


def kill(pid: int) -> None:
    """SIGKILL, and wait for the end; nothing if it has ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def finish(flags: list[str], way: Way, log: Path) -> float:
    """Train to the end; returns the seconds that it took."""
    started = time.monotonic()
    with training(flags, way, log) as pids:
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(codes):
        raise AssertionError(f"exit codes {codes}\n{log.read_text('utf-8')}")
    return time.monotonic() - started


def interrupt(name: str, way: Way, seconds: float, log: Path, dice: random.Random) -> bool:
    """Go on with a run, and kill one of its processes after some time; whether it was alive."""
    begun = (Path("runs") / name / "hyperparameters.toml").exists()
    if not begun:
        shutil.rmtree(Path("runs") / name, ignore_errors=True)
    flags = ["--resume", name] if begun else ["--run", name, "--checkpoint-every", "2"]
    with training(flags, way, log) as pids:
        time.sleep(seconds)
        victim = dice.choice(pids)
        ended, _ = os.waitpid(victim, os.WNOHANG)
        if not ended:
            kill(victim)
        return not ended


def end_of(run: Path) -> dict[str, Any]:
    """Everything that must be the same, flat."""
    content: dict[str, Any] = {}
    for name in ("last", "best"):
        path = run / "checkpoints" / f"{name}.pt"
        saved = torch.load(path, weights_only=True)
        content |= _flat(name, saved)
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    content |= _flat("rows", [json.loads(line) for line in lines])
    with np.load(run / "predictions.npz", allow_pickle=False) as arrays:
        content |= _flat("predictions", {key: torch.from_numpy(arrays[key]) for key in arrays})
    return content


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [_flat(f"{name}.{key}", item) for key, item in items if key not in TIMES]
        return {key: item for part in parts for key, item in part.items()}
    return {name: value.tolist() if isinstance(value, torch.Tensor) else repr(value)}


def differences(first: Path, second: Path) -> list[str]:
    """Names of what is not the same to the last bit."""
    one, other = end_of(first), end_of(second)
    return [name for name in {**one, **other} if str(one.get(name)) != str(other.get(name))]


def stress(kills: int, way: Way, seed: int) -> tuple[int, list[str]]:
    """Kills that hit a living run, and what was different in the end."""
    dice, label = random.Random(f"{seed} {way}"), f"{way.workers}-{way.processes}"
    log = Path(f"stress-{label}.log").absolute()
    calm, killed = f"calm-{label}", f"killed-{label}"
    for name in (calm, killed):
        shutil.rmtree(Path("runs") / name, ignore_errors=True)
    duration = finish(["--run", calm, "--checkpoint-every", "0"], way, log)
    survived, rounds, found = 0, 0, list[str]()
    while survived < kills and rounds < 20 * kills:
        rounds += 1
        if interrupt(killed, way, dice.uniform(0.05, 0.7) * duration, log, dice):
            survived += 1
            continue
        found += differences(Path("runs") / calm, Path("runs") / killed)
        shutil.rmtree(Path("runs") / killed)
    begun = (Path("runs") / killed / "hyperparameters.toml").exists()
    finish(["--resume", killed] if begun else ["--run", killed], way, log)
    return survived, found + differences(Path("runs") / calm, Path("runs") / killed)


def main() -> int:
    """Stress a project in every way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.chdir(arguments.project)
    sys.path.insert(0, ".")
    sys.dont_write_bytecode = True
    prepare()
    print("| workers | processes | kills survived | different in the end | seconds |")
    print("|---|---|---|---|---|")
    failed = False
    for place, way in enumerate(WAYS):
        kills = arguments.kills // len(WAYS) + (place < arguments.kills % len(WAYS))
        started = time.monotonic()
        survived, found = stress(kills, way, arguments.seed)
        failed |= bool(found) or survived < kills
        seconds = time.monotonic() - started
        what = f"{len(found)}: {', '.join(found[:5])}" if found else "nothing"
        print(
            f"| {way.workers} | {way.processes} | {survived} | {what} | {seconds:.0f} |", flush=True
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
