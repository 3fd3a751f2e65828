"""The report: everything in one file, harmless whatever the texts, complete whatever is missing."""

import json
import shutil
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.visualize import visualize

HTML = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def drawn(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its report."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("runs") / "short")
    visualize(run)
    return run


@pytest.fixture(scope="module")
def page(drawn: Path) -> str:
    """Its report."""
    return (drawn / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def other_page(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run that was evaluated, typed with HTML, and killed while it wrote."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("runs") / "other")
    (run / "evaluation.json").write_text('{"loss": 0.123456}', encoding="utf-8")
    (run / "environment.json").write_text(json.dumps({"command": [HTML]}), encoding="utf-8")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3, "tra')
    return visualize(run).read_text(encoding="utf-8")


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be spoiled."""
    return shutil.copytree(drawn, tmp_path / "short")


def test_the_report_is_one_file_with_all_figures_inside(drawn: Path, page: str) -> None:
    pictures = list((drawn / "figures").glob("*.png"))
    assert {"learning_curves.png"} < {path.name for path in pictures}
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "<link" not in page and "<script" not in page and "://" not in page


def test_a_report_written_again_is_the_same(page: str, run: Path) -> None:
    assert visualize(run).read_text(encoding="utf-8") == page


def test_a_changed_hyperparameter_is_marked_and_others_are_not(page: str) -> None:
    lines = page.splitlines()
    epochs = next(line for line in lines if ">epochs</th>" in line)
    seed = next(line for line in lines if ">seed</th>" in line)
    assert 'class="changed"' in epochs and 'class="changed"' not in seed


def test_texts_that_look_like_html_are_shown_as_text(other_page: str) -> None:
    assert "<script" not in other_page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in other_page


def test_test_metrics_appear_once_they_are_known(page: str, other_page: str) -> None:
    assert "Not evaluated on the test set yet" in page
    assert "Not evaluated on the test set yet" not in other_page
    assert "<dd>0.1235</dd>" in other_page


def test_a_torn_last_line_of_the_metrics_is_left_out(other_page: str) -> None:
    assert "<dt>Epochs</dt><dd>2</dd>" in other_page


def test_a_run_that_stopped_before_its_first_epoch_has_a_report(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    (run / "predictions.npz").unlink()
    page = visualize(run).read_text(encoding="utf-8")
    assert "There is no best model yet." in page
    assert "<dt>Epochs</dt><dd>0</dd>" in page


def test_data_that_changed_since_is_noticed(run: Path) -> None:
    with (run / "hyperparameters.toml").open(encoding="utf-8") as file:
        lines = ["val_fraction = 0.1" if "val_fraction" in line else line.strip() for line in file]
    (run / "hyperparameters.toml").write_text("\n".join(lines), encoding="utf-8")
    page = visualize(run).read_text(encoding="utf-8")
    assert "Some figures are missing." in page
    assert (run / "figures" / "learning_curves.png").exists()


def test_a_folder_that_is_not_of_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hyperparameters\.toml"):
        visualize(tmp_path)
