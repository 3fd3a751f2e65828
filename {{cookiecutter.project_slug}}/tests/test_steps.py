"""Which samples form a step, and how the optimizer changes the weights."""

import numpy as np
import pytest
import torch
from torch import nn

from {{ cookiecutter.__package }}.engine.data import StepSampler
from {{ cookiecutter.__package }}.engine.distributed import (
    Distributed,
    convert_sync_batchnorm,
)
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.engine.seeding import mix_seed, mix_seeds
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.optimizer import (
    lr_factor,
    make_ema,
    make_optimizer,
)


def steps(accumulation_steps: int = 1, world_size: int = 1, epoch: int = 0) -> list[set[int]]:
    """The samples of each step of an epoch, over all micro-batches and processes."""
    result: list[set[int]] = []
    for rank in range(world_size):
        dist = Distributed(rank, world_size)
        sampler = StepSampler(100, 12, 0, dist, accumulation_steps=accumulation_steps)
        sampler.epoch = epoch
        result = result or [set() for _ in range(sampler.num_steps)]
        for number, (indices, _) in enumerate(sampler):
            assert len(indices) == 12 // (accumulation_steps * world_size)
            result[number // accumulation_steps] |= set(indices.tolist())
    return result


@pytest.mark.parametrize(("accumulation_steps", "world_size"), [(2, 1), (1, 2), (3, 2), (1, 4)])
def test_accumulation_and_processes_never_change_the_samples_of_a_step(
    accumulation_steps: int, world_size: int
) -> None:
    assert steps(accumulation_steps, world_size) == steps()
    assert all(len(step) == 12 for step in steps())


def test_every_epoch_has_another_order_and_no_sample_twice() -> None:
    first, second = steps(epoch=0), steps(epoch=1)
    assert first != second
    assert len(set.union(*first)) == 96


def test_a_sample_has_the_same_seed_wherever_it_is_loaded() -> None:
    alone = seeds_of(StepSampler(100, 12, 0, Distributed()))
    shared = seeds_of(StepSampler(100, 12, 0, Distributed(1, 2), accumulation_steps=3))
    assert len(shared) == 48
    assert shared.items() <= alone.items()


def seeds_of(sampler: StepSampler) -> dict[int, int]:
    seeds: dict[int, int] = {}
    for batch in sampler:
        assert batch.seeds is not None
        seeds |= dict(zip(batch.indices.tolist(), batch.seeds.tolist(), strict=True))
    return seeds


def test_batch_norms_see_the_samples_of_all_gpus() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    shared = convert_sync_batchnorm(model, torch.device("cuda"), Distributed(0, 2))
    assert isinstance(shared[1], nn.SyncBatchNorm)  # type: ignore[index]
    assert shared.state_dict().keys() == model.state_dict().keys()
    assert convert_sync_batchnorm(model, torch.device("cpu"), Distributed(0, 2)) is model


def test_an_epoch_can_begin_in_its_middle() -> None:
    sampler = StepSampler(100, 12, 0, Distributed())
    whole = [batch.indices.tolist() for batch in sampler]
    sampler.start = 5
    assert [batch.indices.tolist() for batch in sampler] == whole[5:]
    assert sampler.samples_of(6) == whole[6]


def test_samples_of_like_length_come_together_in_an_order_that_the_seed_gives() -> None:
    lengths = [(7 * index) % 100 for index in range(1000)]
    sampler = StepSampler(1000, 10, 0, Distributed(), lengths=lengths)
    batches = [[lengths[index] for index in batch.indices] for batch in sampler]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 5
    assert sorted(length for batch in batches for length in batch) == sorted(lengths)
    assert batches != sorted(batches)
    assert [[lengths[index] for index in batch.indices] for batch in sampler] == batches


def test_a_set_smaller_than_the_batch_is_one_step() -> None:
    assert [len(batch.indices) for batch in StepSampler(5, 64, 0, Distributed())] == [5]


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can() -> None:
    with pytest.raises(UserError, match="--batch-size 66"):
        StepSampler(100, 64, 0, Distributed(0, 3))


def test_neighboring_positions_have_unrelated_seeds() -> None:
    seeds = [mix_seed(0, epoch, index) & 0xFFFFFFFF for epoch in range(50) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert mix_seed(1, 2) != mix_seed(2, 1)


def test_many_seeds_at_once_are_the_same_seeds() -> None:
    last = [0, 1, 77, 2**31, 2**62]
    seeds = mix_seeds(5, 3, last=np.array(last, dtype=np.uint64))
    assert seeds.tolist() == [mix_seed(5, 3, number) for number in last]


def test_norms_and_biases_have_no_weight_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    decayed, free = make_optimizer(model, Hyperparameters(weight_decay=0.1)).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert len(free["params"]) == 3
    assert free["weight_decay"] == 0


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    hparams = Hyperparameters(warmup_fraction=0.1, schedule="cosine")
    factors = [lr_factor(hparams, step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001
    assert lr_factor(Hyperparameters(schedule="constant"), 99, 100) == 1


def test_the_average_follows_the_weights_slowly() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    ema = make_ema(model, 0.9)
    assert ema is not None
    ema.n_averaged.fill_(1000)
    before = next(ema.parameters()).item()
    nn.init.constant_(next(model.parameters()), before + 1)
    model.get_buffer("1.running_mean").fill_(1.0)
    ema.update_parameters(model)
    assert next(ema.parameters()).item() == pytest.approx(before + 0.1)
    assert ema.module.get_buffer("1.running_mean").item() == pytest.approx(0.1)
    assert make_ema(model, 0.0) is None


def test_the_average_of_indices_is_the_indices() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("columns", torch.tensor([3, 28, 35]))
    ema = make_ema(model, 0.9)
    assert ema is not None
    for _ in range(100):
        ema.update_parameters(model)
    assert ema.module.get_buffer("columns").tolist() == [3, 28, 35]
