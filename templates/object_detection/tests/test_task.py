"""Object detection: data, models and criterion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from {{ cookiecutter.__package }} import datasets
from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.criterion import Criterion, draw_targets
from {{ cookiecutter.__package }}.datasets import Sample, collate, make_data
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.matching import make_curve, match
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.utils import box_iou, convert_boxes

CLASSES = ["bright", "dark"]
FACTS = {"classes": ["a", "b", "c"], "image_size": 64, "max_boxes": 4}
FACTS |= {"mean": [0.5] * 3, "std": [0.2] * 3}
SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"

Content = dict[str, Any]


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """Twelve images of 40 × 30 pixels with a bright or a dark box, and what COCO's JSON says."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(12):
        pixels = random.integers(100, 150, (30, 40, 3), dtype=np.uint8)
        x, y, w, h = (int(n) for n in random.integers((0, 0, 8, 6), (20, 15, 20, 15)))
        pixels[y : y + h, x : x + w] = 250 - 245 * (number % 2)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 30})
        box = {"id": number, "image_id": number, "category_id": 7 - number % 2}
        annotations.append(box | {"bbox": [x, y, w, h], "iscrowd": 0})
    categories = [{"id": 7, "name": "bright"}, {"id": 6, "name": "dark"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def coco(tmp_path: Path, content: Content) -> Path:
    """A folder with COCO's JSON."""
    write(tmp_path / "data", content)
    return tmp_path / "data"


def write(root: Path, content: Content, name: str = "annotations.json") -> None:
    (root / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def yolo(tmp_path: Path, content: Content) -> Path:
    """A folder with the same boxes as YOLO's text files."""
    root = tmp_path / "data"
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("dark\nbright\n", encoding="utf-8")
    for box in content["annotations"]:
        x, y, w, h = box["bbox"]
        line = f"{box['category_id'] - 6} {(x + w / 2) / 40} {(y + h / 2) / 30} {w / 40} {h / 30}"
        (root / "labels" / f"{box['image_id']}.txt").write_text(line + "\n", encoding="utf-8")
    return root


def samples_of(folder: Path) -> dict[str, Sample]:
    """All samples by file."""
    data = make_data(Hyperparameters(data=folder, augment="none", image_size=40))
    return {
        Path(part.describe(i)).name: part[i]
        for part in (data.train, data.val, data.test)
        for i in range(len(part))
    }


def complaint_about(folder: Path) -> str:
    """The message about a broken folder, wherever it is noticed."""
    with pytest.raises(UserError) as error:
        samples_of(folder)
    return str(error.value)


def test_the_scenes_are_split_into_parts_that_do_not_overlap() -> None:
    data = make_data(Hyperparameters())
    parts = (data.train, data.val, data.test)
    names = [part.describe(i) for part in parts for i in range(len(part))]
    assert len(names) == len(set(names)) == 2400
    image, target = data.val[0]
    assert (image.shape, image.dtype) == ((3, 64, 64), torch.uint8)
    assert target["boxes"].shape == (len(target["labels"]), 4)
    assert data.facts["max_boxes"] == 4


def test_coco_and_yolo_say_the_same(coco: Path, yolo: Path) -> None:
    expected = samples_of(coco)
    (coco / "annotations.json").unlink()
    samples = samples_of(yolo)
    assert set(samples) == set(expected) and len(samples) == 12
    for name, (image, target) in samples.items():
        assert torch.equal(image, expected[name][0])
        assert torch.equal(target["labels"], expected[name][1]["labels"])
        assert torch.allclose(target["boxes"], expected[name][1]["boxes"], atol=1e-4)
        x1, y1, x2, y2 = target["boxes"][0].round().int().tolist()
        bright = image[:, y1:y2, x1:x2].float().mean()
        assert bright == (250 if CLASSES[1 - int(target["labels"][0])] == "bright" else 5)


def test_boxes_shrink_with_large_images_and_these_are_cached(
    coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(coco.parent)
    settings = Hyperparameters(data=coco, augment="none", image_size=32)
    full = make_data(settings).train
    monkeypatch.setattr(datasets, "LARGEST", 0.5)
    data = make_data(settings)
    assert data.train.source.read(0)[0].shape == (3, 16, 21)  # type: ignore[attr-defined]
    plain = [data.train[i] for i in range(len(data.train))]
    for cache in data.caches:
        cache.fill()
    filled = make_data(settings).train
    for i, (image, target) in enumerate(plain):
        assert torch.allclose(target["boxes"], full[i][1]["boxes"], atol=0.5)
        assert torch.equal(filled[i][0], image)
        assert torch.equal(filled[i][1]["boxes"], target["boxes"])
    assert len(list(Path(".cache/images").iterdir())) == 2


@pytest.mark.parametrize("augment", ["shift", "crop", "strong"])
def test_boxes_move_with_their_images(coco: Path, augment: str) -> None:
    settings = Hyperparameters(data=coco, augment=augment, image_size=64)  # type: ignore[arg-type]
    train, num_boxes, positions = make_data(settings).train, 0, set()
    for seed in range(60):
        torch.manual_seed(seed)
        image, target = train[seed % len(train)]
        for (x1, y1, x2, y2), label in zip(target["boxes"].tolist(), target["labels"], strict=True):
            assert 0 <= x1 < x2 <= image.shape[2] and 0 <= y1 < y2 <= image.shape[1]
            num_boxes += 1
            positions.add((x1, y1))
            if augment != "strong":
                middle = image[:, int(y1 + y2) // 2, int(x1 + x2) // 2].float().mean()
                assert (middle > 200) == (label == 1)
    assert num_boxes > 30 and len(positions) > 20


def test_augmentation_follows_from_the_seed_alone() -> None:
    train = make_data(Hyperparameters(augment="strong")).train
    torch.manual_seed(3)
    image, target = train[0]
    torch.manual_seed(3)
    again, same = train[0]
    assert torch.equal(image, again)
    assert torch.equal(target["boxes"], same["boxes"])


def test_parts_of_coco_are_used_as_they_are(coco: Path, content: Content) -> None:
    (coco / "annotations.json").unlink()
    for part, numbers in (("train", range(8)), ("test", range(8, 12))):
        images = [content["images"][n] for n in numbers]
        annotations = [content["annotations"][n] for n in numbers]
        write(coco, content | {"images": images, "annotations": annotations}, f"{part}.json")
    data = make_data(Hyperparameters(data=coco))
    assert [len(part) for part in (data.train, data.val, data.test)] == [7, 1, 4]
    assert sorted(Path(data.test.describe(i)).stem for i in range(4)) == ["10", "11", "8", "9"]
    write(coco, content, "test.json")
    assert "is listed 2 times" in complaint_about(coco)


@pytest.mark.parametrize("inside", [True, False])
def test_parts_of_yolo_are_used_as_they_are(yolo: Path, inside: bool) -> None:
    for kind in ("images", "labels"):
        for part, numbers in (("train", range(8)), ("valid", range(8, 12))):
            below = yolo / kind / part if inside else yolo / part / kind
            below.mkdir(parents=True)
            for number in numbers:
                suffix = "png" if kind == "images" else "txt"
                (yolo / kind / f"{number}.{suffix}").rename(below / f"{number}.{suffix}")
    if not inside:
        (yolo / "images").rmdir()
    data = make_data(Hyperparameters(data=yolo))
    assert [len(part) for part in (data.train, data.val, data.test)] == [7, 4, 1]
    assert all("valid" in Path(data.val.describe(i)).parts for i in range(4))


@pytest.mark.parametrize(
    "text", ["names: ['dark', bright]", "names:\n  0: dark\n  1: 'bright'  # light\nnc: 2\n"]
)
def test_the_classes_of_yolo_may_be_in_data_yaml(yolo: Path, text: str) -> None:
    (yolo / "classes.txt").rename(yolo / "labels" / "classes.txt")
    assert make_data(Hyperparameters(data=yolo)).facts["classes"] == ["dark", "bright"]
    (yolo / "labels" / "classes.txt").unlink()
    (yolo / "data.yaml").write_text(text, encoding="utf-8")
    assert make_data(Hyperparameters(data=yolo)).facts["classes"] == ["dark", "bright"]


def test_images_without_objects_are_learned_from_too(yolo: Path) -> None:
    (yolo / "labels" / "3.txt").unlink()
    (yolo / "labels" / "4.txt").write_text("\n", encoding="utf-8")
    samples = samples_of(yolo)
    assert samples["3.png"][1]["boxes"].shape == samples["4.png"][1]["boxes"].shape == (0, 4)
    data = make_data(Hyperparameters(data=yolo, image_size=40))
    for name in ("small", SMALL):
        model = make_model(Hyperparameters(model=name), data.facts)
        batch = collate([samples["3.png"], samples["5.png"]])
        assert Criterion(Hyperparameters(), data.facts).loss(model, batch).isfinite()


def test_boxes_of_crowds_are_left_out(
    coco: Path, content: Content, capsys: pytest.CaptureFixture[str]
) -> None:
    content["annotations"][3]["iscrowd"] = 1
    write(coco, content)
    assert len(samples_of(coco)["3.png"][1]["labels"]) == 0
    assert "1 boxes of crowds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([5, 5, 0, 10], "has no width or no height"),
        ([5, 5, 10, -3], "has no width or no height"),
        ([30, 5, 20, 10], "reaches beyond its image"),
        ([50, 5, 5, 5], "reaches beyond its image"),
        ([5, 5, 10, float("nan")], "not finite"),
        ([5, 5, 10], "must be [x, y, width, height]"),
        ([5, 5, "a", 1], "must be [x, y, width, height]"),
    ],
)
def test_a_degenerate_box_of_coco_is_named(
    coco: Path, content: Content, box: list[Any], words: str
) -> None:
    content["annotations"][4]["bbox"] = box
    write(coco, content)
    complaint = complaint_about(coco)
    assert "annotation 5 (image 4.png)" in complaint and words in complaint


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0 0.1", "has no width or no height"),
        ("0 0.9 0.5 0.5 0.1", "reaches beyond its image"),
        ("0 0.5 0.5 nan 0.1", "not finite"),
        ("2 0.5 0.5 0.1 0.1", "there is no class 2; the last is 1"),
        ("0.5 0.5 0.5 0.1 0.1", "there is no class 0.5"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "must be five numbers"),
        ("cat 0.5 0.5 0.1 0.1", "must be five numbers"),
    ],
)
def test_a_wrong_line_of_yolo_is_named(yolo: Path, line: str, words: str) -> None:
    (yolo / "labels" / "4.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n", encoding="utf-8")
    complaint = complaint_about(yolo)
    assert "4.txt, line 2" in complaint and words in complaint


def break_image_id(content: Content) -> None:
    content["annotations"][2]["image_id"] = 99


def break_category_id(content: Content) -> None:
    content["annotations"][2]["category_id"] = 99


def break_file_name(content: Content) -> None:
    content["images"][2]["file_name"] = "nowhere.png"


def leave_the_folder(content: Content) -> None:
    content["images"][2]["file_name"] = "../../secret.png"


def repeat_an_image(content: Content) -> None:
    content["images"][2]["id"] = 3


def repeat_a_category(content: Content) -> None:
    content["categories"][1]["name"] = "bright"


def forget_the_categories(content: Content) -> None:
    del content["categories"]


def forget_all_boxes(content: Content) -> None:
    content["annotations"] = []


def change_the_size(content: Content) -> None:
    content["images"][2]["width"] = 80


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_image_id, "annotation 3: there is no image with the id 99"),
        (break_category_id, "there is no category with the id 99"),
        (break_file_name, "image 3: there is no file 'nowhere.png'"),
        (leave_the_folder, "'../../secret.png' is not a file below"),
        (repeat_an_image, "several images have the same id"),
        (repeat_a_category, "'bright' or its id 6 is there twice"),
        (forget_the_categories, "'categories' is missing or wrong"),
        (forget_all_boxes, "have no boxes"),
        (change_the_size, "2.png has 40 × 30 pixels, but its boxes are for 80 × 30"),
    ],
)
def test_a_wrong_json_is_explained(
    coco: Path, content: Content, damage: Callable[[Content], None], words: str
) -> None:
    damage(content)
    write(coco, content)
    assert words in complaint_about(coco)


def test_folders_without_boxes_or_names_are_explained(yolo: Path, tmp_path: Path) -> None:
    assert "no folder" in complaint_about(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no boxes: neither annotations.json" in complaint_about(tmp_path / "empty")
    (yolo / "images" / "3.png").unlink()
    assert "3.txt has no image" in complaint_about(yolo)
    (yolo / "classes.txt").write_text("dark\ndark\n", encoding="utf-8")
    assert "a name of its own" in complaint_about(yolo)
    (yolo / "classes.txt").unlink()
    assert "classes.txt is missing" in complaint_about(yolo)
    (yolo / "data.yaml").write_text("names: {0: a, 2: b}", encoding="utf-8")
    assert "`names: [cat, dog]`" in complaint_about(yolo)
    (yolo / "data.yaml").write_text("names: [", encoding="utf-8")
    assert "not valid YAML" in complaint_about(yolo)


def test_a_file_that_is_no_image_is_named(coco: Path) -> None:
    (coco / "images" / "2.png").write_text("not an image", encoding="utf-8")
    assert "2.png is not an image" in complaint_about(coco)


def test_own_images_train_from_the_command_line(
    coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--data", str(coco), "--image-size", "40", "--epochs", "2", "--device", "cpu"]
    assert main(["train", *flags, "--batch-size", "2", "--width", "8", "--run", "own"]) == 0
    assert (tmp_path / "runs" / "own" / "report.html").exists()


@pytest.mark.parametrize("name", ["small", SMALL, "ssdlite320_mobilenet_v3_large"])
def test_detectors_give_losses_and_detections_of_every_image(name: str) -> None:
    torch.manual_seed(0)
    settings = Hyperparameters(model=name, score_threshold=0.0)
    model = make_model(settings, FACTS)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 50), (40, 64))]
    targets = [
        {"boxes": torch.tensor([[5.0, 5, 30, 30]]), "labels": torch.tensor([2])},
        {"boxes": torch.tensor([[9.0, 5, 30, 30], [1, 1, 9, 9]]), "labels": torch.tensor([0, 1])},
    ]
    criterion = Criterion(settings, FACTS)
    criterion.loss(model, (images, targets)).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    with torch.inference_mode():
        outputs = criterion.evaluate(model.eval(), (images, targets))
    assert outputs["boxes"].shape == (2, 100, 4)
    assert outputs["labels"].max() <= 2 and (outputs["labels"] >= 0).any()
    assert outputs["loss"].shape == (2,) and outputs["loss"].isfinite().all()
    assert (outputs["boxes"][0, :, 2] <= 50.01).all() and (outputs["boxes"][1, :, 3] <= 40.01).all()


@pytest.mark.parametrize("name", ["small", SMALL])
def test_what_is_said_of_an_image_does_not_depend_on_the_others(name: str) -> None:
    torch.manual_seed(0)
    settings = Hyperparameters(model=name)
    criterion, model = Criterion(settings, FACTS), make_model(settings, FACTS)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 50), (40, 64))]
    boxes = [[(5.0, 5, 30, 30)], [(9.0, 5, 30, 30), (1, 1, 9, 9)]]
    targets = [{"boxes": torch.tensor(b), "labels": torch.zeros(len(b)).long()} for b in boxes]
    with torch.inference_mode():
        together = criterion.evaluate(model.eval(), (images, targets))
        for n in range(2):
            alone = criterion.evaluate(model, (images[n : n + 1], targets[n : n + 1]))
            for key, value in alone.items():
                assert torch.allclose(value[0].float(), together[key][n].float(), atol=1e-4), key


def test_every_detector_of_torchvision_can_be_built_or_is_refused() -> None:
    built = 0
    for name in models.list_models(module=models.detection):
        if name.startswith(("maskrcnn", "keypointrcnn")):
            with pytest.raises(UserError, match="more than boxes"):
                make_data(Hyperparameters(model=name))
            continue
        with torch.device("meta"):
            make_model(Hyperparameters(model=name), FACTS, initialize=False)
        built += 1
    assert built >= 9


@pytest.mark.parametrize("name", [SMALL, "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large"])
def test_pretrained_weights_get_a_new_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    trained = models.get_model(name, weights_backbone=None).state_dict()
    file = Path(models.get_model_weights(name).DEFAULT.url).name
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(trained, tmp_path / "hub" / "checkpoints" / file)

    settings = Hyperparameters(model=name, pretrained=True, freeze_backbone=True)
    model = make_model(settings, FACTS)
    state = model.state_dict()
    copied = [key for key in trained if key.startswith("backbone.") and key.endswith(".weight")]
    assert copied
    for key in copied:
        own = state["detector." + key.replace("backbone.", "backbone.body.", 1)]
        assert torch.equal(own, trained[key]), key
    learning = {key.split(".")[1] for key, p in model.named_parameters() if p.requires_grad}
    assert "backbone" not in learning and learning
    make_model(settings, FACTS, initialize=False).load_state_dict(state)


def test_an_unknown_model_brings_a_suggestion() -> None:
    with pytest.raises(UserError, match="retinanet_resnet50_fpn"):
        make_data(Hyperparameters(model="retinanet_resnet50"))


def random_outputs() -> dict[str, torch.Tensor]:
    """Detections that are often near the truth, in the form of ``Criterion.evaluate``."""
    generator = torch.Generator().manual_seed(0)
    middles = 60 * torch.rand(40, 4, 2, generator=generator)
    sizes = 15 + 20 * torch.rand(40, 4, 2, generator=generator)
    true_boxes = torch.cat([middles, middles + sizes], dim=2)
    true_labels = torch.randint(-1, 3, (40, 4), generator=generator)
    boxes = true_boxes.repeat(1, 3, 1) + 3 * torch.randn(40, 12, 4, generator=generator)
    labels = true_labels.repeat(1, 3).where(torch.rand(40, 12, generator=generator) < 0.8, 1)
    scores = torch.rand(40, 12, generator=generator)
    found = {"boxes": boxes, "labels": labels, "scores": scores}
    return found | {"true_boxes": true_boxes, "true_labels": true_labels}


def test_the_curves_agree_with_the_metric() -> None:
    outputs = random_outputs()
    criterion = Criterion(Hyperparameters(), FACTS)
    metrics = criterion.metrics()
    for part in zip(*(value.split(16) for value in outputs.values()), strict=True):
        criterion.update(metrics, dict(zip(outputs, part, strict=True)))
    found = match({name: value.numpy() for name, value in outputs.items()})
    curves = [make_curve(found, number) for number in range(3)]
    map50 = float(np.mean([curve.average_precision for curve in curves]))
    assert 0.2 < map50 < 0.9
    # torchmetrics rounds the recalls at which it looks to float32.
    assert metrics.compute()["map50"].item() == pytest.approx(map50, abs=1e-3)
    assert sum(curve.num_objects for curve in curves) == (outputs["true_labels"] >= 0).sum()


def test_targets_are_drawn_around_the_middles_of_objects() -> None:
    boxes = torch.tensor([[8.0, 8, 24, 16], [40, 40, 60, 60]])
    target = {"boxes": boxes, "labels": torch.tensor([2, 0])}
    heat, weight, owners = draw_targets(target, (3, 16, 16), stride=4)
    assert heat[2, 3, 4] == 1 and heat[0, 12, 12] == 1
    assert (heat == 1).sum() == 2
    assert heat[1].sum() == 0
    assert weight.sum().item() == pytest.approx(2)
    assert torch.equal(owners[3, 4], boxes[0]) and torch.equal(owners[12, 12], boxes[1])


def test_one_batch_can_be_learned_by_heart() -> None:
    settings = Hyperparameters(augment="none")
    data = make_data(settings)
    torch.manual_seed(0)
    criterion, model = Criterion(settings, data.facts), make_model(settings, data.facts)
    images, targets = collate([data.train[i] for i in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        criterion.loss(model, (images, targets)).backward()
        optimizer.step()
    metrics = criterion.metrics()
    with torch.inference_mode():
        criterion.update(metrics, criterion.evaluate(model.eval(), (images, targets)))
    assert metrics.compute()["map50"] > 0.9


def test_helpers_for_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10]])
    assert box_iou(boxes, boxes)[0, 1].item() == pytest.approx(1 / 3)
    assert convert_boxes(boxes, "xyxy", "cxcywh")[1].tolist() == [10, 5, 10, 10]
