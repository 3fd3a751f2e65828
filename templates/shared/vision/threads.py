"""Doing the same with many files, in threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from ..engine.errors import UserError
from ..engine.machine import usable_cpus

CHUNK = 32  # items for a thread at once; for small files single ones would take longer
Item = TypeVar("Item")
Result = TypeVar("Result")


def try_all(
    function: Callable[[Item], Result], items: Sequence[Item], doing: str
) -> tuple[list[Result], list[UserError]]:
    """What the function returns for the items, in order, and the errors of those that have one.

    ``doing`` is shown beside the progress bar.
    """
    results: list[Result] = []
    errors: list[UserError] = []

    def call(start: int) -> tuple[list[Result], list[UserError]]:
        done: list[Result] = []
        failed: list[UserError] = []
        for item in items[start : start + CHUNK]:
            try:
                done.append(function(item))
            except UserError as error:
                failed.append(error)
        return done, failed

    starts = range(0, len(items), CHUNK)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for done, failed in tqdm(
            pool.map(call, starts), doing, len(starts), leave=False, disable=None
        ):
            results += done
            errors += failed
    return results, errors
