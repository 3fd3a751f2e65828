"""check-data says what is in the data, and trains nothing."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.engine.data_report import DataReport, some
from {{ cookiecutter.__package }}.report.data_figures import bin_edges


def test_a_page_with_counts_and_figures_is_written_and_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.chdir(tmp_path):
        assert main(["check-data"]) == 0
    page = (tmp_path / "check-data.html").read_text(encoding="utf-8")
    assert "What was read" in page and "Samples of each split" in page
    assert "data:image/png;base64," in page
    assert [path.name for path in tmp_path.iterdir()] == ["check-data.html"]
    assert capsys.readouterr().out.startswith("Samples: ")


def test_data_that_cannot_be_used_is_a_wrong_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = str(tmp_path / "page.html")
    assert main(["check-data", "--data", str(tmp_path / "nowhere"), "--output", page]) == 2
    assert main(["check-data", "--output", str(tmp_path / "nowhere" / "page.html")]) == 2
    assert capsys.readouterr().err.count("nowhere") == 2 and not list(tmp_path.iterdir())


def test_a_run_keeps_what_was_read(trained: Path) -> None:
    content = json.loads((trained / "data.json").read_text(encoding="utf-8"))
    assert set(content["num_samples"]) == {"train", "val", "test"}
    assert isinstance(content["notes"], list) and content["info"]


def test_faults_are_counted_and_the_first_few_named() -> None:
    assert some([5, 17, 80, 90, 91], 344, "row") == "5 of 344 rows, for example row 5, 17, 80"
    assert some(["a.jpg"], 1, "image") == "1 of 1 image: a.jpg"


def test_absent_classes_are_noted_and_long_lists_are_cut() -> None:
    report = DataReport()
    report.count_classes("val", [0, 0, 2], ["a", "b", "c"])
    assert report.to_json()["classes"] == {"val": {"a": 2, "b": 0, "c": 1}}
    assert report.notes == ["val has no sample of 1 of 3 classes: b."]
    for number in range(20):
        report.note(f"{number}")
    assert len(report.lines()) == 1 + 21 and len(report.lines(limit=5)) == 1 + 6


@pytest.mark.parametrize(
    "values", [[], [7.0] * 3, [25.0, 25.000000000000004], [2.4e9, 2.4e9 + 10], [-1e300, 1e300]]
)
def test_histograms_hold_all_values_even_if_they_are_nearly_the_same(values: list[float]) -> None:
    edges = bin_edges(np.array(values))
    assert (np.diff(edges) > 0).all() and np.histogram(values, edges)[0].sum() == len(values)
