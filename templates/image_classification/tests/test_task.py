"""Image classification: data, models and criterion."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import same, weights
from PIL import Image
from torch.utils.data import default_collate
from torchvision import models
from torchvision.transforms import v2

from {{ cookiecutter.__package }} import cache
from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.batches import random_boxes
from {{ cookiecutter.__package }}.cache import PixelCache, Room
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.datasets import make_data
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.images import (
    read_image,
    size_of_image,
    statistics,
)
from {{ cookiecutter.__package }}.models import make_model

FACTS = {"classes": ["a", "b", "c"], "channels": 3, "image_size": 32, "mean": [0.5], "std": [0.2]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of each of two classes: bright and dark noise."""
    generator = torch.Generator().manual_seed(0)
    for name, top in (("bright", 256), ("dark", 60)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            image = torch.randint(top - 60, top, (3, 20, 24), generator=generator)
            array = image.permute(1, 2, 0).to(torch.uint8).numpy()
            Image.fromarray(array).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


def test_the_digits_are_split_into_parts_that_do_not_overlap() -> None:
    data = make_data(Hyperparameters())
    parts = [
        {part.describe(i) for i in range(len(part))} for part in (data.train, data.val, data.test)
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797
    image, label = data.val[0]
    assert (image.shape, image.dtype) == ((1, 8, 8), torch.uint8)
    assert label in range(10)


def test_mean_and_spread_are_those_of_all_pixels_of_a_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [(4, 5), (7, 3), (2, 2)]
    images = [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]
    pixels = torch.cat([image.flatten(1) for image in images], dim=1) / 255
    found = statistics([(image, 0) for image in images])  # type: ignore[arg-type]
    assert found["mean"] == pytest.approx(pixels.mean(1).tolist())
    assert found["std"] == pytest.approx(pixels.std(1, correction=0).tolist())
    assert statistics([(torch.zeros(1, 2, 2), 0)])["std"] == [1e-3]  # type: ignore[arg-type]


def test_augmentation_follows_from_the_seed_alone() -> None:
    train = make_data(Hyperparameters(augment="crop")).train
    images = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        images.append(train[0][0])
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])


def test_a_batch_is_moved_image_by_image_as_their_seeds_say() -> None:
    settings = Hyperparameters(image_size=16)
    data, plain = make_data(settings), make_data(settings.but(augment="none"))
    seeds = np.random.default_rng(0).integers(0, 2**63, 200, dtype=np.uint64)
    indices = np.arange(200)
    images, labels = data.train.fetch_augmented(indices, seeds)  # type: ignore[attr-defined]
    assert (images.shape, images.dtype) == ((200, 1, 16, 16), torch.uint8)
    assert labels.tolist() == [plain.train[i][1] for i in indices.tolist()]
    places = set()
    for image, index in zip(images, indices.tolist(), strict=True):
        padded = v2.functional.pad(plain.train[index][0], [2] * 4, padding_mode="edge")
        moved = {(y, x): padded[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)}
        found = [place for place, crop in moved.items() if torch.equal(crop, image)]
        assert found
        places.update(found if len(found) == 1 else [])
    assert len(places) == 25
    alone, _ = data.train.fetch_augmented(indices[7:8], seeds[7:8])  # type: ignore[attr-defined]
    assert torch.equal(alone[0], images[7])


def test_random_boxes_lie_in_the_image_and_have_the_areas_and_shapes_that_were_asked_for() -> None:
    random = np.random.default_rng(0)
    sizes = random.integers(20, 400, (3000, 2))
    seeds = random.integers(0, 2**63, 3000, dtype=np.uint64)
    top, left, height, width = random_boxes(sizes, seeds, 0.35).T
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height <= sizes[:, 0]).all() and (left + width <= sizes[:, 1]).all()
    square = np.abs(np.log(sizes[:, 0] / sizes[:, 1])) < 0.2
    share = (height * width / sizes.prod(1))[square]
    assert 0.33 < share.min() < 0.37 and share.max() > 0.9
    assert 0.70 < (width / height).min() < 0.78 and 1.28 < (width / height).max() < 1.43
    alone = random_boxes(sizes[7:8], seeds[7:8], 0.35)
    assert alone[0].tolist() == [top[7], left[7], height[7], width[7]]
    assert random_boxes(np.array([[10, 400]]), seeds[:1], 0.35).tolist() == [[0, 194, 10, 13]]


def test_a_batch_of_crops_is_that_of_the_same_crops_alone(folder: Path) -> None:
    train = make_data(Hyperparameters(data=folder, image_size=16)).train
    seeds = np.arange(12, dtype=np.uint64)
    images, labels = train.fetch_augmented(np.arange(12), seeds)  # type: ignore[attr-defined]
    assert (images.shape, images.dtype) == ((12, 3, 16, 16), torch.uint8)
    for index in range(12):
        place = slice(index, index + 1)
        alone, label = train.fetch_augmented(  # type: ignore[attr-defined]
            np.arange(12)[place], seeds[place]
        )
        assert torch.equal(alone[0], images[index])
        assert label.tolist() == labels[place].tolist()


BYTES = 30 * 40 * 3  # of a decoded photo


def photos(folder: Path, count: int) -> list[Path]:
    """JPEG files of 40 × 30 pixels."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return paths


def make_cache(paths: list[Path], room: Room | None = None) -> PixelCache:
    files = [[path] for path in paths]
    return PixelCache(lambda i: read_image(paths[i]), files, kind="", room=room or Room(2**30))


def sizes_on_disk(folder: Path) -> list[int]:
    """Images in each cache below a folder."""
    return sorted(file.stat().st_size // BYTES for file in folder.rglob("pixels"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; the cache will be below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cached_images_are_those_of_the_files(here: Path) -> None:
    paths = photos(here / "photos", 5)
    make_cache(paths).fill()
    cached = make_cache(paths)
    cached.load = lambda _: pytest.fail("decoded again")
    for number, path in enumerate(paths):
        assert torch.equal(cached[number], read_image(path))


def test_a_file_that_changes_in_secret_is_decoded_anew(here: Path) -> None:
    paths = photos(here / "photos", 3)
    make_cache(paths).fill()
    before, after = paths[0].stat(), paths[1].read_bytes()
    paths[0].write_bytes(after[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert torch.equal(make_cache(paths)[0], read_image(paths[1]))


def test_caches_keep_to_their_limit_and_the_oldest_makes_room(here: Path) -> None:
    first, second = photos(here / "first", 4), photos(here / "second", 6)
    make_cache(first).fill()
    make_cache(second, Room(5 * BYTES)).fill()
    assert sizes_on_disk(here) == [5]
    cached = make_cache(second)
    assert all(torch.equal(cached[i], read_image(path)) for i, path in enumerate(second))


def test_the_parts_of_a_run_do_not_make_room_for_each_other(here: Path) -> None:
    paths, room = photos(here / "photos", 8), Room(7 * BYTES)
    for part in (train := make_cache(paths[:6], room), val := make_cache(paths[6:], room)):
        part.fill()
    assert sizes_on_disk(here) == [1, 6]
    assert all(torch.equal(train[i], read_image(path)) for i, path in enumerate(paths[:6]))
    assert all(torch.equal(val[i], read_image(path)) for i, path in enumerate(paths[6:]))


def test_a_cache_grows_when_more_is_allowed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = photos(here / "photos", 6)
    for limit, expected in ((2, 2), (4, 4), (3, 4), (100, 6)):
        make_cache(paths, Room(limit * BYTES)).fill()
        assert sizes_on_disk(here) == [expected]
    assert capsys.readouterr().out.count("Decoded") == 3


def test_a_cache_that_vanishes_or_is_filled_twice_disturbs_nobody(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = photos(here / "photos", 3)
    one, other = make_cache(paths), make_cache(paths)
    decode = one.load

    def meanwhile(index: int) -> torch.Tensor:
        if index == 0:
            other.fill()
        return decode(index)

    one.load = meanwhile
    one.fill()
    assert "Warning" not in capsys.readouterr().out
    assert len(list((here / cache.FOLDER).iterdir())) == 1
    assert torch.equal(one[2], read_image(paths[2]))
    shutil.rmtree(here / cache.FOLDER)
    make_cache(paths, Room(2 * BYTES)).fill()
    assert torch.equal(one[2], read_image(paths[2]))
    shutil.rmtree(here / cache.FOLDER)
    assert torch.equal(one[2], read_image(paths[2]))


def test_another_process_sees_what_was_filled_after_it_had_begun(here: Path) -> None:
    paths = photos(here / "photos", 2)
    early = make_cache(paths)
    assert torch.equal(early[1], read_image(paths[1]))
    make_cache(paths).fill()
    early.load = lambda _: pytest.fail("decoded again")
    assert torch.equal(early[1], read_image(paths[1]))


def test_a_full_disk_costs_a_warning(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    paths = photos(here / "photos", 3)
    monkeypatch.setattr(os, "fsync", full)
    cached = make_cache(paths)
    cached.fill()
    assert "No space left on device" in capsys.readouterr().out
    assert not list((here / cache.FOLDER).iterdir())
    assert torch.equal(cached[1], read_image(paths[1]))


def test_training_is_the_same_with_and_without_a_cache(
    folder: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(folder), "--epochs", "2", "--device", "cpu", "--no-report"]
    flags += ["--batch-size", "4", "--image-size", "16"]
    assert main(["train", *flags, "--run", "plain", "--no-cache"]) == 0
    assert not (here / cache.FOLDER).exists()
    assert main(["train", *flags, "--run", "cached"]) == 0
    assert "Decoded 12 of 12 images" in capsys.readouterr().out
    assert main(["train", *flags, "--run", "workers", "--num-workers", "2"]) == 0
    assert "Decoded" not in capsys.readouterr().out
    assert same(weights(here / "runs" / "plain"), weights(here / "runs" / "cached"))
    assert same(weights(here / "runs" / "plain"), weights(here / "runs" / "workers"))


def test_large_photos_are_decoded_small_and_turned_as_the_camera_was_held(here: Path) -> None:
    ramp = np.linspace(0, 255, 800, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (600, 800, 3))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side
    Image.fromarray(pixels).save(here / "photo.jpg", exif=turned)
    assert size_of_image(here / "photo.jpg") == (600, 800)
    small = read_image(here / "photo.jpg", side=60)
    assert small.shape == (3, 80, 60)
    expected = torch.from_numpy(ramp.copy()).view(80, 10).float().mean(1)
    assert (small[0].float().mean(1) - expected).abs().max() < 6
    assert read_image(here / "photo.jpg", side=2000).shape == (3, 800, 600)


@pytest.mark.parametrize("flag", ["mixup_alpha", "cutmix_alpha"])
def test_mixed_images_have_a_probability_for_every_class(flag: str) -> None:
    data = make_data(Hyperparameters(**{flag: 1.0}))  # type: ignore[arg-type]
    torch.manual_seed(0)
    images, targets = default_collate([data.train[i] for i in range(8)])
    assert images.shape == (8, 1, 8, 8)
    assert torch.allclose(targets.sum(1), torch.ones(8))
    assert (targets > 0).sum() > 8
    settings = Hyperparameters()
    loss = Criterion(settings, data.facts).loss(make_model(settings, data.facts), (images, targets))
    assert loss.isfinite()


def test_a_folder_of_images_is_split_by_class(folder: Path) -> None:
    data = make_data(Hyperparameters(data=folder, image_size=16))
    assert data.facts["classes"] == ["bright", "dark"]
    assert [len(part) for part in (data.train, data.val, data.test)] == [12, 4, 4]
    assert sorted(data.val[i][1] for i in range(4)) == [0, 0, 1, 1]
    assert data.train[0][0].shape == data.val[0][0].shape == (3, 16, 16)


def test_folders_named_train_and_test_are_used_as_they_are(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    folder.rename(root / "train")
    for name in ("bright", "dark"):
        (root / "test" / name).mkdir(parents=True)
        (root / "train" / name / "0.png").rename(root / "test" / name / "0.png")
    data = make_data(Hyperparameters(data=root))
    assert {Path(data.test.describe(i)).parent.parent.name for i in range(len(data.test))} == {
        "test"
    }
    assert [len(part) for part in (data.train, data.val, data.test)] == [16, 2, 2]


def test_own_images_train_from_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--data", str(folder), "--image-size", "16", "--epochs", "1", "--device", "cpu"]
    assert main(["train", *flags, "--batch-size", "8", "--width", "4", "--run", "own"]) == 0
    assert (tmp_path / "runs" / "own" / "report.html").exists()


def test_a_file_that_is_no_image_is_named(folder: Path) -> None:
    (folder / "dark" / "3.png").write_text("not an image")
    assert "3.png" in complaint_about(folder)


def complaint_about(folder: Path) -> str:
    """The message about a broken folder, wherever it is noticed."""
    with pytest.raises(UserError) as error:
        data = make_data(Hyperparameters(data=folder))
        for part in (data.train, data.val, data.test):
            for index in range(len(part)):
                part[index]
    return str(error.value)


def test_an_empty_class_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert "empty" in complaint_about(folder)


def test_a_class_with_too_few_images_is_named(folder: Path) -> None:
    for number in range(2, 10):
        (folder / "dark" / f"{number}.png").unlink()
    assert "'dark' has too few images (2)" in complaint_about(folder)


def test_a_single_class_is_refused(folder: Path) -> None:
    for path in (folder / "dark").iterdir():
        path.unlink()
    (folder / "dark").rmdir()
    assert "at least two" in complaint_about(folder)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "squeezenet1_1", "googlenet", "vit_b_32"])
def test_models_give_logits_and_all_their_weights_learn(name: str) -> None:
    facts = FACTS | {"image_size": 64}
    model = make_model(Hyperparameters(model=name), facts)
    logits = model(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_the_model_normalizes_bytes_and_floats_alike() -> None:
    model = make_model(Hyperparameters(), FACTS).eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.allclose(model(images), model(images / 255), atol=1e-6)


def test_one_batch_can_be_learned_by_heart() -> None:
    settings = Hyperparameters(augment="none", label_smoothing=0, dropout=0)
    data = make_data(settings)
    torch.manual_seed(0)
    model = make_model(settings, data.facts)
    batch = default_collate([data.train[i] for i in range(0, 64, 2)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        loss = Criterion(settings, data.facts).loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.fixture
def weights_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Weights of a resnet18 where torchvision looks for those that it has downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = models.resnet18().state_dict()
    name = Path(models.ResNet18_Weights.DEFAULT.url).name
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / name)
    return state


def test_pretrained_weights_get_a_new_head_and_their_own_preprocessing(
    weights_on_disk: dict[str, torch.Tensor], folder: Path
) -> None:
    settings = Hyperparameters(model="resnet18", pretrained=True, freeze_backbone=True, data=folder)
    facts = make_data(settings).facts
    assert facts["image_size"] == 224
    assert facts["mean"] == pytest.approx([0.485, 0.456, 0.406])
    model = make_model(settings, facts)
    state = model.state_dict()
    assert torch.equal(state["network.conv1.weight"], weights_on_disk["conv1.weight"])
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning == ["network.fc.weight", "network.fc.bias"]
    assert not model.train().get_submodule("network.bn1").training


def test_weights_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(UserError, match=r"resnet18-.*leave out --pretrained"):
        make_model(Hyperparameters(model="resnet18", pretrained=True), FACTS)


def test_an_unknown_model_brings_a_suggestion() -> None:
    with pytest.raises(UserError, match="resnet18"):
        make_data(Hyperparameters(model="resnet19"))
