"""The largest batch is searched for in few steps, on devices that report their memory."""

import pytest
import torch

from {{ cookiecutter.__package }}.cli import find_batch_size
from {{ cookiecutter.__package }}.cli.find_batch_size import search
from {{ cookiecutter.__package }}.cli.main import main


@pytest.mark.parametrize("unit", [1, 3])
@pytest.mark.parametrize("limit", [0, 1, 2, 5, 33, 100, 1000, 5000])
def test_what_is_found_fits_and_is_within_an_eighth_of_the_largest(limit: int, unit: int) -> None:
    tried = list[int]()

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    found = search(fits, unit, 999 * unit)
    largest = min(limit, 999 * unit) // unit * unit
    assert found <= largest and found % unit == 0
    assert found > largest - max(2 * unit, largest // 7)
    assert len(tried) < 20


def test_a_batch_that_is_out_of_memory_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_steps(size: int, hparams: object, data: object, run: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(find_batch_size, "take_steps", take_steps)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.accelerator, name, lambda *_: None)
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda _: (0, 2**30))

    class Run:
        device = torch.device("cuda")

    assert not find_batch_size.fits(8, None, None, Run())  # type: ignore[arg-type]


def test_on_a_cpu_it_says_why_it_is_of_no_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find-batch-size", "--device", "cpu", "--batch-size", "5"]) == 2
    assert "needs a GPU" in capsys.readouterr().err
