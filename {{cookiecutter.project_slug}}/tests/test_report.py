"""The report: one file with everything inside, harmless whatever the texts, whatever is missing."""

import re
import shutil
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.cli.report import main, write_report
from {{ cookiecutter.__package }}.engine.errors import UserError


@pytest.fixture(scope="module")
def drawn(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its report."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("runs") / "short")
    write_report(run)
    return run


@pytest.fixture
def run(drawn: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be changed."""
    return shutil.copytree(drawn, tmp_path / "short")


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_report_is_one_file_with_all_figures_inside(drawn: Path) -> None:
    figures, page = list((drawn / "figures").glob("*.png")), page_of(drawn)
    assert len(figures) > 1 and (drawn / "figures" / "learning_curves.png") in figures
    assert page.count("data:image/png;base64,") == len(figures)
    assert "<link" not in page and "<script" not in page and "://" not in page


def test_the_command_writes_the_same_report_again(
    drawn: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report.html").unlink()
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"Report: {run / 'report.html'}\n"
    assert page_of(run) == page_of(drawn)


def test_a_changed_hyperparameter_is_marked_and_others_are_not(drawn: Path) -> None:
    assert '<tr class="changed"><th scope="row">epochs<' in page_of(drawn)
    assert '<tr><th scope="row">seed<' in page_of(drawn)


def test_later_metrics_are_shown_and_html_is_shown_as_text(drawn: Path, run: Path) -> None:
    (run / "evaluation.json").write_text('{"loss": 0.123456}', encoding="utf-8")
    (run / "environment.json").write_text('{"a": ["<script>alert(1)<"]}', encoding="utf-8")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3, "tra')  # killed while it wrote
    page = page_of(write_report(run).parent)
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;" in page
    assert "Not evaluated on the test set yet" in page_of(drawn)
    assert "Not evaluated on the test set yet" not in page and "<td>0.1235</td>" in page
    assert "<dt>Epochs</dt><dd>2</dd>" in page


def test_a_run_that_stopped_before_its_first_epoch_has_a_report(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    for name in ("metrics.jsonl", "predictions.npz"):
        (run / name).unlink()
    page = page_of(write_report(run).parent)
    assert "There is no best model yet." in page and "<dt>Epochs</dt><dd>0</dd>" in page


def test_damaged_files_are_noted(run: Path) -> None:
    names = ["predictions.npz", "metrics.jsonl", "environment.json"]
    for name in names:
        (run / name).write_bytes(b"damaged\n")
    page = page_of(write_report(run).parent)
    assert all(f"{name} is damaged" in page for name in names)


def test_data_that_changed_since_is_noticed(run: Path) -> None:
    settings = (run / "hyperparameters.toml").read_text(encoding="utf-8")
    settings = re.sub(r"val_fraction = .*", "val_fraction = 0.04", settings)
    (run / "hyperparameters.toml").write_text(settings, encoding="utf-8")
    assert "Some figures are missing." in page_of(write_report(run).parent)
    assert (run / "figures" / "learning_curves.png").exists()


def test_a_folder_that_is_not_of_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"hyperparameters\.toml"):
        write_report(tmp_path)
