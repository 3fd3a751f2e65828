"""Boxes of every kind and layout that users have: read right, or said, or refused."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from conftest import Render
from PIL import Image

WIDTH, HEIGHT, COUNT = 64, 48, 12
CLASSES = ["bright", "dark"]
Box = tuple[str, float, float, float, float]
Json = dict[str, Any]
Edit = Callable[[Json], object]

# Reads folders with the rendered project, whose package is imported once for all tests.
READER = """
import json, sys, traceback
from pathlib import Path
from my_torch_project.engine.errors import UserError
from my_torch_project.hyperparameters import Hyperparameters
from my_torch_project.loaders import make_data

def read(folder):
    data = make_data(Hyperparameters(Path(folder), image_size=64, augment="none", cache_gib=0))
    found = {}
    for split, dataset in data.splits.items():
        for index in range(len(dataset)):
            image, target = dataset[index]
            boxes = zip(target["labels"].tolist(), target["boxes"].tolist())
            found[Path(dataset.describe(index)).stem] = {
                "split": split,
                "size": [image.shape[2], image.shape[1]],
                "boxes": [
                    [data.info.classes[label], x1, y1, x2 - x1, y2 - y1]
                    for label, (x1, y1, x2, y2) in boxes
                ],
                "brightness": [
                    image[:, round(y1) : round(y2), round(x1) : round(x2)].float().mean().item()
                    for x1, y1, x2, y2 in target["boxes"].tolist()
                ],
            }
    values = {
        what: {split: numbers.tolist() for split, numbers in splits.items()}
        for what, splits in data.report.values.items()
    }
    report = {"notes": data.report.notes, "classes": data.report.classes, "values": values}
    return {"images": found, "classes": data.info.classes, "report": report}

for line in sys.stdin:
    try:
        answer = read(json.loads(line))
    except UserError as error:
        answer = {"refused": str(error)}
    except Exception:
        answer = {"traceback": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


class Found:
    """What the project read from a folder."""

    def __init__(self, answer: Json) -> None:
        self.classes: list[str] = answer["classes"]
        self.report: Json = answer["report"]
        self.notes = "\n".join(self.report["notes"])
        self.images: Json = answer["images"]
        self.boxes: dict[str, list[Box]] = {
            name: sorted(tuple(box) for box in image["boxes"])
            for name, image in answer["images"].items()
        }

    def split(self, name: str) -> set[int]:
        """The numbers of the images of a split."""
        return {int(stem) for stem, image in self.images.items() if image["split"] == name}

    @property
    def num_boxes(self) -> int:
        return sum(map(len, self.boxes.values()))


class Reader:
    """Asks the process that reads."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def _ask(self, folder: Path) -> Json:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(folder)) + "\n")
        self.process.stdin.flush()
        answer: Json = json.loads(self.process.stdout.readline())
        assert "traceback" not in answer, answer["traceback"]
        return answer

    def read(self, folder: Path) -> Found:
        answer = self._ask(folder)
        assert "refused" not in answer, answer["refused"]
        return Found(answer)

    def refused(self, folder: Path) -> str:
        answer = self._ask(folder)
        assert "refused" in answer, answer["report"]["notes"]
        sentence: str = answer["refused"]
        return sentence


@pytest.fixture(scope="session")
def reader(rendered: Render) -> Iterator[Reader]:
    project = rendered(task="object_detection")
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", READER],
        cwd=project,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    yield Reader(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


# --- making folders ----------------------------------------------------------------------------


def truth(number: int) -> list[Box]:
    """A bright box in the left half of image number, and a dark one in its right half."""
    random = np.random.default_rng(100 + number)
    boxes: list[Box] = []
    for name, left in zip(CLASSES, (0, 32), strict=True):
        w, h = (int(side) for side in random.integers((6, 8), (14, 20)))
        x, y = (int(corner) for corner in random.integers((left + 2, 2), (left + 16, 26)))
        boxes.append((name, x, y, w, h))
    return boxes


def picture(number: int) -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for name, x, y, w, h in truth(number):
        pixels[int(y) : int(y + h), int(x) : int(x + w)] = 250 if name == "bright" else 5
    return Image.fromarray(pixels)


def save_images(
    folder: Path, numbers: range, name: str = "{}.png", orientation: int | None = None
) -> None:
    """Images as they are seen; with an orientation, stored turned as a camera does."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    back |= {5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE}
    back |= {8: Image.Transpose.ROTATE_270}
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        image, exif = picture(number), Image.Exif()
        if orientation:
            exif[0x0112] = orientation
            image = image.transpose(back[orientation])
        image.save(folder / name.format(number), exif=exif)


ALL = range(COUNT)


def coco_json(numbers: range = ALL, name: str = "{}.png") -> Json:
    """What COCO's JSON says about the images."""
    images: list[Json] = []
    annotations: list[Json] = []
    for i in numbers:
        size = {"width": WIDTH, "height": HEIGHT}
        images.append({"id": i, "file_name": name.format(i)} | size)
        for label, *bbox in truth(i):
            record = {"id": len(annotations) + 1, "image_id": i, "bbox": bbox, "iscrowd": 0}
            annotations.append(record | {"category_id": CLASSES.index(label) + 1})
    categories = [{"id": n, "name": label} for n, label in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(
    root: Path,
    edit: Edit = lambda content: None,
    *,
    numbers: range = ALL,
    name: str = "{}.png",
    images: str = "images",
    file: str = "annotations.json",
    prefix: bytes = b"",
) -> Path:
    """A folder with COCO's JSON, changed by ``edit``."""
    save_images(root / images, numbers)
    content = coco_json(numbers, name)
    edit(content)
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(prefix + json.dumps(content).encode())
    return root


def change(kind: str, **values: Callable[[Any], Any]) -> Edit:
    """An edit that changes these fields of all records of a kind."""

    def edit(content: Json) -> None:
        for record in content[kind]:
            record |= {name: value(record[name]) for name, value in values.items()}

    return edit


def yolo_line(box: Box) -> str:
    name, x, y, w, h = box
    fractions = (x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT
    return " ".join([str(CLASSES.index(name)), *(f"{number:.6f}" for number in fractions)])


def outline(box: Box) -> str:
    name, x, y, w, h = box
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    points = " ".join(f"{px / WIDTH:.6f} {py / HEIGHT:.6f}" for px, py in corners)
    return f"{CLASSES.index(name)} {points}"


def yolo(
    root: Path,
    line: Callable[[Box], str] = yolo_line,
    *,
    numbers: range = ALL,
    images: str = "images",
    labels: str = "labels",
    suffix: str = ".txt",
    config: str | None = "names: [bright, dark]\n",
    file: str = "data.yaml",
    end: str = "\n",
    encoding: str = "utf-8",
) -> Path:
    """A folder with YOLO's text files."""
    save_images(root / images, numbers)
    (root / labels).mkdir(parents=True, exist_ok=True)
    for i in numbers:
        text = end.join(line(box) for box in truth(i)) + end
        (root / labels / f"{i}{suffix}").write_bytes(text.encode(encoding))
    if config is not None:
        (root / file).write_text(config, encoding="utf-8")
    return root


def voc_xml(number: int) -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin>"
        f"<ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>"
        for name, x, y, w, h in truth(number)
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    return f"<annotation><filename>{number}.png</filename>{size}{objects}</annotation>"


def voc(root: Path, images: str = "JPEGImages", xmls: str = "Annotations") -> Path:
    """A folder with Pascal VOC's XML files."""
    save_images(root / images, ALL)
    (root / xmls).mkdir(parents=True, exist_ok=True)
    for i in ALL:
        (root / xmls / f"{i}.xml").write_text(voc_xml(i), encoding="utf-8")
    return root


def cvat(root: Path, body: Callable[[Box], str], subset: Callable[[int], str]) -> Path:
    """A folder with a file of CVAT's XML 1.1."""
    save_images(root / "images", ALL)
    records = "".join(
        f'<image id="{i}" name="{i}.png" {subset(i)} width="{WIDTH}" height="{HEIGHT}">'
        f"{''.join(body(box) for box in truth(i))}</image>"
        for i in ALL
    )
    text = f"<annotations><version>1.1</version>{records}</annotations>"
    (root / "annotations.xml").write_text(text, encoding="utf-8")
    return root


def assert_true(found: Found, numbers: range = ALL, names: dict[str, str] | None = None) -> None:
    """All images are there, with their true boxes and classes, and the pixels agree."""
    names = names or {}
    assert set(found.boxes) == {str(i) for i in numbers}
    for i in numbers:
        expected = sorted((names.get(name, name), *box) for name, *box in truth(i))
        assert len(found.boxes[str(i)]) == len(expected), (i, found.boxes[str(i)])
        for (name, *box), (true_name, *true_box) in zip(found.boxes[str(i)], expected, strict=True):
            assert name == true_name
            assert box == pytest.approx(true_box, abs=0.05), i
        for (name, *_), brightness in zip(
            found.images[str(i)]["boxes"], found.images[str(i)]["brightness"], strict=True
        ):
            assert brightness == pytest.approx(250 if name == names.get("bright", "bright") else 5)


# --- COCO --------------------------------------------------------------------------------------


def drop(*names: str, kind: str) -> Edit:
    def edit(content: Json) -> None:
        for record in content[kind]:
            for name in names:
                del record[name]

    return edit


def rle(bbox: list[int]) -> Json:
    """The run lengths of a box, column by column."""
    x, y, w, h = bbox
    counts = [x * HEIGHT + y]
    for _ in range(w - 1):
        counts += [h, HEIGHT - h]
    return {
        "size": [HEIGHT, WIDTH],
        "counts": [*counts, h, (WIDTH - x - w) * HEIGHT + HEIGHT - y - h],
    }


def polygon(bbox: list[int]) -> list[list[int]]:
    x, y, w, h = bbox
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def segment(shape: Callable[[list[int]], Any], keep: Json) -> Edit:
    """Replace each bbox by a segmentation."""

    def edit(content: Json) -> None:
        for record in content["annotations"]:
            record["segmentation"] = shape(record.pop("bbox"))
            record |= keep

    return edit


def halves(bbox: list[int]) -> list[list[int]]:
    x, y, w, h = bbox
    return [*polygon([x, y, 2, 2]), *polygon([x + 2, y + 2, w - 2, h - 2])]


def both(*edits: Edit) -> Edit:
    def edit(content: Json) -> None:
        for one in edits:
            one(content)

    return edit


def add_category(number: object, name: str, **others: object) -> Edit:
    return lambda content: content["categories"].insert(0, {"id": number, "name": name, **others})


SAME_COCO: dict[str, tuple[Edit, str]] = {
    "as it should be": (lambda c: None, ""),
    "ids of images as texts": (change("images", id=str), ""),
    "ids of annotations' images as texts": (change("annotations", image_id=str), ""),
    "ids of images as floats": (change("images", id=float), ""),
    "ids of categories as texts": (change("categories", id=str), ""),
    "ids of annotations' categories as floats": (change("annotations", category_id=float), ""),
    "ids of images as names": (
        both(
            change("images", id=lambda i: f"img_{i}"),
            change("annotations", image_id=lambda i: f"img_{i}"),
        ),
        "",
    ),
    "ids with gaps": (
        both(
            change("categories", id=lambda i: i * 40),
            change("annotations", category_id=lambda i: i * 40),
        ),
        "",
    ),
    "sizes as floats": (change("images", width=float, height=float), ""),
    "sizes as texts": (change("images", width=str, height=str), ""),
    "no sizes": (drop("width", "height", kind="images"), ""),
    "sizes of zero": (change("images", width=lambda w: 0), ""),
    "numbers of boxes as texts": (
        change("annotations", bbox=lambda box: [str(number) for number in box]),
        "",
    ),
    "polygons": (segment(polygon, {}), "made of segmentations, as there was no bbox: 24 of 24"),
    "polygons of two parts": (segment(halves, {}), "made of segmentations"),
    "a flat polygon": (segment(lambda b: polygon(b)[0], {}), "made of segmentations"),
    "polygons and an empty bbox": (segment(polygon, {"bbox": []}), "made of segmentations"),
    "masks": (segment(rle, {}), "made of segmentations"),
    "folders before the name": (change("images", file_name="images/{}".format), ""),
    "folders of another machine": (change("images", file_name="C:\\data\\new\\{}".format), ""),
    "a path of a server": (change("images", file_name="/data/upload/1/{}".format), ""),
    "a query of a server": (change("images", file_name="/data/local/?d=images/{}".format), ""),
    "an address": (change("images", file_name="https://host/images/{}".format), ""),
    "a dot before the name": (change("images", file_name="./{}".format), ""),
    "a folder above": (change("images", file_name="../images/{}".format), ""),
    "capital suffixes": (change("images", file_name=lambda n: n.replace("png", "PNG")), ""),
    "no suffixes": (change("images", file_name=lambda n: n.removesuffix(".png")), ""),
    "Roboflow's root": (
        add_category(0, "things", supercategory="none"),
        "'things' (id 0) has no boxes and is left out",
    ),
    "Roboflow's root above others": (
        both(
            lambda c: [x.update(supercategory="all") for x in c["categories"]],
            add_category(0, "all"),
        ),
        "'all' (id 0) has no boxes",
    ),
    "Roboflow's root with the name of a class": (
        add_category(0, "bright", supercategory="none"),
        "is left out",
    ),
    "a category twice": (add_category(1, "bright"), ""),
    "an orphan": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"image_id": 77}),
        "their image is not listed: 1 of 25 annotations: annotation 25 of annotations.json",
    ),
    "a box without height": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [5, 5, 4, 0]}),
        "without width or height, left out: 1 of 25 boxes: 0.png (annotation 25 of annotations",
    ),
    "a box of negative width": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [5, 5, -4, 4]}),
        "without width or height, left out: 1 of 25",
    ),
    "a box that is not finite": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [5, 5, float("nan"), 4]}),
        "not finite, left out: 1 of 25",
    ),
    "a box outside": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [70, 5, 9, 4]}),
        "outside of their images, left out: 1 of 25",
    ),
    "a box twice": (
        lambda c: c["annotations"].append(c["annotations"][3] | {"id": 99}),
        "there twice, taken once: 1 of 25 boxes: 1.png",
    ),
    "an image twice": (
        lambda c: c["images"].append(c["images"][2] | {"id": 99}),
        "Images listed twice, taken once with the boxes of both: 1 of 12 images: 2.png",
    ),
    "a record twice": (lambda c: c["images"].append(c["images"][2]), "listed twice"),
    "an image that is missing": (
        lambda c: c["images"].append(c["images"][2] | {"id": 99, "file_name": "gone.png"}),
        "not there and left out: 1 of 13 images: gone.png",
    ),
    "boxes of a missing image": (
        both(
            lambda c: c["images"].append(c["images"][2] | {"id": 99, "file_name": "gone.png"}),
            lambda c: c["annotations"].append(c["annotations"][2] | {"image_id": 99}),
        ),
        "gone.png",
    ),
    "a crowd": (
        lambda c: c["annotations"].append(c["annotations"][2] | {"iscrowd": 1}),
        "crowds (iscrowd), left out: 1 of 25 annotations",
    ),
    "iscrowd as text": (change("annotations", iscrowd=str), ""),
}


@pytest.mark.parametrize("kind", SAME_COCO)
def test_coco_is_read_right_however_it_is_written(
    kind: str, reader: Reader, tmp_path: Path
) -> None:
    edit, words = SAME_COCO[kind]
    found = reader.read(coco(tmp_path, edit))
    assert_true(found)
    assert found.classes == CLASSES
    assert words in found.notes
    assert words or len(found.report["notes"]) == 1, found.notes


def test_compressed_masks_give_boxes(reader: Reader, tmp_path: Path) -> None:
    mask = importlib.import_module("faster_coco_eval").mask

    def compressed(bbox: list[int]) -> Json:
        encoded = mask.frPyObjects(rle(bbox), HEIGHT, WIDTH)
        return {"size": encoded["size"], "counts": encoded["counts"].decode()}

    found = reader.read(coco(tmp_path, segment(compressed, {})))
    assert_true(found)
    assert "Boxes made of segmentations, as there was no bbox" in found.notes


def test_a_byte_order_mark_does_no_harm(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(coco(tmp_path, prefix=b"\xef\xbb\xbf"))
    assert_true(found)
    assert found.classes == ["bright", "dark"]


def test_boxes_beyond_their_images_are_clipped(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        content["annotations"][0]["bbox"] = [-4, 5, 20, 10]
        content["annotations"][1]["bbox"] = [50, 40, 30, 20]

    found = reader.read(coco(tmp_path, edit))
    (_, *left), (_, *right) = found.boxes["0"]
    assert left == pytest.approx([0, 5, 16, 10], abs=0.01)
    assert right == pytest.approx([50, 40, 14, 8], abs=0.01)
    assert "beyond their images, clipped: 2 of 24 boxes: 0.png (annotation 1 of" in found.notes


def test_names_are_found_when_they_are_quoted_or_decomposed(reader: Reader, tmp_path: Path) -> None:
    spellings: list[Callable[[str], str]] = [quote, str]
    for number, spell in enumerate(spellings):
        root = tmp_path / str(number)
        save_images(root / "images", ALL, "Stra\u00dfe caf\u00e9 {}.png")
        composed = "Stra\u00dfe cafe\u0301 {}.png" if number else "Stra\u00dfe caf\u00e9 {}.png"
        content = coco_json(name=composed)
        change("images", file_name=spell)(content)
        (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
        assert reader.read(root).num_boxes == 2 * COUNT


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
def test_boxes_of_upright_images_stay(orientation: int, reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path, name="{}.jpg")
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    save_images(tmp_path / "images", ALL, "{}.jpg", orientation)
    found = reader.read(tmp_path)
    assert found.images["0"]["size"] == [WIDTH, HEIGHT]
    for i in ALL:
        for (_, *box), (_, *true_box) in zip(found.boxes[str(i)], truth(i), strict=True):
            assert box == pytest.approx(true_box, abs=0.05)


def turned(box: list[float], orientation: int) -> list[float]:
    """A box of the image as it is seen, for the image as it is stored."""
    x, y, w, h = box
    if orientation == 6:  # the camera was turned: its columns are what is seen as rows
        return [y, WIDTH - x - w, h, w]
    if orientation == 8:
        return [HEIGHT - y - h, x, h, w]
    if orientation == 5:
        return [y, x, h, w]
    return [HEIGHT - y - h, WIDTH - x - w, h, w]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_images_as_they_are_stored_are_turned(
    orientation: int, reader: Reader, tmp_path: Path
) -> None:
    save_images(tmp_path / "images", ALL, "{}.png", orientation)
    content = coco_json()
    change("images", width=lambda _: HEIGHT, height=lambda _: WIDTH)(content)
    change("annotations", bbox=lambda box: turned(box, orientation))(content)
    (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found)
    assert "without the EXIF orientation, the boxes are too, and are turned" in found.notes


def test_only_the_sizes_may_be_those_of_stored_images(reader: Reader, tmp_path: Path) -> None:
    save_images(tmp_path / "images", ALL, "{}.png", 6)
    content = coco_json()
    change("images", width=lambda _: HEIGHT, height=lambda _: WIDTH)(content)
    (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found)
    assert "the boxes fit the images as they are seen" in found.notes


def test_images_without_boxes_are_background(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        content["annotations"] = [x for x in content["annotations"] if x["image_id"] % 4]

    found = reader.read(coco(tmp_path, edit))
    assert len(found.images) == COUNT and found.num_boxes == 18
    assert "train: without boxes, kept as background:" in found.notes


def test_classes_are_named_by_ids_where_they_have_no_names(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(coco(tmp_path, lambda c: c.pop("categories")))
    assert_true(found, names={"bright": "1", "dark": "2"})
    assert "has no categories: the classes are named by their ids" in found.notes


def test_a_category_without_boxes_is_said(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(coco(tmp_path, add_category(9, "grey")))
    assert set(found.classes) == {"bright", "dark", "grey"}
    assert "train has no sample of 1 of 3 classes: grey" in found.notes
    assert found.report["classes"]["train"] == {"bright": 8, "dark": 8, "grey": 0}


def test_a_first_category_with_boxes_is_kept(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        add_category(0, "things", supercategory="none")(content)
        content["annotations"][0]["category_id"] = 0

    found = reader.read(coco(tmp_path, edit))
    assert found.classes == ["things", "bright", "dark"] and found.boxes["0"][1][0] == "things"


def test_categories_with_the_same_name_are_one_class(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        add_category(5, "dark")(content)
        content["annotations"][1]["category_id"] = 5

    found = reader.read(coco(tmp_path, edit))
    assert_true(found)
    assert "the same name and are one class: 1 of 3 categories: dark" in found.notes


def test_one_box_with_two_classes_is_said(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        content["annotations"].append(content["annotations"][0] | {"category_id": 2})

    found = reader.read(coco(tmp_path, edit))
    assert found.num_boxes == 25 and "with several classes, kept: 1 of 25 boxes" in found.notes


def test_images_that_no_file_lists_are_said(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        content["images"] = content["images"][:-2]

    found = reader.read(coco(tmp_path, edit))
    assert_true(found, range(COUNT - 2))
    assert "no annotation file lists them: 2 of 12 image files: 10.png, 11.png" in found.notes
    assert "their image is not listed: 4 of 24 annotations" in found.notes


REFUSED_COCO: dict[str, tuple[Edit, str]] = {
    "all images missing": (
        change("images", file_name="x{}".format),
        "not there: 12 of 12 images, for example x0.png, x1.png, x2.png. They were looked for in",
    ),
    "all annotations orphans": (
        change("annotations", image_id=lambda i: i + 500),
        "image_id is that of no image in 24 of 24 annotations",
    ),
    "categories that are not listed": (
        change("annotations", category_id=lambda i: i * 2),
        "category that is not listed: 12 of 24 annotations, for example annotation 2 of",
    ),
    "boxes that are words": (
        change("annotations", bbox=lambda box: ["a", *box[1:]]),
        "Neither bbox [x, y, width, height] nor segmentation: 24 of 24 annotations",
    ),
    "boxes of three numbers": (
        change("annotations", bbox=lambda box: box[:3]),
        "Neither bbox [x, y, width, height] nor segmentation: 24 of 24",
    ),
    "corners": (
        change("annotations", bbox=lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]),
        "look like corners (x1, y1, x2, y2)",
    ),
    "fractions": (
        change("annotations", bbox=lambda b: [b[0] / 64, b[1] / 48, b[2] / 64, b[3] / 48]),
        "must be pixels, not fractions",
    ),
    "boxes of larger images": (
        change("annotations", bbox=lambda b: [4 * number for number in b]),
        "Most boxes are not inside their images",
    ),
    "other images": (
        change("images", width=lambda w: 2 * w),
        "0.png has 64 × 48 pixels, its boxes are for 128 × 48",
    ),
    "an id twice": (
        lambda c: c["images"][1].update(id=0),
        "Images with the same id; number them anew: 1 of 24 annotations: 0 (0.png, 1.png)",
    ),
    "a category's id twice": (add_category(1, "other"), "categories with the same id"),
    "a category without a name": (lambda c: c["categories"][0].pop("name"), "without id or name"),
    "no images": (lambda c: c.update(images=[], annotations=[]), "no training images"),
    "no boxes": (lambda c: c.update(annotations=[]), "None of the 12 training images has a box"),
    "a list that is none": (lambda c: c.update(annotations={"a": 1}), "must be lists of objects"),
}


@pytest.mark.parametrize("kind", REFUSED_COCO)
def test_coco_that_cannot_be_right_is_refused(kind: str, reader: Reader, tmp_path: Path) -> None:
    edit, words = REFUSED_COCO[kind]
    assert words in reader.refused(coco(tmp_path, edit))


def test_two_names_for_one_file_are_refused(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        content["images"][1]["file_name"] = "other/0.png"

    assert "different names that fit the same file" in reader.refused(coco(tmp_path, edit))


# --- layouts of COCO ---------------------------------------------------------------------------

PARTS = {"train": range(8), "val": range(8, 10), "test": range(10, 12)}


def in_parts(root: Path, images: str, file: str, names: dict[str, str], **others: Any) -> Path:
    for part, numbers in PARTS.items():
        name = names[part]
        coco(root, numbers=numbers, images=images.format(name), file=file.format(name), **others)
    return root


PLAIN = {"train": "train", "val": "val", "test": "test"}
ROBOFLOW = PLAIN | {"val": "valid"}
YEARS = {part: f"{part}2017" for part in PARTS}
LOUD = {"train": "Training", "val": "Validation", "test": "Testing"}
COCO_PARTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "files beside images": ("images", "{}.json", PLAIN),
    "files and folders": ("images/{}", "{}.json", PLAIN),
    "Roboflow": ("{}", "{}/_annotations.coco.json", ROBOFLOW),
    "as published": ("{}", "annotations/instances_{}.json", YEARS),
    "as published, in images": ("images/{}", "annotations/instances_{}.json", YEARS),
    "names of tools": ("{}/images", "labels/{}_coco.json", LOUD),
    "dev": ("{}", "annotations/{}.json", PLAIN | {"val": "dev"}),
    "folders of another name": ("pictures/{}", "{}_annotations.json", PLAIN),
}


@pytest.mark.parametrize("layout", COCO_PARTS)
def test_splits_of_coco_are_found(layout: str, reader: Reader, tmp_path: Path) -> None:
    images, file, names = COCO_PARTS[layout]
    found = reader.read(in_parts(tmp_path, images, file, names))
    assert_true(found)
    for part, numbers in PARTS.items():
        assert found.split(part) == set(numbers)


COCO_WHOLE = {
    "CVAT": ("images/default", "annotations/instances_default.json", "{}.png"),
    "Label Studio": ("images", "result.json", "images\\{}.png"),
    "FiftyOne": ("data", "labels.json", "{}.png"),
    "all in one folder": (".", "annotations.json", "{}.png"),
    "an unusual folder": ("my pictures", "export.json", "{}.png"),
    "a folder in the name": ("images/day 1", "annotations.json", "day 1/{}.png"),
}


@pytest.mark.parametrize("layout", COCO_WHOLE)
def test_one_file_for_all_images_is_found(layout: str, reader: Reader, tmp_path: Path) -> None:
    images, file, name = COCO_WHOLE[layout]
    found = reader.read(coco(tmp_path, images=images, file=file, name=name))
    assert_true(found)
    assert all(map(found.split, ("train", "val", "test")))


def test_one_file_may_have_images_in_folders_of_splits(reader: Reader, tmp_path: Path) -> None:
    content = coco_json()
    for part, numbers in PARTS.items():
        save_images(tmp_path / "images" / part, numbers)
        for i in numbers:
            content["images"][i]["file_name"] = f"{part}/{i}.png"
    (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found)
    assert found.split("test") == set(PARTS["test"])


def test_categories_of_splits_are_matched_by_their_names(reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path, numbers=range(8), file="train.json")
    swap = both(
        change("categories", id=lambda i: 12 - i),
        change("annotations", category_id=lambda i: 12 - i),
    )
    coco(tmp_path, both(swap, add_category(3, "grey")), numbers=range(8, 12), file="val.json")
    found = reader.read(tmp_path)
    assert_true(found)
    assert found.classes == [*CLASSES, "grey"]
    assert "Not in train.json, but in val.json: 1 of 3 categories: grey" in found.notes


def test_splits_without_a_common_category_are_refused(reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path, numbers=range(8), file="train.json")
    coco(tmp_path, change("categories", name=str.upper), numbers=range(8, 12), file="val.json")
    assert "no category in common: BRIGHT, DARK and bright, dark" in reader.refused(tmp_path)


def test_an_image_in_two_splits_is_refused(reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path, numbers=range(8), file="train.json")
    coco(tmp_path, numbers=range(6, 12), file="val.json")
    assert "In two splits: 2 of 12 images:" in reader.refused(tmp_path)


def test_an_image_of_another_split_is_not_taken(reader: Reader, tmp_path: Path) -> None:
    """The same name means another image in another split."""
    in_parts(tmp_path, "images/{}", "{}.json", PLAIN)
    (tmp_path / "images" / "val" / "8.png").rename(tmp_path / "images" / "train" / "8.png")
    found = reader.read(tmp_path)
    assert (
        found.split("val") == {9} and "not there and left out: 1 of 2 images: 8.png" in found.notes
    )


def test_captions_and_other_files_beside_instances_are_left_aside(
    reader: Reader, tmp_path: Path
) -> None:
    in_parts(tmp_path, "{}", "annotations/instances_{}.json", YEARS)
    for name in ("captions_train2017.json", "person_keypoints_train2017.json"):
        (tmp_path / "annotations" / name).write_text("not even read", encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found)
    assert "Left aside: 2 of 5 JSON files: captions_train2017.json" in found.notes


def test_a_split_without_boxes_is_left_aside(reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path, numbers=range(8), file="train.json")
    coco(tmp_path, lambda c: c.pop("annotations"), numbers=range(8, 12), file="test.json")
    found = reader.read(tmp_path)
    assert_true(found, range(8))
    assert "The 4 images of test have no boxes and are left aside" in found.notes


def test_annotation_files_that_contradict_each_other_are_refused(
    reader: Reader, tmp_path: Path
) -> None:
    coco(tmp_path)
    coco(tmp_path, file="result.json")
    assert "are both annotations of all images. Keep one" in reader.refused(tmp_path)
    coco(tmp_path, file="annotations/val.json")
    (tmp_path / "result.json").unlink()
    (tmp_path / "annotations.json").unlink()
    assert "has no training images, only those of val" in reader.refused(tmp_path)
    (tmp_path / "train.json").write_text("{", encoding="utf-8")
    assert "train.json is not valid JSON" in reader.refused(tmp_path)


# --- YOLO --------------------------------------------------------------------------------------

LINES: dict[str, tuple[Callable[[Box], str], str]] = {
    "as it should be": (yolo_line, ""),
    "spaces and tabs": (lambda box: " " + yolo_line(box).replace(" ", " \t ") + "  ", ""),
    "a class as a float": (lambda box: yolo_line(box).replace(" ", ".0 ", 1), ""),
    "outlines": (outline, "outlines, whose surrounding boxes are used: 24 of 24 lines"),
    "outlines and boxes": (
        lambda box: outline(box) if box[0] == "dark" else yolo_line(box),
        "outlines, whose surrounding boxes are used: 12 of 24 lines",
    ),
    "closed outlines": (
        lambda box: " ".join([*outline(box).split(), *outline(box).split()[1:3]]),
        "outlines",
    ),
    "scores": (lambda box: yolo_line(box) + " 0.93", "sixth number (a score), which is left out"),
    "commas": (lambda box: yolo_line(box).replace(" ", ","), "Lines with commas"),
    "commas and spaces": (lambda box: yolo_line(box).replace(" ", ", "), "Lines with commas"),
    "decimal commas": (lambda box: yolo_line(box).replace(".", ","), "Lines with commas"),
    "semicolons": (
        lambda box: yolo_line(box).replace(".", ",").replace(" ", ";"),
        "Lines with commas",
    ),
    "boxes twice": (
        lambda box: f"{yolo_line(box)}\n{yolo_line(box)}",
        "there twice, taken once: 24 of 48 boxes",
    ),
    "empty lines": (lambda box: f"\n{yolo_line(box)}\n\n", ""),
}


@pytest.mark.parametrize("kind", LINES)
def test_lines_of_yolo_are_read_right(kind: str, reader: Reader, tmp_path: Path) -> None:
    line, words = LINES[kind]
    found = reader.read(yolo(tmp_path, line))
    assert_true(found)
    assert found.classes == CLASSES and words in found.notes
    assert words or len(found.report["notes"]) == 1, found.notes


@pytest.mark.parametrize("how", [{"end": "\r\n"}, {"encoding": "utf-8-sig"}, {"suffix": ".TXT"}])
def test_files_of_yolo_may_come_from_windows(
    how: dict[str, str], reader: Reader, tmp_path: Path
) -> None:
    found = reader.read(yolo(tmp_path, **how))  # type: ignore[arg-type]
    assert_true(found)
    assert found.classes == ["bright", "dark"]


def test_keypoints_of_yolo_are_left_out(reader: Reader, tmp_path: Path) -> None:
    config = "names: [bright, dark]\nkpt_shape: [2, 3]\n"
    line: Callable[[Box], str] = lambda box: yolo_line(box) + " 0.1 0.1 2 0.9 0.9 2"  # noqa: E731
    found = reader.read(yolo(tmp_path, line, config=config))
    assert_true(found)
    assert "Lines with keypoints, which are left out: 24 of 24 lines" in found.notes


NAMES = {
    "a list": ("names: [bright, dark]\nnc: 2\n", "data.yaml"),
    "a map": ("nc: 2\nnames:\n  0: bright\n  1: dark # or so\n", "data.yaml"),
    "lines": ("names:\n- 'bright'\n- \"dark\"\n", "data.yml"),
    "another name": ("names: [bright, dark]", "dataset.yaml"),
    "any name": ("path: .\nnames: [bright, dark]", "shades.yaml"),
    "darknet's names": ("bright\ndark\n", "obj.names"),
    "classes.txt": ("bright\r\ndark\r\n", "classes.txt"),
    "classes.txt with labels": ("bright\ndark", "labels/classes.txt"),
    "Roboflow's darknet": ("bright\ndark\n", "labels/_darknet.labels"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_classes_are_found(kind: str, reader: Reader, tmp_path: Path) -> None:
    config, file = NAMES[kind]
    found = reader.read(yolo(tmp_path, config=config, file=file))
    assert_true(found)
    assert found.classes == CLASSES and len(found.report["notes"]) == 1


def test_names_may_be_numbered_from_one_or_with_gaps(reader: Reader, tmp_path: Path) -> None:
    for first, second in ((1, 2), (3, 40)):
        root = tmp_path / str(first)
        line = lambda box: f"{first if box[0] == 'bright' else second}{yolo_line(box)[1:]}"  # noqa: B023, E731
        config = f"names:\n  {first}: bright\n  {second}: dark\n"
        found = reader.read(yolo(root, line, config=config))
        assert_true(found)
        assert found.classes == ["bright", "dark"]


def test_words_of_yaml_are_names_like_others(reader: Reader, tmp_path: Path) -> None:
    assert reader.read(yolo(tmp_path, config="names: [no, 1.10]")).classes == ["no", "1.10"]


def test_classes_without_names_are_numbers(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(yolo(tmp_path, config=None))
    assert_true(found, names={"bright": "0", "dark": "1"})
    assert "they are named by their numbers" in found.notes


PLACES = {
    "images and labels": ("images", "labels"),
    "capital letters": ("Images", "Labels"),
    "one label folder": ("img", "label"),
    "the same folder": ("images", "images"),
    "all in one folder": (".", "."),
    "darknet": ("obj_train_data", "obj_train_data"),
    "folders in folders": ("images/a/b", "labels/a/b"),
    "an export in a folder": ("export/images", "export/labels"),
    "images with labels below": ("pictures", "pictures/labels"),
}


@pytest.mark.parametrize("layout", PLACES)
def test_label_files_are_found(layout: str, reader: Reader, tmp_path: Path) -> None:
    images, labels = PLACES[layout]
    found = reader.read(yolo(tmp_path, images=images, labels=labels))
    assert_true(found)
    assert "read from YOLO's text files" in found.notes


def test_label_files_may_have_the_suffix_of_the_image(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(yolo(tmp_path, suffix=".png.txt"))
    assert_true(found)
    assert "Without a label file" not in found.notes


YOLO_PARTS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "splits below": ("images/{}", "labels/{}", PLAIN, ""),
    "splits above": ("{}/images", "{}/labels", ROBOFLOW, ""),
    "years": ("images/{}", "labels/{}", YEARS, "train: images/train2017\nval: images/val2017\n"),
    "splits alone": ("{}", "{}", LOUD, ""),
    "Roboflow": (
        "{}/images",
        "{}/labels",
        ROBOFLOW,
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n",
    ),
    "a path": (
        "images/{}",
        "labels/{}",
        PLAIN,
        "path: ../sets/x\ntrain: images/train\nval: images/val\n",
    ),
    "another machine": (
        "{}/images",
        "{}/labels",
        PLAIN,
        "train: /content/x/train/images\nval: /content/x/val/images\ntest: \n",
    ),
    "names of one's own": (
        "{}/images",
        "{}/labels",
        {"train": "a", "val": "b", "test": "c"},
        "train: [a/images]\nval: b\ntest: c/images\n",
    ),
}


@pytest.mark.parametrize("layout", YOLO_PARTS)
def test_splits_of_yolo_are_found(layout: str, reader: Reader, tmp_path: Path) -> None:
    images, labels, names, config = YOLO_PARTS[layout]
    for part, numbers in PARTS.items():
        name = names[part]
        yolo(
            tmp_path,
            numbers=numbers,
            images=images.format(name),
            labels=labels.format(name),
            config=config + "names: [bright, dark]\n",
        )
    found = reader.read(tmp_path)
    assert_true(found)
    for part, numbers in PARTS.items():
        assert found.split(part) == set(numbers)


@pytest.mark.parametrize("by_yaml", [True, False])
def test_splits_may_be_lists_of_images(by_yaml: bool, reader: Reader, tmp_path: Path) -> None:
    folder = "images" if by_yaml else "obj_train_data"
    yolo(tmp_path, images=folder, labels="labels" if by_yaml else folder)
    for name, numbers in (("train", range(8)), ("valid", range(8, 12))):
        lines = [f"data/{folder}/{i}.png" for i in numbers]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    if by_yaml:
        config = "train: train.txt\nval: ./valid.txt\nnames: [bright, dark]\n"
        (tmp_path / "data.yaml").write_text(config, encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found)
    assert found.split("val") == {8, 9, 10, 11}


def test_a_validation_set_that_is_the_training_set_is_not_used(
    reader: Reader, tmp_path: Path
) -> None:
    config = "train: images\nval: images\nnames: [bright, dark]\n"
    found = reader.read(yolo(tmp_path, config=config))
    assert_true(found)
    assert len(found.split("train")) == 8
    assert "The val images are those of train. Others are split off instead" in found.notes


def test_folders_that_data_yaml_names_but_are_not_there_are_said(
    reader: Reader, tmp_path: Path
) -> None:
    config = "train: images/train\nval: images/val\nnames: [bright, dark]\n"
    found = reader.read(yolo(tmp_path, config=config))
    assert_true(found)
    assert "is not there and left aside: /images/train" in found.notes


def test_images_without_label_files_are_background(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "3.txt").unlink()
    (tmp_path / "labels" / "4.txt").write_text(" \n", encoding="utf-8")
    found = reader.read(tmp_path)
    assert found.boxes["3"] == found.boxes["4"] == [] and found.num_boxes == 20
    assert "Without a label file, read as images without objects: 1 of 12 images: 3" in found.notes


def test_other_files_are_left_aside(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels.cache").write_bytes(b"x")
    (tmp_path / "train.json").write_text("{}", encoding="utf-8")
    (tmp_path / "images" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "labels" / "README.txt").write_text("hello", encoding="utf-8")
    hidden = tmp_path / "labels" / ".ipynb_checkpoints"
    hidden.mkdir()
    found = reader.read(tmp_path)
    assert_true(found)
    assert "no image and no boxes: 1 of 13 text files: README.txt" in found.notes


def test_label_files_without_image_are_said(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "images" / "5.png").unlink()
    found = reader.read(tmp_path)
    assert len(found.boxes) == 11
    assert "because they have no image: 1 of 12 label files: 5.txt" in found.notes


def test_a_box_beyond_its_image_is_clipped_in_yolo_too(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "3.txt").write_text("0 0.97 0.5 0.1 0.25\n", encoding="utf-8")
    found = reader.read(tmp_path)
    ((_, *box),) = found.boxes["3"]
    assert box == pytest.approx(
        [0.92 * WIDTH, 0.375 * HEIGHT, 0.08 * WIDTH, 0.25 * HEIGHT], abs=0.01
    )
    assert "clipped: 1 of 23 boxes: 3.png (line 1 of 3.txt)" in found.notes


def test_coco_is_used_where_there_is_yolo_too_and_that_is_said(
    reader: Reader, tmp_path: Path
) -> None:
    yolo(tmp_path, lambda box: "0 0.5 0.5 0.1 0.1")
    found = reader.read(coco(tmp_path))
    assert_true(found)
    assert "Left aside, although they have the names of images: 12 of 12 other files" in found.notes


def scale(box: Box) -> str:
    name, x, y, w, h = box
    return f"{CLASSES.index(name)} {x + w / 2} {y + h / 2} {w} {h}"


def corners(box: Box) -> str:
    name, x, y, w, h = box
    numbers = x / WIDTH, y / HEIGHT, (x + w) / WIDTH, (y + h) / HEIGHT
    return " ".join([str(CLASSES.index(name)), *map(str, numbers)])


def plus(number: int) -> Callable[[Box], str]:
    return lambda box: f"{CLASSES.index(box[0]) + number}{yolo_line(box)[1:]}"


REFUSED_LINES: dict[str, tuple[Callable[[Box], str], str]] = {
    "pixels": (scale, "look like pixels, for example 0.png (line 1 of 0.txt)"),
    "corners": (corners, "look like corners (x1, y1, x2, y2)"),
    "classes from one": (
        plus(1),
        "names the classes 0, 1, but there are boxes of others. Class 2: 12 of 24 boxes, for "
        "example 0.png (line 2 of 0.txt), 1.png (line 2 of 1.txt), 10.png (line 2 of 10.txt). If 1 "
        "means bright, number the names: `1: bright`",
    ),
    "classes far off": (plus(7), "Class 7: 12 of 24 boxes"),
    "words": (lambda box: "cat" + yolo_line(box)[1:], "five numbers (class, center x, center y"),
    "a number too few": (lambda box: yolo_line(box)[:-9], "24 of 24 lines, for example line 1 of"),
    "half a class": (lambda box: "0.5" + yolo_line(box)[1:], "24 of 24 lines"),
    "a negative class": (lambda box: "-1" + yolo_line(box)[1:], "24 of 24 lines"),
    "an odd outline": (lambda box: outline(box) + " 0.5", "24 of 24 lines"),
}


@pytest.mark.parametrize("kind", REFUSED_LINES)
def test_lines_that_cannot_be_right_are_refused(kind: str, reader: Reader, tmp_path: Path) -> None:
    line, words = REFUSED_LINES[kind]
    assert words in reader.refused(yolo(tmp_path, line))


REFUSED_NAMES = {
    "names: {1: bright, 2: dark}": "Class 0: 12 of 24 boxes",
    "names: [bright]": "Class 1: 12 of 24 boxes",
    "names: [bright, dark]\nnc: 3": "has nc: 3, but 2 names",
    "names: [bright, bright]": "each with a name of its own",
    "names: bright": "must have the names of the classes: `names: [cat, dog]`",
    "names: [": "is not valid YAML",
}


@pytest.mark.parametrize("config", REFUSED_NAMES)
def test_names_that_cannot_be_right_are_refused(
    config: str, reader: Reader, tmp_path: Path
) -> None:
    assert REFUSED_NAMES[config] in reader.refused(yolo(tmp_path, config=config))


def test_label_files_that_do_not_fit_the_images_are_refused(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    for path in (tmp_path / "labels").iterdir():
        path.rename(path.with_name(f"label_{path.name}"))
    complaint = reader.refused(tmp_path)
    assert "12 label files have no image of the same name, for example" in complaint
    assert "so its labels must be in 0.txt" in complaint


def test_files_that_have_the_same_name_are_refused(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path)
    picture(3).save(tmp_path / "images" / "3.jpg")
    assert "have the same name (1 such pairs). Rename one" in reader.refused(tmp_path)


def test_two_folders_of_one_split_are_refused(reader: Reader, tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        yolo(tmp_path, images=f"{part}/images", labels=f"{part}/labels", numbers=range(4))
    complaint = reader.refused(tmp_path)
    assert "valid" in complaint and "names of the" in complaint


def test_folders_of_no_split_beside_train_are_said(reader: Reader, tmp_path: Path) -> None:
    yolo(tmp_path, images="train/images", labels="train/labels", numbers=range(8))
    yolo(tmp_path, images="unlabeled/images", labels="unlabeled/labels", numbers=range(8, 10))
    yolo(tmp_path, images="old/images", labels="old/labels", numbers=range(10, 12))
    found = reader.read(tmp_path)
    assert_true(found, range(8))
    assert "Left aside, in no split: 4 of 12 images" in found.notes


# --- XML ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout", [("JPEGImages", "Annotations"), ("images", "annotations"), (".", "."), ("a", "xml")]
)
def test_pascal_voc_is_read_right(layout: tuple[str, str], reader: Reader, tmp_path: Path) -> None:
    found = reader.read(voc(tmp_path, *layout))
    assert_true(found)
    assert found.classes == CLASSES


@pytest.mark.parametrize("train", ["train", "trainval"])
def test_lists_of_pascal_voc_are_its_splits(train: str, reader: Reader, tmp_path: Path) -> None:
    voc(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, numbers in ((train, range(7)), ("test", range(7, 10)), ("dark_train", range(12))):
        text = "".join(f"{i}\n" for i in numbers)
        (lists / f"{name}.txt").write_text(text, encoding="utf-8")
    found = reader.read(tmp_path)
    assert_true(found, range(10))
    assert found.split("test") == {7, 8, 9}
    assert "in no list of ImageSets/Main: 2 of 12 images: 10.png, 11.png" in found.notes


def test_pascal_voc_in_folders_of_splits(reader: Reader, tmp_path: Path) -> None:
    voc(tmp_path, ".", ".")
    for part, numbers in PARTS.items():
        (tmp_path / part).mkdir()
        for i in numbers:
            for suffix in ("png", "xml"):
                (tmp_path / f"{i}.{suffix}").rename(tmp_path / part / f"{i}.{suffix}")
    found = reader.read(tmp_path)
    assert_true(found)
    assert found.split("val") == {8, 9}


def test_images_that_xml_names_are_found(reader: Reader, tmp_path: Path) -> None:
    voc(tmp_path)
    for path in (tmp_path / "Annotations").iterdir():
        path.rename(path.with_name(f"note_{path.name}"))
    found = reader.read(tmp_path)
    assert_true(found)
    assert "read from XML" in found.notes


def test_xml_that_cannot_be_right_is_refused(reader: Reader, tmp_path: Path) -> None:
    path = voc(tmp_path) / "Annotations" / "3.xml"
    good = path.read_text("utf-8")
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + good.replace("3.png", "&a;")
    complaints = {
        bomb: "3.xml has a DOCTYPE",
        good[:-5]: "3.xml is not valid XML",
        good.replace(
            "<name>dark</name>", ""
        ): "without the name of a class: 1 of 24 objects: 3.png",
        good.replace(f"<width>{WIDTH}", "<width>99"): "3.png has 64 × 48 pixels",
    }
    for text, words in complaints.items():
        path.write_text(text, encoding="utf-8")
        assert words in reader.refused(tmp_path)


def cvat_box(box: Box) -> str:
    name, x, y, w, h = box
    return f'<box label="{name}" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}" occluded="0"/>'


def cvat_polygon(box: Box) -> str:
    name, x, y, w, h = box
    points = f"{x}.0,{y}.0;{x + w},{y};{x + w},{y + h};{x},{y + h}"
    return f'<polygon label="{name}" points="{points}" occluded="0"/>'


@pytest.mark.parametrize("body", [cvat_box, cvat_polygon])
def test_xml_of_cvat_is_read_right(
    body: Callable[[Box], str], reader: Reader, tmp_path: Path
) -> None:
    def subset(number: int) -> str:
        return f'subset="{"Train" if number < 8 else "Validation"}"'

    found = reader.read(cvat(tmp_path, body, subset))
    assert_true(found)
    assert found.split("val") == {8, 9, 10, 11}


def test_shapes_of_cvat_that_are_no_boxes_are_said(reader: Reader, tmp_path: Path) -> None:
    def body(box: Box) -> str:
        return cvat_box(box) + (f'<points label="{box[0]}" points="3,4"/>')

    found = reader.read(cvat(tmp_path, body, lambda number: ""))
    assert_true(found)
    assert "no boxes or outlines, left out: 24 of 48 objects" in found.notes


# --- the report, and a whole training ----------------------------------------------------------


def test_the_report_counts_and_measures_the_boxes(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(in_parts(tmp_path, "{}", "annotations/instances_{}.json", YEARS))
    counts = {part: {name: len(numbers) for name in CLASSES} for part, numbers in PARTS.items()}
    assert found.report["classes"] == counts
    values = found.report["values"]
    assert values["boxes in an image"]["train"] == [2] * 8
    widths = [100 * box[3] / WIDTH for i in PARTS["test"] for box in truth(i)]
    measured = values["box width in percent of the image"]["test"]
    assert sorted(measured) == pytest.approx(sorted(widths))
    assert "COCO's JSON" in found.notes


def test_boxes_that_are_tiny_in_training_are_counted(reader: Reader, tmp_path: Path) -> None:
    def edit(content: Json) -> None:
        for record in content["annotations"][:3]:
            record["bbox"][2:] = [9, 1]

    found = reader.read(coco(tmp_path, edit))
    assert "In training, 3 boxes are less than 2 pixels wide or high" in found.notes


def test_a_json_file_for_each_image_is_refused(reader: Reader, tmp_path: Path) -> None:
    save_images(tmp_path, ALL)
    for i in range(60):
        text = json.dumps({"version": "5", "shapes": [], "imagePath": f"{i}.png"})
        (tmp_path / f"{i}.json").write_text(text, encoding="utf-8")
    assert "Its 60 JSON files are not COCO's: convert them" in reader.refused(tmp_path)


def test_sizes_may_be_rounded(reader: Reader, tmp_path: Path) -> None:
    found = reader.read(coco(tmp_path, change("images", width=lambda w: w - 0.6)))
    assert found.num_boxes == 24


def test_folders_without_boxes_are_refused(reader: Reader, tmp_path: Path) -> None:
    save_images(tmp_path / "images", ALL)
    assert "neither annotations.json or train.json (COCO)" in reader.refused(tmp_path)
    assert "There is no folder" in reader.refused(tmp_path / "nowhere")
    assert f"Type --data {tmp_path}" in reader.refused(yolo(tmp_path) / "data.yaml")


def test_images_that_cannot_be_read_are_all_counted(reader: Reader, tmp_path: Path) -> None:
    coco(tmp_path)
    for number in (2, 5):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"no image")
    assert "2.png is not an image that can be read" in (complaint := reader.refused(tmp_path))
    assert "2 of 12 images cannot be used" in complaint


def test_a_published_layout_trains_from_the_command_line(rendered: Render, tmp_path: Path) -> None:
    in_parts(tmp_path / "data", "{}", "annotations/instances_{}.json", YEARS)
    project = rendered(task="object_detection")
    flags = [
        "--data",
        str(tmp_path / "data"),
        "--image-size",
        "64",
        "--epochs",
        "1",
        "--width",
        "8",
    ]
    done = subprocess.run(
        [
            sys.executable,
            str(project / "train.py"),
            *flags,
            "--device",
            "cpu",
            "--run",
            "boxes",
            "--no-report",
        ],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "runs" / "boxes" / "data.json").read_text("utf-8"))
    assert written["num_samples"] == {"train": 8, "val": 2, "test": 2}
    assert written["classes"]["train"] == {"bright": 8, "dark": 8}
