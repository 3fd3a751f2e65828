"""The user's own data that the README of each task speaks of, and pretrained weights."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import models


def image_classification(project: Path) -> None:
    """Bright cats and dark dogs."""
    random = np.random.default_rng(0)
    for name, brightness in (("cat", 200), ("dog", 60)):
        (project / "data" / name).mkdir(parents=True)
        for number in range(8):
            low, high = brightness - 50, brightness + 50
            pixels = random.integers(low, high, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(project / "data" / name / f"{number}.jpg")
    save_weights(project, "resnet18")


def _rectangles(project: Path) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """Writes images of 50 × 40 pixels with a bright rectangle; gives x, y, width and height."""
    random = np.random.default_rng(0)
    (project / "data" / "images").mkdir(parents=True)
    for number in range(12):
        pixels = random.integers(0, 90, (40, 50, 3), dtype=np.uint8)
        x, y, w, h = (int(n) for n in random.integers((0, 0, 12, 12), (20, 15, 30, 25)))
        pixels[y : y + h, x : x + w] += 150
        Image.fromarray(pixels).save(project / "data" / "images" / f"{number}.jpg")
        yield number, (x, y, w, h)


def semantic_segmentation(project: Path) -> None:
    """Rectangles, and the ground around them."""
    for number, (x, y, w, h) in _rectangles(project):
        mask = np.zeros((40, 50), dtype=np.uint8)
        mask[y : y + h, x : x + w] = 1 + number % 2
        (project / "data" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(project / "data" / "masks" / f"{number}.png")
    names = '["ground", "road", "tree"]'
    (project / "data" / "classes.json").write_text(names, encoding="utf-8")
    save_weights(project, "deeplabv3_mobilenet_v3_large", aux_loss=True, weights_backbone=None)


def object_detection(project: Path) -> None:
    """Rectangles."""
    images, annotations = [], []
    for number, box in _rectangles(project):
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 50, "height": 40})
        annotations.append({"image_id": number, "category_id": 1, "bbox": box})
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "rectangle"}]
    path = project / "data" / "annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    save_weights(project, "fasterrcnn_mobilenet_v3_large_320_fpn", weights_backbone=None)


def tabular_regression(project: Path) -> None:
    """Prices, and ways to travel."""
    sizes = np.random.default_rng(0).uniform(30, 200, 100)
    rows = [f"{size:.0f},{'NS'[i % 2]},{size * 3:.0f}" for i, size in enumerate(sizes)]
    (project / "houses.csv").write_text("\n".join(["size,side,price", *rows]), encoding="utf-8")
    rows = [f"{size:.0f},{'near' if size < 100 else 'far'}" for size in sizes]
    (project / "visits.csv").write_text("\n".join(["km,way", *rows]), encoding="utf-8")


def text_classification(project: Path) -> None:
    """Praise and blame."""
    rows = [f"{('great', 'awful')[i % 2]} food on day {i},{'gb'[i % 2]}" for i in range(60)]
    (project / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")


def save_weights(project: Path, name: str, **options: object) -> None:
    """Random weights where torchvision finds those that it has downloaded, below TORCH_HOME."""
    file = Path(models.get_model_weights(name).DEFAULT.url).name
    folder = project / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(models.get_model(name, **options).state_dict(), folder / file)


MAKERS: dict[str, Callable[[Path], None]] = {
    maker.__name__: maker
    for maker in (
        image_classification,
        semantic_segmentation,
        object_detection,
        tabular_regression,
        text_classification,
    )
}
