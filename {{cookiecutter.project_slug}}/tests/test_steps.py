"""Which samples form a step, and how the weights are moved by it."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import register_optimizer_step_pre_hook

from {{ cookiecutter.__package }}.distributed import World, share_batch_norms
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.loaders import split
from {{ cookiecutter.__package }}.optimizer import (
    WeightAverage,
    make_optimizer,
    make_schedule,
    take_step,
)
from {{ cookiecutter.__package }}.sampling import StepSampler
from {{ cookiecutter.__package }}.settings import CommonHyperparameters
from {{ cookiecutter.__package }}.utils import mix_seed, mix_seeds


def steps(parts: int = 1, processes: int = 1, epoch: int = 0) -> list[set[int]]:
    """The samples of each step of an epoch, over all parts and processes."""
    settings = CommonHyperparameters(batch_size=12, accumulation_steps=parts)
    result: list[set[int]] = []
    for rank in range(processes):
        sampler = StepSampler(100, settings, World(rank, processes))
        sampler.epoch = epoch
        batches = list(sampler)
        result = result or [set() for _ in range(sampler.num_steps)]
        for number, draw in enumerate(batches):
            assert (draw.epoch, len(draw.indices)) == (epoch, 12 // (parts * processes))
            result[number // parts] |= set(draw.indices.tolist())
    return result


@pytest.mark.parametrize(("parts", "processes"), [(2, 1), (1, 2), (3, 2), (1, 4)])
def test_accumulation_and_processes_never_change_the_samples_of_a_step(
    parts: int, processes: int
) -> None:
    assert steps(parts, processes) == steps()
    assert all(len(step) == 12 for step in steps())


def test_every_epoch_has_another_order_and_no_sample_twice() -> None:
    first, second = steps(epoch=0), steps(epoch=1)
    assert first != second
    assert len(set.union(*first)) == 96


def test_batch_norms_are_shared_by_the_processes_of_several_gpus() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    shared = share_batch_norms(model, torch.device("cuda"), World(0, 2))
    assert isinstance(shared[1], nn.SyncBatchNorm)  # type: ignore[index]
    assert shared.state_dict().keys() == model.state_dict().keys()
    assert share_batch_norms(model, torch.device("cpu"), World(0, 2)) is model


def test_an_epoch_can_be_entered_in_its_middle() -> None:
    sampler = StepSampler(100, CommonHyperparameters(batch_size=12), World())
    whole = [draw.indices.tolist() for draw in sampler]
    sampler.start = 5
    assert [draw.indices.tolist() for draw in sampler] == whole[5:]


def test_samples_of_like_length_come_together_in_an_order_that_the_seed_gives() -> None:
    lengths = [(7 * index) % 100 for index in range(1000)]
    settings = CommonHyperparameters(batch_size=10)
    sampler = StepSampler(1000, settings, World(), lengths)
    batches = [[lengths[index] for index in draw.indices] for draw in sampler]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 5
    assert sorted(length for batch in batches for length in batch) == sorted(lengths)
    assert batches != sorted(batches)
    assert [[lengths[index] for index in draw.indices] for draw in sampler] == batches


def test_a_set_smaller_than_the_batch_is_one_step() -> None:
    sampler = StepSampler(5, CommonHyperparameters(batch_size=64), World())
    assert [len(draw.indices) for draw in sampler] == [5]


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can() -> None:
    with pytest.raises(UserError, match="--batch-size 66"):
        StepSampler(100, CommonHyperparameters(batch_size=64), World(0, 3))


def test_a_split_is_disjoint_complete_and_stratified() -> None:
    labels = [0] * 80 + [1] * 20
    parts = split(100, CommonHyperparameters(val_fraction=0.2, test_fraction=0.1), labels)
    assert sorted(index for part in parts.values() for index in part) == list(range(100))
    counts = {name: sum(labels[index] for index in part) for name, part in parts.items()}
    assert counts == {"train": 14, "val": 4, "test": 2}


def test_the_seed_of_training_does_not_move_the_test_set() -> None:
    parts = [split(50, CommonHyperparameters(seed=seed)) for seed in (0, 1)]
    assert parts[0] == parts[1]
    assert split(50, CommonHyperparameters(split_seed=1)) != parts[0]


def test_neighbouring_positions_have_unrelated_seeds() -> None:
    seeds = [mix_seed(0, epoch, index) & 0xFFFFFFFF for epoch in range(50) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert mix_seed(1, 2) != mix_seed(2, 1)


def test_many_seeds_at_once_are_the_same_seeds() -> None:
    last = [0, 1, 77, 2**31, 2**62]
    seeds = mix_seeds(5, 3, last=np.array(last, dtype=np.uint64))
    assert seeds.tolist() == [mix_seed(5, 3, number) for number in last]


def test_norms_and_biases_have_no_weight_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    decayed, free = make_optimizer(model, CommonHyperparameters()).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] > 0
    assert len(free["params"]) == 3
    assert free["weight_decay"] == 0


@pytest.mark.parametrize("changes", [{}, {"maximize": True}, {"amsgrad": True}, {"fused": False}])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_step_is_that_of_torch_bit_by_bit(optimizer: str, changes: dict[str, bool]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    twin = copy.deepcopy(model)
    settings = CommonHyperparameters(optimizer=optimizer, weight_decay=0.1)  # type: ignore[arg-type]
    mine, torchs = make_optimizer(model, settings), make_optimizer(twin, settings)
    for group in (*mine.param_groups, *torchs.param_groups):
        group.update(changes if optimizer == "adamw" else {})
    for step in range(5):
        samples = torch.rand(8, 3, generator=torch.Generator().manual_seed(step))
        for network in (model, twin):
            network.zero_grad()
            network(samples).square().mean().backward()
            if step == 2:  # as of a layer that had nothing to do in this step
                network[2].weight.grad = None
        take_step(mine)
        torchs.step()
    for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(parameter, expected)
    assert str(mine.state_dict()) == str(torchs.state_dict())


@pytest.mark.filterwarnings("error")  # a scheduler warns when it misses a step
def test_whoever_waits_for_a_step_of_the_optimizer_hears_of_it() -> None:
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model, CommonHyperparameters())
    called = list[str]()

    def take_steps() -> list[str]:
        called.clear()
        for _ in range(3):
            model(torch.ones(1, 2)).sum().backward()
            take_step(optimizer)
        return called

    hook = optimizer.register_step_post_hook(lambda *_: called.append("its own"))
    assert take_steps() == ["its own"] * 3
    hook.remove()
    hook = register_optimizer_step_pre_hook(lambda *_: called.append("of all"))
    assert take_steps() == ["of all"] * 3
    hook.remove()
    scheduler = StepLR(optimizer, step_size=1)
    assert take_steps() == []
    scheduler.step()


def test_the_rate_rises_then_falls_to_zero() -> None:
    model = nn.Linear(1, 1)
    settings = CommonHyperparameters(learning_rate=1.0, warmup_fraction=0.1)
    optimizer = make_optimizer(model, settings)
    schedule = make_schedule(optimizer, settings, 100)
    rates = [schedule.set_rate(step) for step in range(100)]
    assert optimizer.param_groups[0]["lr"] == rates[-1]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001


def test_the_average_follows_the_weights_slowly() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.9)
    nn.init.ones_(model.weight)
    average.update(step=1000)
    assert next(average.model.parameters()).item() == pytest.approx(0.1)
    assert WeightAverage(model, 0.0).model is model
