"""Object detection: data, models and criterion."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from {{ cookiecutter.__package }} import loaders
from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion, draw_target
from {{ cookiecutter.__package }}.engine.data import BatchIndex
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, Sample, make_data
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.utils import box_iou, convert_boxes
from {{ cookiecutter.__package }}.vision.matching import (
    match,
    precision_curve,
)

INFO = DataInfo(["a", "b", "c"], image_size=64, max_boxes=4, mean=[0.5] * 3, std=[0.2] * 3)
FASTER_RCNN, SSD = "fasterrcnn_mobilenet_v3_large_320_fpn", "ssdlite320_mobilenet_v3_large"
IMAGES = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 50), (40, 64))]
TARGETS = [
    {"boxes": torch.tensor([[5.0, 5, 30, 30]]), "labels": torch.tensor([2])},
    {"boxes": torch.tensor([[9.0, 5, 30, 30], [1, 1, 9, 9]]), "labels": torch.tensor([0, 1])},
]

Content = dict[str, Any]
LEFT_OUT: dict[str, tuple[str, Content]] = {
    "without width or height, left out: 1 of 12": ("annotations", {"bbox": [5, 5, 9, -3]}),
    "reach beyond their images, clipped: 1 of 12": ("annotations", {"bbox": [30, 5, 20, 10]}),
    "not finite, left out: 1 of 12": ("annotations", {"bbox": [5, 5, 10, float("nan")]}),
    "crowds (iscrowd), left out: 1 of 12": ("annotations", {"iscrowd": 1}),
    "their image is not listed: 1 of 12": ("annotations", {"image_id": 99}),
    "not there and left out: 1 of 12": ("images", {"file_name": "nowhere.png"}),
    "outside.png": ("images", {"file_name": "../../outside.png"}),
}
WRONG_RECORDS: dict[str, tuple[str, Content]] = {
    "Neither bbox [x, y, width, height] nor": ("annotations", {"bbox": [5, 5, 10]}),
    "annotation 2 of annotations.json: None": ("annotations", {"bbox": None}),
    "a category that is not listed: 1 of 12": ("annotations", {"category_id": 99}),
    "Images with the same id": ("images", {"id": 3}),
    "1.png has 40 × 30 pixels, its boxes are for 80 × 30": ("images", {"width": 80}),
    "categories without id or name": ("categories", {"name": None}),
}
WRONG_LINES = {
    "2 0.5 0.5 0.1 0.1": "names the classes 0, 1, but there are boxes of others. Class 2: 1 of 13",
    "0.5 0.5 0.5 0.1 0.1": "A line must be five numbers",
    "cat 0.5 0.5 0.1 0.1": "A line must be five numbers",
}


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Content:
    """Twelve images of 40 × 30 pixels with a bright or a dark box, and what COCO's JSON says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(12):
        pixels = random.integers(100, 150, (30, 40, 3), dtype=np.uint8)
        x, y, w, h = (int(n) for n in random.integers((0, 0, 8, 6), (20, 15, 20, 15)))
        pixels[y : y + h, x : x + w] = 250 - 245 * (number % 2)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 30})
        box = {"id": number, "image_id": number, "category_id": 7 - number % 2}
        annotations.append(box | {"bbox": [x, y, w, h], "iscrowd": 0})
    categories = [{"id": 7, "name": "bright"}, {"id": 6, "name": "dark"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(root: Path, content: Content, name: str = "annotations.json") -> None:
    (root / name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def coco(tmp_path: Path, content: Content) -> Path:
    """A folder with COCO's JSON."""
    write(tmp_path / "data", content)
    return tmp_path / "data"


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
    splits = (data.train, data.val, data.test)
    return {Path(x.describe(i)).name: x[i] for x in splits for i in range(len(x))}


def complaint_about(folder: Path) -> str:
    """The message about a broken folder, wherever it is noticed."""
    with pytest.raises(UserError) as error:
        samples_of(folder)
    return str(error.value)


def test_the_scenes_are_split_without_overlap() -> None:
    data = make_data(Hyperparameters())
    splits = (data.train, data.val, data.test)
    names = [split.describe(i) for split in splits for i in range(len(split))]
    assert len(names) == len(set(names)) == 2400 and data.info.max_boxes == 4
    image, target = data.val[0]
    assert (image.shape, target["boxes"].shape[1:]) == ((3, 64, 64), (4,))


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
        assert image[:, y1:y2, x1:x2].float().mean() == (250 if target["labels"][0] == 1 else 5)


def test_boxes_shrink_with_large_images_and_these_are_cached(
    coco: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hparams = Hyperparameters(data=coco, augment="none", image_size=32)
    full = make_data(hparams).train
    monkeypatch.setattr(loaders, "DECODED_SCALE", 0.5)
    data, again = make_data(hparams), make_data(hparams).train
    plain = [data.train[i] for i in range(len(data.train))]
    for cache in data.caches:
        cache.fill()
    for i, (image, target) in enumerate(plain):
        assert torch.allclose(target["boxes"], full[i][1]["boxes"], atol=0.5)
        assert torch.equal(again[i][0], image)
        assert torch.equal(again[i][1]["boxes"], target["boxes"])
    assert len(list(Path(".cache/images").iterdir())) == 2


@pytest.mark.parametrize("augment", ["shift", "crop", "strong"])
def test_boxes_move_with_their_images_as_the_seed_says(coco: Path, augment: str) -> None:
    hparams = Hyperparameters(data=coco, augment=augment, image_size=64)  # type: ignore[arg-type]
    train, positions = make_data(hparams).train, list[tuple[float, float]]()
    indices, seeds = np.arange(60) % len(train), np.arange(60, dtype=np.uint64)
    images, targets = train.__getitems__(BatchIndex(indices, seeds))
    for image, target in zip(images, targets, strict=True):
        for (x1, y1, x2, y2), label in zip(target["boxes"].tolist(), target["labels"], strict=True):
            assert 0 <= x1 < x2 <= image.shape[2] and 0 <= y1 < y2 <= image.shape[1]
            positions.append((x1, y1))
            if augment != "strong":
                middle = image[:, int(y1 + y2) // 2, int(x1 + x2) // 2].float().mean()
                assert (middle > 200) == (label == 1)
    assert len(positions) > 30 and len(set(positions)) > 20
    (image,), (target,) = train.__getitems__(BatchIndex(indices[3:4], seeds[3:4]))
    assert torch.equal(image, images[3]) and torch.equal(target["boxes"], targets[3]["boxes"])


def test_splits_of_coco_are_used_as_they_are(coco: Path, content: Content) -> None:
    (coco / "annotations.json").unlink()
    for split, numbers in (("train", slice(8)), ("test", slice(8, 12))):
        own = {name: content[name][numbers] for name in ("images", "annotations")}
        write(coco, content | own, f"{split}.json")
    data = make_data(Hyperparameters(data=coco))
    assert [len(split) for split in (data.train, data.val, data.test)] == [7, 1, 4]
    assert sorted(Path(data.test.describe(i)).stem for i in range(4)) == ["10", "11", "8", "9"]
    write(coco, content, "test.json")
    assert "In two splits: 8 of 12 images" in complaint_about(coco)


@pytest.mark.parametrize("inside", [True, False])
def test_splits_of_yolo_are_used_as_they_are(yolo: Path, inside: bool) -> None:
    for number in range(12):
        split = "train" if number < 8 else "valid"
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            below = yolo / kind / split if inside else yolo / split / kind
            below.mkdir(parents=True, exist_ok=True)
            (yolo / kind / f"{number}.{suffix}").rename(below / f"{number}.{suffix}")
    if not inside:
        (yolo / "images").rmdir()
    data = make_data(Hyperparameters(data=yolo))
    assert [len(split) for split in (data.train, data.val, data.test)] == [7, 4, 1]
    assert all("valid" in Path(data.val.describe(i)).parts for i in range(4))


def test_the_classes_of_yolo_may_be_in_data_yaml(yolo: Path) -> None:
    (yolo / "classes.txt").rename(yolo / "labels" / "classes.txt")
    texts = "names: ['dark', bright]", "names:\n  0: dark\n  1: 'bright'  # light\nnc: 2\n"
    for text in (None, *texts):
        if text is not None:
            (yolo / "data.yaml").write_text(text, encoding="utf-8")
        assert make_data(Hyperparameters(data=yolo)).info.classes == ["dark", "bright"]


def test_images_without_objects_are_learned_from_too(yolo: Path) -> None:
    (yolo / "labels" / "3.txt").unlink()
    (yolo / "labels" / "4.txt").write_text("\n", encoding="utf-8")
    images, targets = zip(*(samples_of(yolo)[f"{n}.png"] for n in (3, 4, 5)), strict=True)
    assert [len(target["boxes"]) for target in targets] == [0, 0, 1]
    info = make_data(Hyperparameters(data=yolo, image_size=40)).info
    for name in ("small", FASTER_RCNN):
        hparams = Hyperparameters(model=name)
        loss = Criterion(hparams, info).loss(make_model(hparams, info), ([*images], [*targets]))
        assert loss.isfinite()


@pytest.mark.parametrize("words", LEFT_OUT)
def test_what_is_left_out_of_coco_is_said(coco: Path, content: Content, words: str) -> None:
    name, change = LEFT_OUT[words]
    content[name][1] |= change
    write(coco, content)
    assert words in "\n".join(make_data(Hyperparameters(data=coco)).report.notes)


@pytest.mark.parametrize("words", WRONG_RECORDS)
def test_a_wrong_record_of_coco_is_named(coco: Path, content: Content, words: str) -> None:
    name, change = WRONG_RECORDS[words]
    content[name][1] |= change
    write(coco, content)
    assert words in complaint_about(coco)


@pytest.mark.parametrize("line", WRONG_LINES)
def test_a_wrong_line_of_yolo_is_named(yolo: Path, line: str) -> None:
    (yolo / "labels" / "4.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n", encoding="utf-8")
    complaint = complaint_about(yolo)
    assert "line 2 of 4.txt" in complaint and WRONG_LINES[line] in complaint


def test_files_that_are_missing_or_wrong_are_named(yolo: Path, content: Content) -> None:
    assert "no folder" in complaint_about(yolo / "nowhere")
    assert "has no boxes: neither annotations.json" in complaint_about(yolo / "labels")
    texts = {"names: cat": "`names: [cat, dog]`", "names: [": "not valid YAML"}
    for text, words in texts.items():
        (yolo / "data.yaml").write_text(text, encoding="utf-8")
        assert words in complaint_about(yolo)
    (yolo / "data.yaml").unlink()
    (yolo / "classes.txt").write_text("dark\ndark\n", encoding="utf-8")
    assert "a name of its own" in complaint_about(yolo)
    write(yolo, content | {"annotations": []})
    assert "None of the 12 training images has a box" in complaint_about(yolo)
    write(yolo, content)
    (yolo / "images" / "2.png").write_text("not an image", encoding="utf-8")
    assert "2.png is not an image" in complaint_about(yolo)


def test_own_images_train_from_the_command_line(coco: Path) -> None:
    flags = ["--data", str(coco), "--image-size", "40", "--epochs", "2", "--device", "cpu"]
    assert main(["train", *flags, "--batch-size", "2", "--width", "8", "--run", "own"]) == 0
    assert Path("runs/own/report.html").exists()


@pytest.mark.parametrize("name", ["small", FASTER_RCNN, SSD])
def test_detectors_give_losses_and_detections_that_other_images_do_not_change(name: str) -> None:
    torch.manual_seed(0)
    hparams = Hyperparameters(model=name, score_threshold=0.0)
    criterion, model = Criterion(hparams, INFO), make_model(hparams, INFO)
    criterion.loss(model, (IMAGES, TARGETS)).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    with torch.inference_mode():
        outputs = criterion.evaluate(model.eval(), (IMAGES, TARGETS))
        alone = [criterion.evaluate(model, (IMAGES[n:][:1], TARGETS[n:][:1])) for n in range(2)]
    assert outputs["boxes"].shape == (2, 100, 4) and outputs["loss"].shape == (2,)
    assert outputs["labels"].max() <= 2 and (outputs["labels"] >= 0).any()
    assert outputs["boxes"][0, :, 2].max() <= 50.01 and outputs["boxes"][1, :, 3].max() <= 40.01
    for key, value in outputs.items():
        expected = torch.cat([output[key] for output in alone])
        assert torch.allclose(value.float(), expected.float(), atol=1e-4), key


def test_every_detector_of_torchvision_can_be_built_or_is_refused() -> None:
    for name in models.list_models(module=models.detection):
        if name.startswith(("maskrcnn", "keypointrcnn")):
            with pytest.raises(UserError, match="more than boxes"):
                make_data(Hyperparameters(model=name))
        else:
            with torch.device("meta"):
                make_model(Hyperparameters(model=name), INFO, initialize=False)
    with pytest.raises(UserError, match="retinanet_resnet50_fpn"):
        make_data(Hyperparameters(model="retinanet_resnet50"))


@pytest.mark.parametrize("name", [FASTER_RCNN, "retinanet_resnet50_fpn", SSD])
def test_pretrained_weights_get_a_new_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    trained = models.get_model(name, weights_backbone=None).state_dict()
    folder, url = tmp_path / "hub" / "checkpoints", models.get_model_weights(name).DEFAULT.url
    folder.mkdir(parents=True)
    torch.save(trained, folder / Path(url).name)
    hparams = Hyperparameters(model=name, pretrained=True, freeze_backbone=True)
    model = make_model(hparams, INFO)
    state = model.state_dict()
    for key in trained:
        if key.startswith("backbone.") and key.endswith(".weight"):
            copied = state["detector." + key.replace("backbone.", "backbone.body.", 1)]
            assert torch.equal(copied, trained[key]), key
    learning = {key.split(".")[1] for key, p in model.named_parameters() if p.requires_grad}
    assert "backbone" not in learning and learning
    make_model(hparams, INFO, initialize=False).load_state_dict(state)


def test_the_curves_agree_with_the_metric() -> None:
    torch.manual_seed(0)
    corners, sizes = 60 * torch.rand(40, 4, 2), 15 + 20 * torch.rand(40, 4, 2)
    outputs = {"true_boxes": torch.cat([corners, corners + sizes], dim=2)}
    outputs["true_labels"] = labels = torch.randint(-1, 3, (40, 4))
    outputs["boxes"] = outputs["true_boxes"].repeat(1, 3, 1) + 3 * torch.randn(40, 12, 4)
    outputs["labels"] = labels.repeat(1, 3).where(torch.rand(40, 12) < 0.8, 1)
    outputs["scores"] = torch.rand(40, 12)
    metrics = Criterion(Hyperparameters(), INFO).metrics()
    for start in range(0, 40, 16):
        metrics.update({name: value[start : start + 16] for name, value in outputs.items()})
    matches = match({name: value.numpy() for name, value in outputs.items()})
    curves = [precision_curve(matches, label) for label in range(3)]
    map50 = float(np.mean([curve.average_precision for curve in curves]))
    assert 0.2 < map50 < 0.9
    # torchmetrics rounds recalls to float32.
    assert metrics.compute()["map50"].item() == pytest.approx(map50, abs=1e-3)
    assert sum(curve.num_objects for curve in curves) == (labels >= 0).sum()


def test_targets_are_drawn_around_the_centers_of_objects() -> None:
    boxes = torch.tensor([[8.0, 8, 24, 16], [40, 40, 60, 60]])
    target = {"boxes": boxes, "labels": torch.tensor([2, 0])}
    heat, weight, owners = draw_target(target, (3, 16, 16), stride=4)
    assert heat[2, 3, 4] == heat[0, 12, 12] == 1 and (heat == 1).sum() == 2
    assert heat[1].sum() == 0 and weight.sum().item() == pytest.approx(2)
    assert torch.equal(owners[3, 4], boxes[0]) and torch.equal(owners[12, 12], boxes[1])


def test_helpers_for_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10]])
    assert box_iou(boxes, boxes)[0, 1].item() == pytest.approx(1 / 3)
    assert convert_boxes(boxes, "xyxy", "cxcywh")[1].tolist() == [10, 5, 10, 10]


def test_one_batch_can_be_learned_by_heart() -> None:
    data = make_data(hparams := Hyperparameters(augment="none"))
    batch = data.train.__getitems__(BatchIndex(np.arange(4)))
    torch.manual_seed(0)
    criterion, model = Criterion(hparams, data.info), make_model(hparams, data.info)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        criterion.loss(model, batch).backward()
        optimizer.step()
    metrics = criterion.metrics()
    with torch.inference_mode():
        criterion.update(metrics, criterion.evaluate(model.eval(), batch))
    assert metrics.compute()["map50"] > 0.9
