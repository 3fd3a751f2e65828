"""Semantic segmentation: data, models and criterion."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import one_hot
from torchvision import models

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion, dice_loss
from {{ cookiecutter.__package }}.engine.data import BatchIndex
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, make_data
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.vision.legend import IGNORED

INFO = DataInfo(["a", "b", "c"], image_size=32, mean=[0.5] * 3, std=[0.2] * 3)
MODELS = ["unet", "fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
WRONG_CLASSES = {
    "[": "not valid JSON",
    "7": 'like ["road", "sky"]',
    '["road", "road"]': "from 2 to 255, each with a name of its own",
    '{"road": 0, "sky": 0}': "not that of another class",
    '{"road": 0, "sky": [1, 2]}': "'sky' has [1, 2]",
    '{"road": 0, "sky": {"a": 1}}': "'sky' has",
    '{"road": 0, "sky": 256}': "'sky' has 256",
    '{"road": 0, "sky": [1, 2, 3]}': "numbers and colors",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images of 24 × 20 pixels, with a bright square of class 1, whose border is ignored."""
    monkeypatch.chdir(tmp_path)
    random, root = np.random.default_rng(0), tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(12):
        image, mask = random.integers(0, 90, (20, 24, 3), np.uint8), np.zeros((20, 24), np.uint8)
        x, y = random.integers(0, 12, 2)
        mask[y : y + 8, x : x + 8] = IGNORED
        mask[y + 1 : y + 7, x + 1 : x + 7] = 1
        image[mask > 0] += 150
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def rewrite_masks(folder: Path, *values: object) -> None:
    """Let other numbers or colors stand for the classes 0 and 1 and for ignored pixels."""
    for path in (folder / "masks").iterdir():
        mask = np.array(Image.open(path))
        positions = np.where(mask == IGNORED, 2, mask)
        Image.fromarray(np.array(values, dtype=np.uint8)[positions]).save(path)


def masks_of(folder: Path) -> list[torch.Tensor]:
    """All masks, as the model sees them."""
    data = make_data(Hyperparameters(data=folder, augment="none"))
    return [split[i][1] for split in (data.train, data.val, data.test) for i in range(len(split))]


def complaint_about(folder: Path) -> str:
    """The message about a broken folder, wherever it is noticed."""
    with pytest.raises(UserError) as error:
        masks_of(folder)
    return str(error.value)


def write_classes(folder: Path, classes: object) -> None:
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")


def contrast(image: torch.Tensor, mask: torch.Tensor) -> float:
    """How much brighter the pixels of class 1 are than those of class 0."""
    return (image[:, mask == 1].float().mean() - image[:, mask == 0].float().mean()).item()


def test_the_scenes_are_split_without_overlap() -> None:
    data = make_data(Hyperparameters())
    splits = (data.train, data.val, data.test)
    names = [split.describe(i) for split in splits for i in range(len(split))]
    assert len(names) == len(set(names)) == 2400
    image, mask = data.val[0]
    assert (image.shape, mask.shape, mask.dtype) == ((3, 64, 64), (64, 64), torch.uint8)


def test_images_are_scaled_with_their_masks_padded_with_ignored_pixels_and_cached(
    folder: Path,
) -> None:
    for path in folder.glob("*/*.png"):
        Image.open(path).resize((240, 200), Image.Resampling.NEAREST).save(path)
    hparams = Hyperparameters(data=folder, augment="none", image_size=48)
    data = make_data(hparams)
    assert [len(split) for split in (data.train, data.val, data.test)] == [8, 2, 2]
    images, masks = data.train.__getitems__(BatchIndex(np.arange(8)))
    assert (masks[:, 40:] == IGNORED).all() and masks[:, :40].unique().tolist() == [0, 1, IGNORED]
    assert all(contrast(image, mask) > 100 for image, mask in zip(images, masks, strict=True))
    for cache in data.caches:
        cache.fill()
    assert len(list(Path(".cache/images").iterdir())) == 2
    cached_images, cached_masks = make_data(hparams).train.__getitems__(BatchIndex(np.arange(8)))
    assert torch.equal(cached_images, images) and torch.equal(cached_masks, masks)


@pytest.mark.parametrize("augment", ["shift", "crop", "strong"])
def test_masks_move_with_their_images_as_the_seed_says(folder: Path, augment: str) -> None:
    hparams = Hyperparameters(data=folder, augment=augment, image_size=32)  # type: ignore[arg-type]
    train = make_data(hparams).train
    indices, seeds = np.zeros(20, np.int64), np.arange(20, dtype=np.uint64)
    images, masks = train.__getitems__(BatchIndex(indices, seeds))
    assert images.shape == (20, 3, 32, 32) and masks.shape == (20, 32, 32)
    for image, mask in zip(images, masks, strict=True):
        if augment != "strong" and (mask == 1).sum() > 20:
            assert contrast(image, mask) > 100
    assert len({mask.numpy().tobytes() for mask in masks}) > 10
    image, mask = train.__getitems__(BatchIndex(indices[3:4], seeds[3:4]))
    assert torch.equal(image[0], images[3]) and torch.equal(mask[0], masks[3])


@pytest.mark.parametrize("values", [(0, 255, 7), ([9, 0, 0], [0, 9, 1], [0, 0, 0])])
def test_masks_may_have_other_numbers_or_colors(folder: Path, values: tuple[object, ...]) -> None:
    expected = masks_of(folder)
    assert make_data(Hyperparameters(data=folder)).info.classes == ["0", "1"]
    rewrite_masks(folder, *values)
    write_classes(folder, dict(zip(("ground", "square", "ignore"), values, strict=True)))
    assert make_data(Hyperparameters(data=folder)).info.classes == ["ground", "square"]
    assert all(torch.equal(a, b) for a, b in zip(masks_of(folder), expected, strict=True))


def test_folders_named_train_and_test_are_used_as_they_are(folder: Path) -> None:
    for kind in ("images", "masks"):
        for split, numbers in (("train", range(8)), ("test", range(8, 12))):
            (folder / kind / split).mkdir()
            for number in numbers:
                (folder / kind / f"{number}.png").rename(folder / kind / split / f"{number}.png")
    data = make_data(Hyperparameters(data=folder))
    assert [len(split) for split in (data.train, data.val, data.test)] == [7, 1, 4]
    assert all("test" in Path(data.test.describe(i)).parts for i in range(4))


def test_own_images_train_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--data", str(folder), "--device=cpu", "--epochs=2", "--batch-size=2"]
    assert main([*train, "--image-size", "32", "--width", "4", "--run", "own"]) == 0
    assert Path("runs/own/report.html").exists()
    assert main([*train, "--model", "deeplabv3_resnet50", "--accumulation-steps", "2"]) == 2
    assert "two images at a time. Use --batch-size 4" in capsys.readouterr().err


def test_files_that_are_missing_or_do_not_fit_are_named(folder: Path) -> None:
    assert "no folder" in complaint_about(folder / "nowhere")
    assert "no folder images" in complaint_about(folder / "masks")
    write_classes(folder, ["ground", "square"])
    Image.new("L", (10, 20), 1).save(folder / "masks" / "5.png")
    assert "5.png has 10 × 20 pixels, but its image" in complaint_about(folder)
    (folder / "masks" / "5.png").unlink()
    assert "no mask for 1 of 12 images" in complaint_about(folder)
    (folder / "images" / "5.png").unlink()
    for path in (folder / "images" / "6.png", folder / "masks" / "6.png"):
        path.write_bytes(path.read_bytes()[:60])
        assert f"{path} is not an image" in complaint_about(folder)
    (folder / "images" / "6.png").unlink()
    assert "no image for 1 of 11 masks" in complaint_about(folder)
    for path in folder.glob("*/*.png"):
        if path.stem not in ("0", "1"):
            path.unlink()
    assert "too few training images (2)" in complaint_about(folder)


def test_a_pixel_that_is_no_class_is_named(folder: Path) -> None:
    write_classes(folder, ["ground", "square"])
    mask = np.zeros((20, 24), dtype=np.uint8)
    mask[3, 5] = 2
    Image.fromarray(mask).save(folder / "masks" / "7.png")
    complaint = complaint_about(folder)
    assert "7.png: the pixel at x = 5, y = 3 is 2, which is no class" in complaint
    assert "ground 0, square 1" in complaint
    rewrite_masks(folder, [1, 2, 3], [4, 5, 6], [7, 8, 9])
    assert "has colors, not numbers" in complaint_about(folder)
    write_classes(folder, {"a": [1, 2, 3], "b": [4, 5, 6]})
    assert "is [7, 8, 9], which is no class" in complaint_about(folder)


def test_wrong_classes_are_explained(folder: Path) -> None:
    for classes, words in WRONG_CLASSES.items():
        (folder / "classes.json").write_text(classes, encoding="utf-8")
        assert words in complaint_about(folder)
    (folder / "classes.json").unlink()
    rewrite_masks(folder, 0, 0, 0)
    assert "one class only" in complaint_about(folder)


@pytest.mark.parametrize("name", MODELS)
def test_models_give_logits_and_all_their_weights_learn(name: str) -> None:
    model = make_model(Hyperparameters(model=name), INFO)
    outputs = model(torch.randint(0, 256, (2, 3, 40, 56), dtype=torch.uint8))
    assert {logits.shape for logits in outputs.values()} == {(2, 3, 40, 56)}
    assert ("aux" in outputs) == name.startswith(("fcn", "deeplab"))
    sum(logits.square().sum() for logits in outputs.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_every_segmentation_model_of_torchvision_can_be_built() -> None:
    with torch.device("meta"):
        for name in models.list_models(module=models.segmentation):
            make_model(Hyperparameters(model=name), INFO, initialize=False)
    with pytest.raises(UserError, match="fcn_resnet50"):
        make_data(Hyperparameters(model="fcn_resnet5"))


def test_pretrained_weights_get_new_last_layers_and_their_own_preprocessing(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    name, kept = "deeplabv3_mobilenet_v3_large", "classifier.0.project.0.weight"
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd()))
    trained = models.get_model(name, weights_backbone=None, aux_loss=True).state_dict()
    Path("hub/checkpoints").mkdir(parents=True)
    torch.save(trained, f"hub/checkpoints/{Path(models.get_model_weights(name).DEFAULT.url).name}")
    hparams = Hyperparameters(model=name, pretrained=True, freeze_backbone=True, data=folder)
    info = make_data(hparams).info
    assert (info.image_size, info.mean) == (520, pytest.approx([0.485, 0.456, 0.406]))
    model = make_model(hparams, info)
    state = model.state_dict()
    assert torch.equal(state[f"network.{kept}"], trained[kept])
    assert {len(state[f"network.{part}classifier.4.weight"]) for part in ("", "aux_")} == {2}
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"classifier", "aux_classifier"}
    assert not any(m.training for m in model.train().get_submodule("network.backbone").modules())
    make_model(hparams, info, initialize=False).load_state_dict(state)


def test_the_loss_of_an_image_depends_neither_on_other_images_nor_on_ignored_pixels() -> None:
    criterion = Criterion(Hyperparameters(), INFO)
    logits, masks = torch.randn(3, 3, 8, 8), torch.randint(0, 3, (3, 8, 8), dtype=torch.uint8)
    masks[0], masks[1:, :, 5:] = IGNORED, IGNORED
    losses = criterion.image_losses(logits, masks)
    alone = [criterion.image_losses(logits[i : i + 1], masks[i : i + 1]) for i in range(3)]
    assert torch.allclose(losses, torch.cat(alone)) and losses[0] == 0
    logits[..., 5:] = 9 * torch.randn(3, 3, 8, 3)
    assert torch.allclose(criterion.image_losses(logits, masks), losses)
    truth = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 40, 40)
    dice = [dice_loss(probability * truth, truth.bool()).item() for probability in (1, 0.5)]
    assert dice == pytest.approx([0, 1 - 2 * 0.5 / (0.5 + 1)], abs=1e-3)


def test_metrics_count_the_pixels_of_all_images_and_the_classes_that_occur() -> None:
    masks = torch.tensor([[[0, 0, 1, IGNORED]], [[0, 1, 1, 1]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 2]], [[0, 1, 1, 1]]])
    logits = {"out": one_hot(predicted, 3).movedim(3, 1).float()}
    criterion = Criterion(Hyperparameters(), INFO)
    outputs = criterion.evaluate(torch.nn.Identity(), (logits, masks))  # type: ignore[arg-type]
    metrics = criterion.metrics()
    assert outputs["intersection"].tolist() == [[1, 1, 0], [1, 3, 0]]
    assert outputs["union"].tolist() == [[2, 2, 0], [1, 3, 0]]
    criterion.update(metrics, outputs)
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"miou": (2 / 3 + 4 / 5) / 2, "pixel_accuracy": 6 / 7})


def test_one_batch_can_be_learned_by_heart() -> None:
    data = make_data(hparams := Hyperparameters(augment="none"))
    images, masks = data.train.__getitems__(BatchIndex(np.arange(4)))
    torch.manual_seed(0)
    criterion, model = Criterion(hparams, data.info), make_model(hparams, data.info)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        criterion.loss(model, (images, masks)).backward()
        optimizer.step()
    predicted = criterion.evaluate(model, (images, masks))["_predicted"]
    assert (predicted == masks).float().mean() > 0.97
