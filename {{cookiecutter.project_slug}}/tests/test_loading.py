"""How batches reach the device."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from {{ cookiecutter.__package }}.engine.data import map_tensors
from {{ cookiecutter.__package }}.engine.loading import to_device


class FakeGpu:
    """A GPU that only writes down what it is told."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def Stream(self, device: torch.device) -> "FakeGpu":
        return self

    def current_stream(self, device: torch.device) -> "FakeGpu":
        return self

    def stream(self, stream: "FakeGpu") -> AbstractContextManager[None]:
        return nullcontext()

    def record_event(self) -> str:
        self.log.append("copied")
        return f"event {self.log.count('copied')}"

    def wait_event(self, event: str) -> None:
        self.log.append(f"wait for {event}")


class OnFakeGpu(Tensor):
    """A tensor that can be moved there."""

    def pin_memory(self, device: Any = None) -> "OnFakeGpu":
        return self

    def to(self, *arguments: Any, **options: Any) -> "OnFakeGpu":
        return self

    def record_stream(self, stream: Any) -> None:
        stream.log.append("kept until the work is done")


def test_the_next_batch_is_copied_to_a_gpu_while_this_one_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu()
    monkeypatch.setattr(torch, "get_device_module", lambda _: gpu)
    batches = [(torch.tensor([n]).as_subclass(OnFakeGpu), f"name {n}") for n in range(3)]
    seen = []
    for batch in to_device(batches, torch.device("cuda")):
        gpu.log.append("used")
        seen.append(batch)
    assert [name for _, name in seen] == ["name 0", "name 1", "name 2"]
    kept = "kept until the work is done"
    assert gpu.log == [
        *("copied", "copied", "wait for event 1", kept, "used"),
        *("copied", "wait for event 2", kept, "used"),
        *("wait for event 3", kept, "used"),
    ]


def test_on_the_cpu_batches_are_not_touched() -> None:
    batch = {"images": torch.ones(2)}
    assert list(to_device([batch], torch.device("cpu"))) == [batch]


def test_only_tensors_are_changed_in_a_batch() -> None:
    batch = ([torch.ones(2), "a"], {"b": torch.ones(1)})
    (doubled, text), named = map_tensors(batch, lambda tensor: 2 * tensor)
    assert (doubled.tolist(), text, named["b"].tolist()) == ([2, 2], "a", [2])
