"""Image classification: data, models and criterion."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from conftest import same, weights
from PIL import Image
from sklearn.metrics import recall_score
from torchvision import models
from torchvision.transforms import v2

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine.data import BatchIndex
from {{ cookiecutter.__package }}.engine.data_report import DataReport
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, make_data
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.vision.batches import random_boxes
from {{ cookiecutter.__package }}.vision.cache import (
    FOLDER,
    CacheRoom,
    PixelCache,
)
from {{ cookiecutter.__package }}.vision.images import (
    channel_statistics,
    image_size,
    read_image,
)
from {{ cookiecutter.__package }}.vision.mirroring import decide_mirroring

INFO = DataInfo(["a", "b", "c"], [6, 2, 4], channels=3, image_size=64, mean=[0.5], std=[0.2])
SEEDS = np.random.default_rng(0).integers(0, 2**63, 3000, dtype=np.uint64)
PHOTO = 300 * 400 * 3  # bytes of a decoded photo
Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: Patch) -> None:
    """An empty folder to work in; the cache and downloads will be in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.fixture
def folder() -> Path:
    """Ten images of each of two classes: bright and dark noise."""
    for name, top in (("bright", 256), ("dark", 60)):
        Path("data", name).mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(top - 60, top, (10, 20, 24, 3), dtype=np.uint8)
        for number in range(10):
            Image.fromarray(pixels[number]).save(f"data/{name}/{number}.png")
    return Path("data")


@pytest.fixture
def photos() -> list[Path]:
    """Six files of 400 × 300 pixels."""
    for number in range(6):
        Image.new("RGB", (400, 300), (number, 100, 200)).save(f"{number}.png")
    return sorted(Path().glob("*.png"))


def make_cache(paths: list[Path], num_photos: int, room: CacheRoom | None = None) -> PixelCache:
    room = room or CacheRoom((num_photos + 0.1) * PHOTO / 2**30)  # and their table
    return PixelCache(lambda i: read_image(paths[i]), [[path] for path in paths], "", room)


def is_right(cached: PixelCache, paths: list[Path]) -> bool:
    return all(torch.equal(cached[i], read_image(path)) for i, path in enumerate(paths))


def cached_photos() -> list[int]:
    return sorted(path.stat().st_size // PHOTO for path in FOLDER.iterdir())


def test_mean_and_std_are_those_of_all_pixels_of_a_channel() -> None:
    images = [torch.randint(256, (3, height, 5)).byte() for height in (4, 7, 2)]
    pixels = torch.cat([image.flatten(1) for image in images], dim=1) / 255
    found = channel_statistics([(image, 0) for image in images])
    assert found["mean"] == pytest.approx(pixels.mean(1).tolist())
    assert found["std"] == pytest.approx(pixels.std(1, correction=0).tolist())


def test_a_digit_is_shifted_in_all_directions() -> None:
    train = make_data(Hyperparameters(image_size=16)).train
    image, label = make_data(Hyperparameters(image_size=16, augment="none")).train[7]
    images, labels = train.__getitems__(BatchIndex(np.full(400, 7), SEEDS[:400]))
    padded = v2.functional.pad(image, [2] * 4, padding_mode="edge")
    shifted = [padded[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    assert {str(image.tolist()) for image in images} == {str(image.tolist()) for image in shifted}
    assert set(labels.tolist()) == {label}


def test_own_images_are_shifted_and_mirrored_as_requested(folder: Path) -> None:
    for mirror in ("yes", "no"):
        data = make_data(Hyperparameters(data=folder, image_size=16, mirror=mirror))
        images, _ = data.train.__getitems__(BatchIndex(np.full(400, 7), SEEDS[:400]))
        plain = make_data(Hyperparameters(data=folder, image_size=16, augment="none")).train[7][0]
        padded = v2.functional.pad(plain, [2] * 4, padding_mode="edge")
        shifted = [padded[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
        expected = shifted + [image.flip(2) for image in shifted] * (mirror == "yes")
        assert {str(image.tolist()) for image in images} == {str(im.tolist()) for im in expected}


@pytest.mark.parametrize("mirror", [False, True])
def test_images_are_mirrored_only_if_they_still_look_like_their_class(mirror: bool) -> None:
    digits = make_data(Hyperparameters(augment="none")).train
    samples = [digits[i] for i in range(len(digits)) if digits[i][1] in (2, 5, 7)]
    if mirror:  # as with photos, both sides come as often
        samples = [(image.flip(2) if i % 2 else image, n) for i, (image, n) in enumerate(samples)]
    report = DataReport()
    assert decide_mirroring(samples, pretrained=False, report=report) == mirror  # type: ignore[arg-type]
    assert ("harmless" if mirror else "harmful") in report.notes[0]


@pytest.mark.parametrize(("side", "size"), [(8, 8), (28, 28), (70, 64), (224, 128)])
def test_the_small_network_gets_images_near_to_their_own_size(side: int, size: int) -> None:
    for index in range(6):
        Path(f"data/{index % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side + 9 * index, side)).save(f"data/{index % 2}/{index}.png")
    assert make_data(Hyperparameters(data=Path("data"))).info.image_size == size


def test_random_boxes_lie_in_the_image_and_have_the_requested_areas_and_shapes() -> None:
    sizes = np.random.default_rng(0).integers(20, 400, (3000, 2))
    top, left, height, width = random_boxes(sizes, SEEDS, 0.35).T
    assert min(top.min(), left.min()) >= 0 and min(height.min(), width.min()) >= 1
    assert (top + height <= sizes[:, 0]).all() and (left + width <= sizes[:, 1]).all()
    share = (height * width / sizes.prod(1))[np.abs(np.log(sizes[:, 0] / sizes[:, 1])) < 0.2]
    assert 0.33 < share.min() < 0.37 and share.max() > 0.9
    assert 0.70 < (width / height).min() < 0.78 and 1.28 < (width / height).max() < 1.43
    assert random_boxes(np.array([[10, 400]]), SEEDS[:1], 0.35).tolist() == [[0, 194, 10, 13]]


@pytest.mark.parametrize("own", [False, True])
def test_augmentation_follows_from_the_seed_of_the_sample_alone(own: bool, folder: Path) -> None:
    train = make_data(Hyperparameters(data=folder if own else None, image_size=16)).train
    images, labels = train.__getitems__(BatchIndex(np.arange(12), SEEDS[:12]))
    for i in range(12):
        image, label = train.__getitems__(BatchIndex(np.array([i]), SEEDS[i : i + 1]))
        assert torch.equal(image[0], images[i]) and label[0] == labels[i]
    others, _ = train.__getitems__(BatchIndex(np.arange(12), SEEDS[12:24]))
    assert not torch.equal(others, images)


@pytest.mark.parametrize("flag", ["mixup_alpha", "cutmix_alpha"])
def test_mixed_images_have_a_probability_for_each_class(flag: str) -> None:
    hparams = Hyperparameters(**{flag: 1.0})  # type: ignore[arg-type]
    data = make_data(hparams)
    images, targets = data.train.__getitems__(BatchIndex(np.arange(8), SEEDS[:8]))
    assert torch.allclose(targets.sum(1), torch.ones(8)) and (targets > 0).sum() > 8
    loss = Criterion(hparams, data.info).loss(make_model(hparams, data.info), (images, targets))
    assert loss.isfinite()


def test_cached_images_are_those_of_the_files_until_one_changes(photos: list[Path]) -> None:
    early = make_cache(photos, 6)
    assert is_right(early, photos)
    make_cache(photos, 6).fill()
    for cached in (early, make_cache(photos, 6)):
        cached.load = lambda _: pytest.fail("decoded again")
        assert is_right(cached, photos)
    before, other = photos[0].stat(), photos[1].read_bytes()
    photos[0].write_bytes(other.ljust(before.st_size, b"\0")[: before.st_size])
    os.utime(photos[0], ns=(before.st_atime_ns, before.st_mtime_ns))  # its size and time are kept
    assert torch.equal(make_cache(photos, 6)[0], read_image(photos[1]))


def test_the_oldest_cache_makes_room_within_the_limit(photos: list[Path], capsys: Capture) -> None:
    first, second, third = photos[:4], photos, photos[3:]
    steps = [(first, 2, [2]), (first, 4, [4]), (first, 3, [4]), (second, 5, [5])]
    steps += [(second, 99, [6]), (first, 99, [4, 6]), (second, 999, [4, 6]), (third, 70, [3, 6])]
    for paths, limit, expected in steps:
        make_cache(paths, limit).fill()
        assert cached_photos() == expected and is_right(make_cache(paths, limit), paths)
    assert capsys.readouterr().out.count("Decoded") == 6


def test_splits_of_a_run_do_not_make_room_for_each_other(photos: list[Path]) -> None:
    train = make_cache(photos[:4], 7)
    val = make_cache(photos[1:], 7, train.room)
    train.fill()
    val.fill()
    assert cached_photos() == [3, 4] and is_right(train, photos[:4]) and is_right(val, photos[1:])


def test_other_runs_may_fill_or_delete_the_cache(photos: list[Path], capsys: Capture) -> None:
    caches = [make_cache(photos, 99) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(PixelCache.fill, caches))
    assert "Warning" not in capsys.readouterr().out and cached_photos() == [6]
    assert all(is_right(cached, photos) for cached in caches)
    for smaller in (2, 0):
        shutil.rmtree(FOLDER)
        make_cache(photos, smaller).fill()
        assert cached_photos() == [smaller] and is_right(caches[0], photos)


def test_a_full_disk_warns(photos: list[Path], monkeypatch: Patch, capsys: Capture) -> None:
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    make_cache(photos, 6).fill()
    assert "No space left on device" in capsys.readouterr().out and cached_photos() == []


def test_own_images_train_the_same_with_a_cache_or_workers(folder: Path, capsys: Capture) -> None:
    flags = ["--data", str(folder), "--epochs", "2", "--device", "cpu", "--width", "4"]
    flags += ["--batch-size", "4", "--image-size", "16", "--no-report"]
    for run, flag in (("plain", "--cache-gib=0"), ("cached", "--seed=0"), ("w", "--num-workers=2")):
        assert main(["train", *flags, flag, "--run", run]) == 0
        assert FOLDER.exists() == (run != "plain")
        assert ("Decoded 12 of 12 images" in capsys.readouterr().out) == (run == "cached")
        assert same(weights(Path("runs", run)), weights(Path("runs/plain")))


def test_large_photos_are_decoded_small_and_turned_by_their_orientation() -> None:
    ramp, exif, path = np.linspace(0, 255, 800, dtype=np.uint8), Image.Exif(), Path("photo.jpg")
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(np.tile(ramp[:, None], (600, 1, 3))).save(path, exif=exif)
    assert image_size(path) == (600, 800) and read_image(path, 2000).shape == (3, 800, 600)
    small = read_image(path, side=60).float().numpy()  # (3, 80, 60)
    assert np.abs(small - ramp.reshape(80, 10).mean(axis=1, keepdims=True)).max() < 9


def test_a_folder_of_images_is_split_by_class_unless_it_has_folders_for_that(folder: Path) -> None:
    data = make_data(Hyperparameters(data=folder))
    assert [len(split) for split in (data.train, data.val, data.test)] == [12, 4, 4]
    assert sorted(data.val[i][1] for i in range(4)) == [0, 0, 1, 1]
    for name in data.info.classes:
        (folder / "test" / name).mkdir(parents=True)
        (folder / name / "0.png").rename(folder / "test" / name / "0.png")
        shutil.move(folder / name, folder / "train" / name)
    data = make_data(Hyperparameters(data=folder))
    assert all(Path(data.test.describe(i)).parts[-3] == "test" for i in range(2))
    assert [len(split) for split in (data.train, data.val, data.test)] == [16, 2, 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda dark: (dark / "3.png").write_text("not an image"), r"3\.png is not an image"),
        (lambda dark: [p.rename(p.with_suffix(".heic")) for p in dark.iterdir()], "HEIC"),
        (lambda dark: [(dark / f"{i}.png").unlink() for i in range(8)], "'dark' has too few"),
        (shutil.rmtree, "at least two"),
        (lambda dark: shutil.rmtree(dark.parent), "no folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(damage: Any, message: str, folder: Path) -> None:
    damage(folder / "dark")
    with pytest.raises(UserError, match=message):
        data = make_data(Hyperparameters(data=folder))
        _ = [split[i] for split in (data.train, data.val, data.test) for i in range(len(split))]


@pytest.mark.parametrize("name", ["cnn", "resnet18", "squeezenet1_1", "googlenet", "vit_b_32"])
def test_models_give_logits_and_all_their_weights_learn(name: str) -> None:
    model = make_model(Hyperparameters(model=name), INFO)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.eval()
    assert torch.allclose(model(images), model(images / 255), atol=1e-4)


def test_pretrained_weights_get_a_new_head_and_their_own_preprocessing(folder: Path) -> None:
    saved = models.resnet18().state_dict()
    Path("hub/checkpoints").mkdir(parents=True)
    torch.save(saved, Path("hub/checkpoints", Path(models.ResNet18_Weights.DEFAULT.url).name))
    hparams = Hyperparameters(model="resnet18", pretrained=True, freeze_backbone=True, data=folder)
    info = make_data(hparams).info
    assert (info.image_size, info.mean) == (224, pytest.approx([0.485, 0.456, 0.406]))
    model = make_model(hparams, info)
    assert torch.equal(model.get_parameter("network.conv1.weight"), saved["conv1.weight"])
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning == ["network.fc.weight", "network.fc.bias"]
    assert not model.train().get_submodule("network.bn1").training


def test_models_and_weights_that_are_not_there_are_named(monkeypatch: Patch) -> None:
    monkeypatch.setattr("torch.hub.download_url_to_file", Mock(side_effect=OSError("no network")))
    with pytest.raises(UserError, match=r"resnet18-.*leave out --pretrained"):
        make_model(Hyperparameters(model="resnet18", pretrained=True), INFO)
    with pytest.raises(UserError, match="Did you mean resnet1"):
        make_data(Hyperparameters(model="resnet19"))


def test_balanced_classes_count_the_same_in_the_loss() -> None:
    logits = torch.zeros(12, 3, requires_grad=True)
    classes = torch.tensor([0] * 6 + [1] * 2 + [2] * 4)
    hparams = Hyperparameters(class_weights="balanced", label_smoothing=0.0)
    Criterion(hparams, INFO).cross_entropy(logits, classes).backward()
    assert logits.grad is not None
    shares = [-logits.grad[classes == c, c].sum() for c in range(3)]
    torch.testing.assert_close(torch.stack(shares), shares[0].expand(3))


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    target, guess = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 2, 1, 0])  # none is 2
    metrics = Criterion(Hyperparameters(), INFO).metrics()
    metrics.update(torch.eye(3)[guess], target)
    expected = recall_score(target, guess, labels=[0, 1], average="macro")
    assert metrics.compute()["balanced_accuracy"].item() == pytest.approx(expected)
