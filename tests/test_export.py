"""export and benchmark: files that say the same as the model, in a process without the project."""

import shutil
from pathlib import Path

import pytest
from conftest import Render
from test_predict import FLAGS, PACKAGE, SPLITS, call, make_data

pytest.importorskip("onnxruntime")

# In one process for each task: train, export, and follow reference.py from the files to answers.
PROGRAM = f"""
import json, sys
from pathlib import Path
import numpy as np
from {PACKAGE}.cli.main import main
from {PACKAGE}.cli.arguments import load_settings
from {PACKAGE}.loaders import make_data

flags = sys.argv[1:]
assert main(["train", "--device", "cpu", "--run", "own", "--no-report", *flags]) == 0
calibrate = ["evaluate", "own", "--calibrate", "--no-report", "--resamples", "0"]
is_calibrated = main(calibrate) == 0  # refused where there are no classes
quantized = ["--quantize", "int8"] if Path("data").exists() else []
assert main(["export", "own", *quantized]) == 0
folder = Path("runs/own/export")
data = make_data(load_settings(Path("runs/own")).hparams)
names = [data.val.describe(index) for index in range(len(data.val))]
files = ["val.csv"] if Path("val.csv").exists() else names
assert main(["predict", "own", *files, "--output", "own.jsonl", "--min-score", "0"]) == 0
rows = [json.loads(line) for line in open("own.jsonl", encoding="utf-8")]

import torch
inputs = torch.export.load(folder / "model.pt2").module()
sys.path.insert(0, str(folder))
from onnx_session import OnnxModel
import reference
model = OnnxModel(folder / "model.onnx")
known = model.metadata
if files == names:
    from PIL import Image
    for row in rows[:3]:
        pixels = np.asarray(Image.open(row["file"]))
        if hasattr(reference, "classes"):
            outputs = model(images=reference.prepare(pixels, known))
            answer = reference.classes(outputs, known)[0]
            assert abs(answer[row["class"]] - row["probability"]) < 0.05
        elif hasattr(reference, "masks"):
            outputs = model(images=reference.prepare(pixels))
            mask = reference.masks(outputs, *pixels.shape[:2])[0]
            from {PACKAGE}.vision.run_lengths import from_runs
            for each in row["masks"]:
                expected = from_runs(each["counts"], each["size"])
                found = mask == known["classes"].index(each["class"])
                assert (found == expected).mean() > 0.9
        else:
            outputs = model(images=reference.prepare(pixels))
            found = reference.detect(outputs, *pixels.shape[:2], known["hyperparameters"])[0]
            scores = [each["score"] for each in row["objects"]]
            assert len(scores) and abs(found["scores"][0] - scores[0]) < 0.05
            assert np.abs(found["boxes"][0] - row["objects"][0]["box"]).max() < 5
    batch = np.zeros((3, known.get("channels", 3), 17, 40), np.uint8)  # of another size and number
    assert len(next(iter(model(images=batch).values()))) == 3
    assert (folder / "model.int8.onnx").stat().st_size < (folder / "model.onnx").stat().st_size
    assert OnnxModel(folder / "model.int8.onnx").metadata == known
else:
    import csv
    cells = list(csv.DictReader(open("val.csv", encoding="utf-8")))
    if "vocabulary" in known:
        tokens = reference.prepare([cell["text"] for cell in cells], known)
        answers = reference.classes(model(tokens=tokens), known)
        found = [answer[row["class"]] for answer, row in zip(answers, rows, strict=True)]
        expected = [row["probability"] for row in rows]
    else:
        given = [{{name: cell[name] for name in ("size", "side")}} for cell in cells]
        found = reference.answers(model(**reference.prepare(given, known)), known)
        expected = [row["price"] for row in rows]
    assert np.allclose(found, expected, rtol=1e-4)
from {PACKAGE}.engine.quantization import describe_loss
before = {{"r2": 0.91, "mae": 1.0, "rmse": 1.0}}
(said,) = describe_loss({{"r2": 0.90, "mae": 0.9, "rmse": 1.03}}, before, {{"mae", "rmse"}})
assert said == "int8 costs more than 2% of rmse: 1.0300 instead of 1.0000."
card = (folder / "README.md").read_text("utf-8")
assert card.startswith("---\\nlicense:") and "pipeline_tag" in card
assert is_calibrated == ("temperature" in known) == ("divides its logits" in card)
assert known.get("temperature", 2) != 1
assert "batch_size" in card and "## Limits" in card and "model.onnx" in card
"""


def test_a_graph_that_was_exported_says_what_predict_says(
    render: Render, tmp_path: Path, export_task: str
) -> None:
    project = render(tmp_path, task=export_task)
    make_data(export_task, project)
    done = call(project, "-c", PROGRAM, *FLAGS[export_task], *SPLITS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Largest difference" in done.stdout and "| model.onnx" in done.stdout


@pytest.fixture(params=FLAGS)
def export_task(request: pytest.FixtureRequest) -> str:
    task: str = request.param
    return task


@pytest.fixture(scope="module")
def table_project(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = render(tmp_path_factory.mktemp("table"), task="tabular_regression")
    make_data("tabular_regression", project)
    flags = [*FLAGS["tabular_regression"], *SPLITS, "--run", "own", "--no-report"]
    assert call(project, "train.py", *flags, "--device", "cpu").returncode == 0
    assert call(project, "-m", PACKAGE, "export", "own").returncode == 0
    return project


def test_benchmark_measures_the_model_and_its_export_and_finds_the_same_metric(
    table_project: Path,
) -> None:
    done = call(table_project, "-m", PACKAGE, "benchmark", "own", "--no-compile")
    assert done.returncode == 0, done.stderr
    names, _, eager, onnx = (line.split("|")[1:-1] for line in done.stdout.splitlines())
    columns = [name.strip() for name in names]
    assert {"ms, batch of 1", "MiB more memory", "file, MB", "r2"} <= set(columns)
    assert (eager[0].strip(), onnx[0].strip()) == ("eager", "onnx")
    assert eager[columns.index("r2")] == onnx[columns.index("r2")]


def test_a_graph_that_differs_is_not_kept_and_the_difference_is_shown(
    table_project: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(table_project, project)
    before = (project / "runs" / "own" / "export" / "model.onnx").read_bytes()
    module = project / PACKAGE / "tabular" / "exported.py"
    text = module.read_text("utf-8")
    wrong = text.replace("self.model((numeric - self.offsets)", "self.model((1.01 * numeric)")
    assert wrong != text
    module.write_text(wrong, "utf-8")
    done = call(project, "-m", PACKAGE, "export", "own")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not kept" in done.stderr and "r2" in done.stderr and "instead of" in done.stderr
    assert (project / "runs" / "own" / "export" / "model.onnx").read_bytes() == before
    assert not list((project / "runs" / "own").glob(".export-*"))


def test_a_pt2_file_that_differs_is_not_kept_either(table_project: Path) -> None:
    program = f"""
import sys
import torch
from {PACKAGE}.cli.main import main
from {PACKAGE}.engine import exporting

class Wrong(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, numeric, categories):
        return 1.01 * self.module(numeric, categories)

write = exporting.write_graphs
def write_wrong(form, metadata, folder):
    write(form, metadata, folder)
    shapes = {{name: dict(sizes) for name, sizes in form.dynamic.items()}}
    wrong = Wrong(form.module.eval())
    graph = torch.export.export(wrong, (), dict(form.inputs), dynamic_shapes=shapes)
    torch.export.save(graph, folder / "model.pt2")

exporting.write_graphs = write_wrong
sys.exit(main(["export", "own"]))
"""
    before = (table_project / "runs" / "own" / "export" / "model.pt2").read_bytes()
    done = call(table_project, "-c", program)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not kept, because the outputs of model.pt2 differ by 0.01" in done.stderr
    assert (table_project / "runs" / "own" / "export" / "model.pt2").read_bytes() == before


def test_without_its_packages_export_says_what_to_install(table_project: Path) -> None:
    program = f"import sys; sys.modules['onnx'] = None; from {PACKAGE}.cli.main import main; "
    done = call(table_project, "-c", program + "sys.exit(main(['export', 'own']))")
    assert done.returncode == 2
    assert "onnx" in done.stderr and "--extra export" in done.stderr
