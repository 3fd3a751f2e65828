"""The hyperparameters as files hold them: TOML, and what a run that goes on must have again."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import UserError
from .settings import CommonHyperparameters

PROJECT = Path(__file__).resolve().parent.parent
# What may be other when a run goes on: how long, where and how fast, and with what care.
MAY_CHANGE = {"data", "epochs", "patience", "eval_batch_size", "accumulation_steps"}
MAY_CHANGE |= {"checkpoint_every", "on_nonfinite", "deterministic", "requeue_signal"}
MAY_CHANGE |= {"device", "precision", "channels_last", "tf32", "compile", "num_workers"}
MAY_CHANGE |= {"cache", "cache_gib"}


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        UserError: there is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from None


def machine_layer() -> tuple[str, dict[str, Any]]:
    """This machine's defaults; none where ``device.toml`` does not exist."""
    path = PROJECT / "device.toml"
    return str(path), read_toml(path) if path.exists() else {}


def to_plain(settings: CommonHyperparameters) -> dict[str, str | int | float | bool]:
    """The settings as TOML can hold them: paths as text, and without those that are None."""
    values = ((item.name, getattr(settings, item.name)) for item in dataclasses.fields(settings))
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in values
        if value is not None
    }


def require_same_settings(saved: Mapping[str, Any], current: Mapping[str, Any], run: Path) -> None:
    """Refuse to go on with other hyperparameters, except those that ``MAY_CHANGE``.

    Raises:
        UserError: some differ; the message says which, and how.
    """
    differing = [
        f"{name.replace('_', '-')} was {saved.get(name)}, now it is {current.get(name)}"
        for name in sorted({*saved, *current} - MAY_CHANGE)
        if saved.get(name) != current.get(name)
    ]
    if differing:
        raise UserError(
            f"{run} cannot go on with other hyperparameters: {'; '.join(differing)}. "
            "Resume with those of the run, or train a new one."
        )
