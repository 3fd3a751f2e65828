"""load_model, which gives in a program what predict writes; and what predict takes as input."""

from pathlib import Path

import pytest
from conftest import Render
from test_predict import FLAGS, PACKAGE, PROGRAM, SPLITS, call, make_data

# Goes on after PROGRAM, which trains and predicts: of all tasks, then of images, then of tables.
CHECKS = f"""
import re, shutil
from PIL import Image
from {PACKAGE} import load_model
from {PACKAGE}.engine.errors import UserError

place = next(iter(rows[0]))
def answers(rows):
    return [{{name: row[name] for name in row if name != place}} for row in rows]
def refused(*given):
    try:
        model(*given)
    except UserError as error:
        return str(error)
def piped(content, *paths):
    sys.stdin = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8")
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        flags = ["--output", "own.jsonl", "--min-score", "0"]
        code = main(["predict", "own", *(paths or "-"), *flags])
    found = [json.loads(line) for line in open("own.jsonl", encoding="utf-8")]
    return found, code, errors.getvalue()

model = load_model("own", device="cpu")
blocks = re.findall("^```python\\n(.*?)^```", Path("README.md").read_text("utf-8"), re.M | re.S)
example, = [block for block in blocks if "load_model" in block]
shown = {{}}
exec(example, shown)
assert shown["rows"] and list(shown["rows"][0]) == list(rows[0])
assert model([]) == [] and "int" in refused([Path(files[0]), 3])
Path("mixed/inside").mkdir(parents=True)
Path("mixed/notes.md").touch()
assert "There are no " in refused(Path("mixed"))
shutil.copy(files[0], "mixed/inside")
found, code, errors = piped("", "mixed")
assert found and code == 0 and "1 of 2 files in mixed are no " in errors, errors
shutil.copytree("runs/own", "carried")
"""
IMAGES = """
options = {"min_score": 0}
assert model(files, **options) == model(list(map(Path, files)), **options) == rows
assert model([Image.open(name) for name in files], **options) == rows
loaded = [Image.open(name).convert("RGB") for name in files]
found = model(loaded, **options)
assert answers(found) == answers(rows) and found[1]["file"] == "image 2"
assert len(model(loaded[0])) == 1
assert piped("\\n".join(files))[0] == rows
Path("mixed/1.png").write_bytes(b"damaged")
assert "mixed/1.png" in refused([*files, "mixed/1.png"]).replace("\\\\", "/")
turned = loaded[0].transpose(Image.Transpose.ROTATE_90)
exif = turned.getexif()
exif[0x112] = 6
turned.save("mixed/turned.tiff", exif=exif)
opened = Image.open("mixed/turned.tiff")
opened.load()
assert answers(model(opened)) == answers(model("mixed/turned.tiff"))
shutil.copytree("data", "elsewhere")
shutil.rmtree("data")
files = [name.replace("data", "elsewhere", 1) for name in files]
assert answers(load_model("carried")(files, **options)) == answers(rows)
"""
TABLES = """
import pandas as pd
frame = pd.read_csv("val.csv")
assert answers(model(frame)) == answers(model(frame.set_index(frame.index[::-1]))) == answers(rows)
assert model([Path("val.csv"), frame])[: len(rows)] == rows
found, code, errors = piped(Path("val.csv").read_text("utf-8"))
assert answers(found) == answers(rows) and found[0][place] == "row 2 of standard input"
found, code, errors = piped(frame.to_json(orient="records", lines=True))
assert answers(found) == answers(rows) and found[0][place] == "line 1 of standard input"
assert "missing" in refused(frame[frame.columns[:0]].assign(other=1)) or task[:4] == "text"
if task == "text_classification":
    texts = frame["text"].tolist()
    found = model(texts)
    assert answers(found) == answers(rows) and found[0]["text"] == texts[0]
    assert answers(piped("\\n".join(texts))[0]) == answers(rows)
    assert "Path('val.csv')" in refused("val.csv")
else:
    assert model("val.csv") == rows
Path("train.csv").unlink()
assert answers(load_model("carried")(frame)) == answers(rows)
"""


@pytest.mark.parametrize("task", FLAGS)
def test_predict_and_the_library_answer_as_validation_did(
    render: Render, tmp_path: Path, task: str
) -> None:
    project = render(tmp_path, task=task)
    make_data(task, project)
    program = PROGRAM + CHECKS + (TABLES if (project / "val.csv").exists() else IMAGES)
    done = call(project, "-c", program, task, *FLAGS[task], *SPLITS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_imported_without_torch(rendered: Render) -> None:
    program = f"import sys; from {PACKAGE} import load_model; assert 'torch' not in sys.modules"
    done = call(rendered(), "-c", program)
    assert done.returncode == 0, done.stderr
