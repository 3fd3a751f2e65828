"""Semantic segmentation: data, models and criterion."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision import models

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.criterion import Criterion, dice_loss
from {{ cookiecutter.__package }}.datasets import make_data
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.figures import make_palette
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.masks import IGNORED
from {{ cookiecutter.__package }}.models import make_model

FACTS = {"classes": ["a", "b", "c"], "image_size": 32, "mean": [0.5] * 3, "std": [0.2] * 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images of 24 × 20 pixels, with a bright square of class 1, whose border is ignored."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        image = random.integers(0, 90, (20, 24, 3), dtype=np.uint8)
        mask = np.zeros((20, 24), dtype=np.uint8)
        x, y = random.integers(0, 12, 2)
        mask[y : y + 8, x : x + 8] = IGNORED
        mask[y + 1 : y + 7, x + 1 : x + 7] = 1
        image[mask > 0] += 150
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def rewrite_masks(folder: Path, colours: dict[int, object]) -> None:
    """Put other values in the place of the numbers in all masks."""
    for path in (folder / "masks").iterdir():
        mask = np.array(Image.open(path))
        first = np.array(next(iter(colours.values())))
        values = np.zeros((*mask.shape, *first.shape), dtype=np.uint8)
        for number, value in colours.items():
            values[mask == number] = value
        Image.fromarray(values).save(path)


def masks_of(folder: Path) -> list[torch.Tensor]:
    """All masks, as the model sees them."""
    data = make_data(Hyperparameters(data=folder, augment="none"))
    return [part[i][1] for part in (data.train, data.val, data.test) for i in range(len(part))]


def complaint_about(folder: Path) -> str:
    """The message about a broken folder, wherever it is noticed."""
    with pytest.raises(UserError) as error:
        masks_of(folder)
    return str(error.value)


def test_large_images_are_made_smaller_with_their_masks_and_cached(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for path in (*folder.glob("images/*"), *folder.glob("masks/*")):
        Image.open(path).resize((240, 200), Image.Resampling.NEAREST).save(path)
    settings = Hyperparameters(data=folder, augment="none", image_size=32)
    data = make_data(settings)
    plain = [data.train[i] for i in range(len(data.train))]
    for image, mask in plain:
        assert (image.shape, mask.shape) == ((3, 32, 32), (32, 32))
        bright = image[:, mask == 1].float().mean()
        assert bright > image[:, mask == 0].float().mean() + 100
    for cache in data.caches:
        cache.fill()
    filled = make_data(settings).train
    for i, (image, mask) in enumerate(plain):
        assert torch.equal(filled[i][0], image) and torch.equal(filled[i][1], mask)
    assert len(list(Path(".cache/images").iterdir())) == 2


def test_the_scenes_are_split_into_parts_that_do_not_overlap() -> None:
    data = make_data(Hyperparameters())
    parts = (data.train, data.val, data.test)
    names = [part.describe(i) for part in parts for i in range(len(part))]
    assert len(names) == len(set(names)) == 2400
    image, mask = data.val[0]
    assert (image.shape, image.dtype) == ((3, 64, 64), torch.uint8)
    assert (mask.shape, mask.dtype) == ((64, 64), torch.uint8)
    assert data.facts["classes"][0] == "ground"
    assert mask.unique().tolist() != [0]


@pytest.mark.parametrize("augment", ["shift", "crop", "strong"])
def test_masks_move_with_their_images(folder: Path, augment: str) -> None:
    settings = Hyperparameters(data=folder, augment=augment, image_size=32)  # type: ignore[arg-type]
    train, seen = make_data(settings).train, set()
    for seed in range(20):
        torch.manual_seed(seed)
        image, mask = train[0]
        assert image.shape == (3, 32, 32) and mask.shape == (32, 32)
        if augment != "strong" and (mask == 1).sum() > 20:  # the square is bright, the rest dark
            assert image[:, mask == 1].float().mean() > image[:, mask == 0].float().mean() + 100
        seen.add(mask.numpy().tobytes())
    assert len(seen) > 10
    torch.manual_seed(3)
    first = train[0]
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first, train[0], strict=True))


def test_own_images_keep_their_proportions_and_are_filled_up_with_ignored_pixels(
    folder: Path,
) -> None:
    data = make_data(Hyperparameters(data=folder, image_size=48))
    assert [len(part) for part in (data.train, data.val, data.test)] == [8, 2, 2]
    image, mask = data.val[0]
    assert image.shape == (3, 48, 48)
    assert (mask[40:] == IGNORED).all()
    assert set(mask[:40].unique().tolist()) == {0, 1, IGNORED}


def test_without_classes_json_the_numbers_in_the_masks_are_the_classes(folder: Path) -> None:
    assert make_data(Hyperparameters(data=folder)).facts["classes"] == ["0", "1"]


@pytest.mark.parametrize(
    ("colours", "classes"),
    [
        ({0: 0, 1: 255, IGNORED: 7}, {"ground": 0, "square": 255, "ignore": 7}),
        (
            {0: (9, 0, 0), 1: (0, 9, 1), IGNORED: (0, 0, 0)},
            {"ground": [9, 0, 0], "square": [0, 9, 1], "ignore": [0, 0, 0]},
        ),
    ],
    ids=["numbers", "colours"],
)
def test_masks_may_hold_other_numbers_or_colours(
    folder: Path, colours: dict[int, object], classes: dict[str, object]
) -> None:
    expected = masks_of(folder)
    rewrite_masks(folder, colours)
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")
    assert make_data(Hyperparameters(data=folder)).facts["classes"] == ["ground", "square"]
    assert all(torch.equal(a, b) for a, b in zip(masks_of(folder), expected, strict=True))


@pytest.mark.parametrize("inside", [True, False])
def test_train_and_test_are_used_as_they_are(folder: Path, tmp_path: Path, inside: bool) -> None:
    root = tmp_path / "parts"
    for kind in ("images", "masks"):
        for part, numbers in (("train", range(8)), ("test", range(8, 12))):
            below = root / kind / part if inside else root / part / kind
            below.mkdir(parents=True)
            for number in numbers:
                shutil.copy(folder / kind / f"{number}.png", below)
    data = make_data(Hyperparameters(data=root))
    assert [len(part) for part in (data.train, data.val, data.test)] == [7, 1, 4]
    assert all("test" in Path(data.test.describe(i)).parts for i in range(4))


def test_own_images_train_from_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "classes.json").write_text('["ground", "square"]', encoding="utf-8")
    flags = ["--data", str(folder), "--image-size", "32", "--epochs", "2", "--device", "cpu"]
    assert main(["train", *flags, "--batch-size", "2", "--width", "4", "--run", "own"]) == 0
    assert (tmp_path / "runs" / "own" / "report.html").exists()


def test_images_without_masks_and_masks_without_images_are_named(folder: Path) -> None:
    (folder / "masks" / "3.png").unlink()
    assert "3.png has no mask" in complaint_about(folder)
    (folder / "images" / "3.png").unlink()
    (folder / "images" / "4.png").unlink()
    assert "4.png has no image" in complaint_about(folder)


def test_a_mask_of_another_size_is_named(folder: Path) -> None:
    Image.new("L", (10, 20), 1).save(folder / "masks" / "5.png")
    assert "5.png has 10 × 20 pixels, but its image" in complaint_about(folder)


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_file_that_is_no_image_is_named(folder: Path, kind: str) -> None:
    (folder / "classes.json").write_text('["ground", "square"]', encoding="utf-8")
    (folder / kind / "2.png").write_bytes((folder / kind / "2.png").read_bytes()[:60])
    assert f"{Path(kind) / '2.png'} is not an image" in complaint_about(folder)


def test_a_number_that_is_no_class_is_named(folder: Path) -> None:
    (folder / "classes.json").write_text('["ground", "square"]', encoding="utf-8")
    mask = np.zeros((20, 24), dtype=np.uint8)
    mask[3, 5] = 2
    Image.fromarray(mask).save(folder / "masks" / "7.png")
    complaint = complaint_about(folder)
    assert "7.png: the pixel at x = 5, y = 3 is 2, which is no class" in complaint
    assert "ground 0, square 1" in complaint


def test_a_colour_that_is_no_class_is_named(folder: Path) -> None:
    rewrite_masks(folder, {0: (1, 2, 3), 1: (4, 5, 6), IGNORED: (7, 8, 9)})
    assert "has colours, not numbers" in complaint_about(folder)
    (folder / "classes.json").write_text('{"a": [1, 2, 3], "b": [4, 5, 6]}', encoding="utf-8")
    assert "is [7, 8, 9], which is no class" in complaint_about(folder)


def test_a_single_class_is_refused(folder: Path) -> None:
    rewrite_masks(folder, {0: 0, 1: 255, IGNORED: 255})
    assert "one class only" in complaint_about(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not valid JSON"),
        ("7", 'like ["road", "sky"]'),
        ('["road"]', "from 2 to 255"),
        ('["road", "road"]', "a name of its own"),
        ('{"road": 0, "sky": 0}', "another one than the other"),
        ('{"road": 0, "sky": [1, 2]}', "'sky' has [1, 2]"),
        ('{"road": 0, "sky": {"a": 1}}', "'sky' has"),
        ('{"road": 0, "sky": 256}', "'sky' has 256"),
        ('{"road": 0, "sky": [1, 2, 3]}', "numbers and colours"),
    ],
)
def test_a_wrong_classes_json_is_explained(folder: Path, text: str, words: str) -> None:
    (folder / "classes.json").write_text(text, encoding="utf-8")
    assert words in complaint_about(folder)


def test_folders_that_are_missing_or_too_small_are_named(folder: Path, tmp_path: Path) -> None:
    assert "no folder" in complaint_about(tmp_path / "nowhere")
    assert "no folder images" in complaint_about(tmp_path)
    for kind in ("images", "masks"):
        for number in range(2, 12):
            (folder / kind / f"{number}.png").unlink()
    assert "too few training images (2)" in complaint_about(folder)


@pytest.mark.parametrize(
    "name", ["unet", "fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
)
def test_models_give_logits_and_all_their_weights_learn(name: str) -> None:
    model = make_model(Hyperparameters(model=name), FACTS)
    outputs = model(torch.randint(0, 256, (2, 3, 40, 56), dtype=torch.uint8))
    assert {logits.shape for logits in outputs.values()} == {(2, 3, 40, 56)}
    sum(logits.square().sum() for logits in outputs.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert ("aux" in outputs) == name.startswith(("fcn", "deeplab"))


def test_every_segmentation_model_of_torchvision_can_be_built() -> None:
    for name in models.list_models(module=models.segmentation):
        with torch.device("meta"):
            make_model(Hyperparameters(model=name), FACTS, initialize=False)


def test_the_loss_of_an_image_does_not_depend_on_the_others(folder: Path) -> None:
    data = make_data(Hyperparameters(data=folder, image_size=32))
    criterion, model = (
        Criterion(Hyperparameters(), data.facts),
        make_model(Hyperparameters(), FACTS),
    )
    images, masks = default_collate([data.train[i] for i in range(4)])
    masks[0] = IGNORED
    logits = model.eval()(images)["out"][:, :2]
    together = criterion.each_loss(logits, masks)
    apart = [criterion.each_loss(logits[i : i + 1], masks[i : i + 1]) for i in range(4)]
    assert torch.allclose(together, torch.cat(apart))
    assert together[0] == 0


def test_ignored_pixels_change_nothing() -> None:
    criterion = Criterion(Hyperparameters(), FACTS)
    logits, masks = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8)
    masks[:, :, 5:] = IGNORED
    expected = criterion.each_loss(logits, masks)
    logits[..., 5:] = 9 * torch.randn(2, 3, 8, 3)
    assert torch.allclose(criterion.each_loss(logits, masks), expected)


def test_pixels_are_counted_by_image_and_class(folder: Path) -> None:
    settings = Hyperparameters(data=folder)
    data = make_data(settings)
    criterion, model = Criterion(settings, data.facts), make_model(settings, data.facts)
    images, masks = default_collate([data.train[i] for i in range(3)])
    outputs = criterion.evaluate(model.eval(), (images, masks))
    predicted = outputs["_predicted"]
    for n in range(3):
        counted = masks[n] != IGNORED
        for c in range(2):
            true, said = (masks[n] == c) & counted, (predicted[n] == c) & counted
            assert outputs["intersection"][n, c] == (true & said).sum()
            assert outputs["union"][n, c] == (true | said).sum()
    assert outputs["target"].shape == outputs["predicted"].shape == (3, 96, 96)


def test_the_dice_loss_is_zero_for_the_truth_and_one_half_for_half_of_it() -> None:
    truth = torch.zeros(1, 2, 40, 40)
    truth[:, 1] = 1
    assert dice_loss(truth, truth.bool()).item() == pytest.approx(0, abs=1e-3)
    # Half of the probability on the right class: 2 * 1/2 / (1/2 + 1).
    assert dice_loss(0.5 * truth, truth.bool()).item() == pytest.approx(1 / 3, abs=1e-3)


def test_miou_is_the_mean_of_the_classes_that_occur() -> None:
    criterion = Criterion(Hyperparameters(), FACTS)
    masks = torch.tensor([[[0, 0, 1, IGNORED]], [[0, 1, 1, 1]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 2]], [[0, 1, 1, 1]]], dtype=torch.uint8)
    metrics = criterion.metrics()
    criterion.update(metrics, {"_predicted": predicted, "_target": masks})
    values = metrics.compute()
    assert values["miou"].item() == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["pixel_accuracy"].item() == pytest.approx(6 / 7)


def test_one_batch_can_be_learned_by_heart() -> None:
    settings = Hyperparameters(augment="none")
    data = make_data(settings)
    torch.manual_seed(0)
    criterion, model = Criterion(settings, data.facts), make_model(settings, data.facts)
    images, masks = default_collate([data.train[i] for i in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        criterion.loss(model, (images, masks)).backward()
        optimizer.step()
    outputs = criterion.evaluate(model, (images, masks))
    assert (outputs["_predicted"] == masks).float().mean() > 0.97


def test_pretrained_weights_get_new_last_layers_and_their_own_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    name = "deeplabv3_mobilenet_v3_large"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    trained = models.get_model(name, weights_backbone=None, aux_loss=True).state_dict()
    file = Path(models.get_model_weights(name).DEFAULT.url).name
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(trained, tmp_path / "hub" / "checkpoints" / file)

    settings = Hyperparameters(model=name, pretrained=True, freeze_backbone=True, data=folder)
    facts = make_data(settings).facts
    assert facts["image_size"] == 520
    assert facts["mean"] == pytest.approx([0.485, 0.456, 0.406])
    model = make_model(settings, facts)
    state = model.state_dict()
    assert torch.equal(
        state["network.classifier.0.project.0.weight"], trained["classifier.0.project.0.weight"]
    )
    assert state["network.classifier.4.weight"].shape[0] == 2
    assert state["network.aux_classifier.4.weight"].shape[0] == 2
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"classifier", "aux_classifier"}
    assert not any(m.training for m in model.train().get_submodule("network.backbone").modules())
    empty = make_model(settings, facts, initialize=False)
    empty.load_state_dict(state)


def test_a_model_that_needs_two_images_at_a_time_says_so() -> None:
    with pytest.raises(UserError, match="--batch-size 4"):
        Hyperparameters(model="deeplabv3_resnet50", batch_size=3, accumulation_steps=2)


def test_an_unknown_model_brings_a_suggestion() -> None:
    with pytest.raises(UserError, match="fcn_resnet50"):
        make_data(Hyperparameters(model="fcn_resnet5"))


@pytest.mark.parametrize("num", [2, 20, 60])
def test_every_class_has_its_own_colour(num: int) -> None:
    colours = make_palette(num)
    assert colours.shape == (num, 3)
    assert 0 <= colours.min() <= colours.max() <= 1
    assert len(np.unique(colours.round(2), axis=0)) == num
