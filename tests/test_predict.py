"""predict, for the user's own files: what it says is what validation said, to the last bit."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from conftest import Render
from PIL import Image
from readme_data import MAKERS

PACKAGE = "my_torch_project"
SPLITS = ["--val-fraction", "0.25", "--test-fraction", "0.25", "--epochs", "1"]

# In one process for each task: train, predict the validation samples, and compare. It goes on in
# test_library.py.
PROGRAM = f"""
import contextlib, io, json, sys
import numpy as np, torch
from {PACKAGE}.cli.main import main
from {PACKAGE}.cli.arguments import load_settings
from {PACKAGE}.loaders import make_data
from pathlib import Path

task, flags = sys.argv[1], sys.argv[2:]
assert main(["train", "--device", "cpu", "--run", "own", "--no-report", *flags]) == 0
data = make_data(load_settings(Path("runs/own")).hparams)
names = [data.val.describe(index) for index in range(len(data.val))]
files = ["val.csv"] if Path("val.csv").exists() else names
assert main(["predict", "own", *files, "--output", "own.jsonl", "--min-score", "0"]) == 0
rows = [json.loads(line) for line in open("own.jsonl", encoding="utf-8")]
saved = np.load("runs/own/predictions.npz")
assert [row[next(iter(row))] for row in rows] == names, (rows[0], names[0])
if "logits" in saved:
    expected = torch.from_numpy(saved["logits"]).softmax(1).max(1)
    assert [row["probability"] for row in rows] == expected.values.tolist()
    assert [row["class"] for row in rows] == [data.info.classes[i] for i in expected.indices]
elif "prediction" in saved:
    assert [row[data.info.target] for row in rows] == saved["prediction"].tolist()
    errors = np.abs(saved["prediction"] - saved["target"])
    price, low, high = np.array([list(row.values())[1:] for row in rows]).T
    assert list(rows[0])[1:] == ["price", "price_low", "price_high"]
    assert np.allclose(high - price, price - low)
    assert 0.9 <= np.mean(errors <= (high - low) / 2 + 1e-9) < 1
elif "scores" in saved:
    for row, scores, labels in zip(rows, saved["scores"], saved["labels"], strict=True):
        found = [(each["score"], each["class"]) for each in row["objects"]]
        kept = labels >= 0
        names = [data.info.classes[label] for label in labels[kept]]
        assert found == list(zip(scores[kept].tolist(), names, strict=True))
else:
    from {PACKAGE}.vision.run_lengths import from_runs
    for row, predicted in zip(rows, saved["predicted"], strict=True):
        masks = sum(
            data.info.classes.index(each["class"]) * from_runs(each["counts"], each["size"])
            for each in row["masks"]
        )
        assert (masks == predicted[:40, :50]).all()  # the images have 50 x 40 pixels
"""


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False
    )


FLAGS = {
    "image_classification": ["--data", "data"],
    "semantic_segmentation": ["--data", "data", "--image-size", "50"],
    "object_detection": ["--data", "data", "--image-size", "64"],
    "tabular_regression": ["--data", ".", "--target", "price"],
    "text_classification": ["--data", ".", "--model", "ngrams"],
}


def make_data(task: str, project: Path) -> None:
    """The data of the README; tables have their validation rows in val.csv."""
    MAKERS[task](project)
    names = {"tabular_regression": "houses.csv", "text_classification": "reviews.csv"}
    if task in names:
        head, *rows = (project / names[task]).read_text("utf-8").splitlines()
        for split, some in (("train", rows[:40]), ("val", rows[40:])):
            (project / f"{split}.csv").write_text("\n".join([head, *some]), encoding="utf-8")
        for path in (*project.glob("houses.csv"), *project.glob("visits.csv")):
            path.unlink()


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_done(
    render: Render, tmp_path: Path
) -> None:
    project = render(tmp_path, task="object_detection")
    MAKERS["object_detection"](project)
    flags = [*FLAGS["object_detection"], *SPLITS, "--run", "own", "--no-report", "--device", "cpu"]
    assert call(project, "train.py", *flags).returncode == 0
    images = project / "data" / "images"
    (project / "data").rename(project / "elsewhere")  # predict needs no training data
    images = project / "elsewhere" / "images"
    (images / "0.jpg").write_bytes(b"damaged")
    command = ["-m", PACKAGE, "predict", "own", "elsewhere/images"]
    done = call(project, *command, "--draw", "drawn", "--output", "boxes.csv")
    assert done.returncode == 1 and "0.jpg" in done.stderr and "Traceback" not in done.stderr
    assert len((project / "boxes.csv").read_text("utf-8").splitlines()) == 1 + 11
    pictures = sorted((project / "drawn").iterdir())
    assert len(pictures) == 11 and Image.open(pictures[0]).size == (50, 40)
    for wrong in (["nowhere.png"], ["elsewhere/images", "--output", "boxes.doc"]):
        done = call(project, "-m", PACKAGE, "predict", "own", *wrong)
        assert done.returncode == 2 and "Error: " in done.stderr


def test_tables_and_pictures_of_other_kinds_are_read_as_in_training(
    render: Render, tmp_path: Path
) -> None:
    project = render(tmp_path, task="tabular_regression")
    rows = [f"{size};{size * 2 + 0.5}".replace(".", ",") for size in np.arange(1.5, 61.5)]
    (project / "sizes.csv").write_text("\n".join(["size;price", *rows]), encoding="utf-8")
    flags = ["--data", "sizes.csv", "--target", "price", "--epochs", "1", "--no-report"]
    assert call(project, "train.py", *flags, "--run", "own").returncode == 0
    sizes = [row.partition(";")[0] for row in rows]
    (project / "comma.csv").write_text("\n".join(["size;other", *(f"{s};x" for s in sizes)]))
    points = [size.replace(",", ".") for size in sizes]
    (project / "point.csv").write_text("\n".join(["other,size", *(f"x,{s}" for s in points)]))
    answers = []
    for name in ("comma", "point"):
        done = call(project, "-m", PACKAGE, "predict", "own", f"{name}.csv", "--output", "a.jsonl")
        assert done.returncode == 0, done.stderr
        lines = (project / "a.jsonl").read_text("utf-8").splitlines()
        answers.append([json.loads(line)["price"] for line in lines])
    assert len(answers[0]) == 60 and answers[0] == answers[1]
