"""Which samples are for training, validation and test: fractions, folds, groups, and names."""

from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.engine.data_report import DataReport
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.engine.splits import (
    find_splits,
    group_files,
    group_splits,
    split_indices,
    split_of,
)
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters


def test_a_split_is_disjoint_complete_and_stratified() -> None:
    labels = [0] * 80 + [1] * 20
    splits = split_indices(100, Hyperparameters(val_fraction=0.2, test_fraction=0.1), labels)
    assert sorted(index for split in splits.values() for index in split) == list(range(100))
    counts = {name: sum(labels[index] for index in split) for name, split in splits.items()}
    assert counts == {"train": 14, "val": 4, "test": 2}


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_are_disjoint_complete_and_keep_groups_together(grouped: bool) -> None:
    labels = [index // 7 % 3 for index in range(90)]
    groups = [index // 3 for index in range(90)] if grouped else None
    folds = []
    for number in (1, 2, 3, 4):
        hparams = Hyperparameters(fold=f"{number}/4")
        splits = split_indices(90, hparams, labels, groups=groups)
        assert sorted(index for split in splits.values() for index in split) == list(range(90))
        folds += splits["test"]
        if groups is not None:
            kept = [{groups[index] for index in split} for split in splits.values()]
            assert len(set.union(*kept)) == sum(map(len, kept))
    assert sorted(folds) == list(range(90))


def test_a_fold_that_does_not_exist_is_refused() -> None:
    for fold in ("0/5", "6/5", "1/1", "2-5"):
        with pytest.raises(UserError, match="--fold 1/5"):
            split_indices(90, Hyperparameters(fold=fold))
    with pytest.raises(UserError, match="has its own validation and test sets"):
        split_indices(90, Hyperparameters(fold="1/5"), missing=())


def test_files_are_grouped_by_folder_or_by_a_part_of_their_names() -> None:
    paths = [Path("a/p1_x.png"), Path("a/p2_x.png"), Path("b/p1_y.png")]
    assert group_files(paths, "folder") == ["a", "a", "b"]
    assert group_files(paths, r"(p\d)_") == group_files(paths, r"p\d") == ["p1", "p2", "p1"]
    for wrong in ("(", "_z"):
        with pytest.raises(UserError, match="--group-by"):
            group_files(paths, wrong)


def test_a_group_in_two_of_the_users_own_splits_is_noted() -> None:
    report = DataReport()
    splits = {"train": [Path("train/p1_a"), Path("train/p2_a")], "val": [Path("val/p2_b")]}
    assert group_splits(splits, r"p\d", report) == ["p1", "p2"]
    assert [note for note in report.notes if note.startswith("val: 1 of 1 group")]


def test_names_of_splits_are_known_in_all_their_forms() -> None:
    names = "Training train2017 training_set train_data1 valid VALIDATION dev val Testing test_set"
    meant = [split_of(name) for name in names.split()]
    assert meant == ["train"] * 4 + ["val"] * 4 + ["test"] * 2
    assert split_of("unsup") == "unlabeled" and split_of("trains") is split_of("tester") is None
    with pytest.raises(UserError, match="Keep one"):
        find_splits([Path("val.csv"), Path("valid.csv")])


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(UserError, match="below 1"):
        split_indices(100, Hyperparameters(val_fraction=0.6, test_fraction=0.5))


def test_the_seed_of_training_does_not_move_the_test_set() -> None:
    splits = [split_indices(50, Hyperparameters(seed=seed)) for seed in (0, 1)]
    assert splits[0] == splits[1]
    assert split_indices(50, Hyperparameters(split_seed=1)) != splits[0]
