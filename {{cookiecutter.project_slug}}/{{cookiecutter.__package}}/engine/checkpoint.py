"""Checkpoints: everything that training changes, so that a run resumes exactly where it was.

``last.pt`` is where training continues, ``previous.pt`` the one before it, and ``best.pt`` the
weights to use. Files hold tensors and plain types, and are whole or not there.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor

from .errors import Stopped, UserError
from .files import atomic_write
from .initial_weights import InitialWeights
from .run import Run
from .run_directory import MAY_CHANGE, find_run
from .settings import StartSettings, parse_interval, require_same_hyperparameters, to_plain
from .signals import StopSignals

FORMAT = 4


class Stateful(Protocol):
    """Something that changes in training: a model, an optimizer, a metric log."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


@dataclass
class Progress:
    """Where a run is."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Optimizer steps over all epochs."""
    step_in_epoch: int = 0
    """Optimizer steps in the current epoch."""
    best: float | None = None
    """Best value of the monitored metric, in ``best_epoch``."""
    best_epoch: int = 0

    def end_step(self) -> None:
        """Count an optimizer step."""
        self.step += 1
        self.step_in_epoch += 1

    def end_epoch(self, value: float, *, lower_is_better: bool) -> bool:
        """Count an epoch; returns whether ``value`` is the best so far."""
        self.epoch, self.step_in_epoch = self.epoch + 1, 0
        if self.best is None or self.best != self.best:  # NaN
            is_best = True
        else:
            is_best = value < self.best if lower_is_better else value > self.best
        if is_best:
            self.best, self.best_epoch = value, self.epoch
        return is_best

    def is_out_of_patience(self, patience: int) -> bool:
        """Whether the last ``patience`` epochs brought nothing better; 0: never."""
        return 0 < patience <= self.epoch - self.best_epoch

    def state_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take all values from ``state_dict``."""
        vars(self).update(state_dict)


class Checkpointer:
    """Saves a run in the main process, for all; written by a thread while training continues.

    Use it in a ``with`` statement, which ends when everything is on the disk.
    """

    def __init__(
        self, run: Run, state: Mapping[str, Stateful | None], hparams: Any, info: Any
    ) -> None:
        self.run, self.folder = run, run.directory / "checkpoints"
        self.state = {name: part for name, part in state.items() if part is not None}
        self._header: dict[str, Any] = {
            "format": FORMAT,
            "hyperparameters": to_plain(hparams),
            "info": asdict(info),
        }
        self._interval, self._unit = parse_interval(run.settings.checkpoint_every)
        self._saved_at = time.monotonic()
        self._signals = StopSignals(run.settings.requeue_signal)
        # With OpenMP threads of its own, the writer would halve the speed of the training threads.
        self._writer = ThreadPoolExecutor(1, "writer", torch.set_num_threads, (1,))
        self._pending: Future[None] | None = None

    def __enter__(self) -> "Checkpointer":
        self._signals.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._signals.__exit__()
        self._writer.shutdown(wait=True)
        if kind is None:  # the error that ended the training matters more
            self.wait()

    def load_last(self) -> None:
        """Continue from the last checkpoint of the run; a new run has none, and stays as it is.

        Raises:
            UserError: it is of other data, hyperparameters or another model, or damaged.
        """
        content = load_last(self.folder)
        if content is None:
            return
        saved, current = content["hyperparameters"], self._header["hyperparameters"]
        require_same_hyperparameters(saved, current, MAY_CHANGE, self.run.directory)
        require_same_info(content["info"], self._header["info"])
        try:
            for name, part in self.state.items():
                part.load_state_dict(content[name])
        except (RuntimeError, ValueError, LookupError) as error:
            raise UserError(
                "The checkpoint is of another model or optimizer. Resume with the code and the "
                f"hyperparameters of the run. ({' '.join(str(error).split())[:300]})"
            ) from None
        progress = self.state["progress"]
        if isinstance(progress, Progress) and self.run.dist.on_main(self._best_is_damaged):
            progress.best = None

    def save_if_due(self, progress: Progress) -> None:
        """Save if enough steps or time have passed, or a signal has come.

        Raises:
            Stopped: after a signal, when everything is on the disk.
        """
        by_steps = self._unit == "steps" and self._interval > 0
        signal_number, is_due = self._ask_all(progress.step)
        if signal_number or is_due or (by_steps and progress.step % self._interval == 0):
            self.save()
        if signal_number:
            self.wait()
            raise Stopped(signal_number)

    def _ask_all(self, step: int) -> tuple[int, bool]:
        """The signal that any process has received, and whether enough time has passed.

        Several processes ask each other in every tenth step only, because all must wait for that.
        """
        by_time = self.run.is_main and self._unit == "seconds" and self._interval > 0
        is_due = by_time and time.monotonic() - self._saved_at >= self._interval
        mine = (self._signals.received, is_due)
        if self.run.dist.world_size == 1:
            return mine
        if step % 10:
            return 0, False
        signals, dues = zip(*self.run.dist.all_gather(mine), strict=True)
        return max(signals), any(dues)

    def save(self, best: Mapping[str, Any] | None = None) -> None:
        """Save where the run is; ``best`` is the content of best.pt, and its "predictions".

        It takes as long as a copy to the memory of the CPU, if the save before is finished.
        """
        state = {name: part.state_dict() for name, part in self.state.items()}
        self._saved_at = time.monotonic()
        if not self.run.is_main:
            return
        last = to_host(self._header | state)
        copied = None if best is None else to_host(dict(best))
        self.wait()
        self._pending = self._writer.submit(self._write, last, copied)

    def _write(self, last: dict[str, Any], best: dict[str, Any] | None) -> None:
        self.folder.mkdir(exist_ok=True)
        if best is not None:
            with atomic_write(self.run.directory / "predictions.npz") as file:
                np.savez(file, **best.pop("predictions"))
            with atomic_write(self.folder / "best.pt") as file:
                torch.save(self._header | best, file)
        new, current = self.folder / "new.pt", self.folder / "last.pt"
        with atomic_write(new) as file:
            torch.save(last, file)
        if current.exists():
            current.replace(self.folder / "previous.pt")
        new.replace(current)

    def wait(self) -> None:
        """Wait until nothing is left to be written; raises what went wrong with that."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _best_is_damaged(self) -> bool:
        try:
            if (self.folder / "best.pt").exists():
                load_checkpoint(self.folder / "best.pt")
        except UserError as problem:
            print(f"Warning: {problem} The best of the next epochs will replace it.")
            return True
        return False


def load_last(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint in ``folder`` that can be read, or None if none was ever written.

    Raises:
        UserError: there are some, but all are damaged.
    """
    problems: list[str] = []
    for path in (folder / name for name in ("last.pt", "new.pt", "previous.pt")):
        if not path.exists():
            continue
        try:
            content = load_checkpoint(path)
        except UserError as problem:
            problems.append(str(problem))
            continue
        for text in problems:
            print(f"Warning: {text} Continuing from {path.name}.")
        return content
    if problems:
        raise UserError(f"There is no checkpoint to continue from. {' '.join(problems)}")
    return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What was written, on the CPU. No code is loaded, whatever the file holds.

    Raises:
        UserError: there is no such file, it is damaged, or it has another format.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist. Train first, or use another run.")
    try:
        with ZipFile(path) as file:
            damaged = file.testzip()  # torch itself does not compare the checksums
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = content.pop("format")
    except PermissionError:
        raise
    except Exception as error:  # which one depends on the place of the damage
        reason = str(error).splitlines()[0][:150] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged ({reason}).") from None
    if damaged is not None:
        raise UserError(f"{path} is damaged (the checksum of {damaged} differs).")
    if version != FORMAT:
        raise UserError(
            f"{path} has checkpoint format {version}; this program reads format {FORMAT}. "
            "Use the version of the project that wrote it, or train again."
        )
    return content


def find_initial(start: StartSettings) -> InitialWeights | None:
    """The weights that ``--init-from`` or ``--init-matching`` names; None without them."""
    name = start.init_from or start.init_matching
    if not name:
        return None
    run = find_run(name)
    best = load_checkpoint(run / "checkpoints" / "best.pt")
    return InitialWeights(run, best, matching=start.init_from is None)


def to_host(value: Any) -> Any:
    """The same, with a copy of every tensor in the memory of the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: to_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_host(item) for item in value)
    return value


def require_same_info(saved: Any, current: Any) -> None:
    """Refuse data whose classes or columns are not those that the model was trained on.

    Numbers with a fraction, such as means, are not compared: they may differ in the last digit.
    """
    if _without_floats(saved) != _without_floats(current):
        raise UserError(
            "The data is not what this run was trained on: classes, columns or sizes differ. "
            "Use the data of the run, or train a new one."
        )


def _without_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_floats(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_floats(item) for item in value]
    return None if isinstance(value, float) else value
