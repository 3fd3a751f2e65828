"""Tables and texts as people have them: read right, or said."""

import gzip
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Render
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

N = 60
A = [round((n * 37 % 101) / 10 + 0.05, 2) for n in range(N)]
B = [round((n * 53 % 97) / 7, 2) for n in range(N)]
Y = [round(3 * a + 2 * b, 2) for a, b in zip(A, B, strict=True)]
WHERE = [("north", "south", "east")[n * 7 % 3] for n in range(N)]
CLASSIFY = {"objective": "classification"}
Columns = dict[str, list[str]]


class Project:
    """The package of a rendered project."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.error: type[Exception] = self.module("engine.errors").UserError

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")

    def read(self, path: Path, **values: Any) -> Any:
        """What make_data gives."""
        hparams = self.module("hyperparameters").Hyperparameters(data=path, **values)
        return self.module("loaders").make_data(hparams)

    def refusal(self, path: Path, **values: Any) -> str:
        with pytest.raises(self.error) as error:
            self.read(path, **values)
        return str(error.value)


@pytest.fixture(scope="module")
def importable() -> Iterator[Callable[[Path], Project]]:
    before = list(sys.path)

    def add(folder: Path) -> Project:
        sys.path.insert(0, str(folder))
        return Project(folder.name.replace("-", "_"))

    yield add
    sys.path[:] = before


@pytest.fixture(scope="module")
def tables(rendered: Render, importable: Callable[[Path], Project]) -> Project:
    return importable(rendered(task="tabular_regression", project_slug="some-tables"))


@pytest.fixture(scope="module")
def texts(rendered: Render, importable: Callable[[Path], Project]) -> Project:
    return importable(rendered(task="text_classification", project_slug="some-texts"))


def rows_of(data: Any) -> dict[int, tuple[Any, int]]:
    """(Data set, index) of each row, by its number in the file."""
    found = {}
    for dataset in (data.train, data.val, data.test):
        for index in range(len(dataset)):
            found[int(dataset.describe(index).split()[1])] = (dataset, index)
    return found


def numbers(data: Any, column: str) -> list[float]:
    """A numeric column in the order of the file, in the units of the file."""
    position = list(data.info.numeric).index(column)
    offset = data.info.numeric[column]["offset"]
    found = rows_of(data)
    return [float(found[row][0][found[row][1]][0][0][position]) + offset for row in sorted(found)]


def names(data: Any, column: str) -> list[str | None]:
    """A categorical column in the order of the file."""
    position = list(data.info.categorical).index(column)
    known = [None, *data.info.categorical[column]]
    found = rows_of(data)
    return [known[int(found[r][0][found[r][1]][0][1][position])] for r in sorted(found)]


def targets(data: Any) -> list[Any]:
    """The target in the order of the file: numbers, or names of classes."""
    found = rows_of(data)
    values = [found[row][0][found[row][1]][1] for row in sorted(found)]
    if data.info.classes:
        return [data.info.classes[int(value)] for value in values]
    return [float(value) + data.info.target_offset for value in values]


def said(data: Any) -> str:
    return "\n".join(data.report.lines())


def close(expected: list[float]) -> Any:
    return pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


def table(columns: Columns, separator: str = ",", quote: bool = False, end: str = "\n") -> str:
    """Columns as the text of a file."""
    mark = '"' if quote else ""
    lines = [[f"{mark}{cell}{mark}" for cell in row] for row in zip(*columns.values(), strict=True)]
    head = [f"{mark}{name}{mark}" for name in columns]
    return end.join(separator.join(row) for row in [head, *lines]) + end


def plain(values: list[float]) -> list[str]:
    return [f"{value:g}" for value in values]


def comma(values: list[float], decimals: int = 2) -> list[str]:
    return [f"{value:.{decimals}f}".replace(".", ",") for value in values]


def german(values: list[float], decimals: int = 2) -> list[str]:
    exchange = str.maketrans(",.", ".,")
    return [f"{value:,.{decimals}f}".translate(exchange) for value in values]


def write(path: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


# --- numbers --------------------------------------------------------------------------------------

VALUES = [round((n - 20) * 123.45 + (n % 7) / 4, 2) for n in range(N)]
POSITIVE = [abs(value) + 0.25 for value in VALUES]


def grouped(value: float, mark: str, decimal: str) -> str:
    """1234.5 as 1_234.50, with other marks."""
    whole, fraction = f"{value:,.2f}".split(".")
    return whole.replace(",", mark) + decimal + fraction


STYLES: dict[str, Callable[[float], str]] = {
    "point": lambda v: f"{v:.2f}",
    "comma": lambda v: f"{v:.2f}".replace(".", ","),
    "English": lambda v: grouped(v, ",", "."),
    "German": lambda v: grouped(v, ".", ","),
    "French": lambda v: grouped(v, " ", ","),
    "no-break space": lambda v: grouped(v, "\u00a0", ","),
    "narrow no-break space": lambda v: grouped(v, "\u202f", ","),
    "Swiss": lambda v: grouped(v, "'", "."),
    "Swiss, curly": lambda v: grouped(v, "’", "."),
    "spaces and point": lambda v: grouped(v, " ", "."),
    "euros": lambda v: grouped(v, ".", ",") + " €",
    "euros before": lambda v: "€" + grouped(v, ".", ","),
    "EUR": lambda v: "EUR " + grouped(v, ",", "."),
    "dollars": lambda v: ("-$" if v < 0 else "$") + grouped(abs(v), ",", "."),
    "dollars, sign after": lambda v: "$" + grouped(v, ",", "."),
    "accounting": lambda v: f"({-v:,.2f})" if v < 0 else f"{v:,.2f}",
    "accounting, dollars": lambda v: f"(${-v:,.2f})" if v < 0 else f"${v:,.2f}",
    "percent": lambda v: f"{v:.2f}%",
    "percent, comma": lambda v: f"{v:.2f} %".replace(".", ","),
    "kilograms": lambda v: f"{v:.2f} kg",
    "kilograms, comma": lambda v: f"{v:.2f}kg".replace(".", ","),
    "square meters": lambda v: f"{v:.2f} m²",
    "degrees": lambda v: f"{v:.2f} °C",
    "per hour": lambda v: f"{v:.2f} km/h",
    "minus sign": lambda v: f"{v:.2f}".replace("-", "−"),
    "en dash": lambda v: f"{v:.2f}".replace("-", "–"),
    "plus": lambda v: f"{v:+.2f}",
    "minus at the end": lambda v: f"{abs(v):.2f}" + ("-" if v < 0 else ""),
    "exponent": lambda v: f"{v:.6e}",
    "Brazil": lambda v: "R$ " + grouped(v, ".", ","),
    "francs": lambda v: "CHF " + grouped(v, "'", "."),
    "rupees": lambda v: "₹" + grouped(v, ",", "."),
    "crowns": lambda v: grouped(v, " ", ",") + " kr",
}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("style", STYLES)
def test_a_number_is_read_as_it_is_written(
    style: str, separator: str, tables: Project, tmp_path: Path
) -> None:
    cells = [STYLES[style](value) for value in VALUES]
    columns = {"x": cells, "where": WHERE, "y": [str(n) for n in range(N)]}
    for quote in {True, any(separator in cell for cell in cells)}:
        path = write(tmp_path / "a.csv", table(columns, separator, quote))
        data = tables.read(path, target="y")
        assert numbers(data, "x") == close(VALUES), said(data)
        assert names(data, "where") == WHERE


@pytest.mark.parametrize("style", STYLES)
def test_a_target_is_read_as_it_is_written(style: str, tables: Project, tmp_path: Path) -> None:
    columns = {"a": plain(A), "y": [STYLES[style](value) for value in VALUES]}
    data = tables.read(write(tmp_path / "a.csv", table(columns, ";", True)), target="y")
    assert targets(data) == close(VALUES)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(
        st.floats(-1e7, 1e7).map(lambda value: round(value, 2)), min_size=N, max_size=N
    ),
    style=st.sampled_from(sorted(STYLES)),
    separator=st.sampled_from(",;\t|"),
)
def test_any_numbers_are_read_right_or_asked_about(
    values: list[float], style: str, separator: str, tables: Project, tmp_path: Path
) -> None:
    columns = {"x": [STYLES[style](value) for value in values], "y": plain(list(range(N)))}
    path = write(tmp_path / "a.csv", table(columns, separator, quote=True))
    try:
        data = tables.read(path, target="y")
    except tables.error as error:
        assert "--decimal" in str(error) or "no column from which" in str(error)
        return
    expected = [float(np.float32(f"{v:.6e}" if style == "exponent" else v)) for v in values]
    assert numbers(data, "x") == pytest.approx(expected, rel=1e-5, abs=1e-3)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,23,456.5", "12,34,567.25", "999"], [123456.5, 1234567.25, 999]),
        (["1.5M", "300k", "20"], [1.5e6, 3e5, 20]),
        (["$1.2M", "$3.5M", "$20K"], [1.2e6, 3.5e6, 2e4]),
        (["50,-", "99,50", "7,25"], [50, 99.5, 7.25]),
        ([".5", "0.25", "7."], [0.5, 0.25, 7]),
        (["1 bedroom", "2 bedrooms", "3 bedrooms"], [1, 2, 3]),
        (["5 KG", "7.5 kg", "2 kg."], [5, 7.5, 2]),
        (["1.234.567", "12", "1.500"], [1234567, 12, 1500]),
        (["1,234,567", "12", "1,500"], [1234567, 12, 1500]),
        (["1.234", "2.345,5", "7"], [1234, 2345.5, 7]),
        (["1,234", "2,345.5", "7"], [1234, 2345.5, 7]),
        (["0.123", "12.345", "1.004"], [0.123, 12.345, 1.004]),
        (["1 000 000", "2 500", "12"], [1e6, 2500, 12]),
        (["USD 5", "USD 1,234.50", "USD 7"], [5, 1234.5, 7]),
        (["US$ 5.00", "US$ 1,000.00", "US$ 7.00"], [5, 1000, 7]),
        (["1e-3", "2.5E4", "7"], [0.001, 25000, 7]),
    ],
)
def test_numbers_that_need_a_second_look(
    cells: list[str], expected: list[float], tables: Project, tmp_path: Path
) -> None:
    columns = {"x": [cells[n % 3] for n in range(N)], "y": [str(n) for n in range(N)]}
    path = write(tmp_path / "a.csv", table(columns, "\t"))
    found = numbers(tables.read(path, target="y"), "x")
    assert found == close([expected[n % 3] for n in range(N)])


@pytest.mark.parametrize("cells", [("1.004", "950"), ("1,004", "950"), ("12.345", "67.890")])
def test_what_may_be_decimals_or_thousands_is_asked_about(
    cells: tuple[str, str], tables: Project, tmp_path: Path
) -> None:
    columns = {"x": [cells[n % 2] for n in range(N)], "y": [str(n) for n in range(N)]}
    path = write(tmp_path / "a.tsv", table(columns, "\t"))
    words = tables.refusal(path, target="y")
    assert cells[0] in words and "--decimal . or --decimal ," in words
    for decimal, thousands in ((".", ","), (",", ".")):
        data = tables.read(path, target="y", decimal=decimal)
        values = [float(c.replace(thousands, "").replace(decimal, ".")) for c in cells]
        assert numbers(data, "x") == close([values[n % 2] for n in range(N)])


@pytest.mark.parametrize(("mark", "expected"), [(",", 1004.0), (".", 1.004)])
def test_other_columns_of_the_file_tell_what_a_point_is(
    mark: str, expected: float, tables: Project, tmp_path: Path
) -> None:
    others = comma(B) if mark == "," else [f"{b:.2f}" for b in B]
    columns = {"x": ["1.004", "950"] * (N // 2), "b": others, "y": [str(n) for n in range(N)]}
    data = tables.read(write(tmp_path / "a.csv", table(columns, ";")), target="y")
    assert numbers(data, "x") == close([expected, 950.0] * (N // 2))


def test_pairs_in_a_file_of_decimal_points_stay_names_and_are_said(
    tables: Project, tmp_path: Path
) -> None:
    rooms = [f"{n % 3},{n % 2}" for n in range(N)]
    columns = {"a": plain(A), "rooms": rooms, "y": plain(Y)}
    path = write(tmp_path / "a.csv", table(columns, ";"))
    data = tables.read(path, target="y")
    assert names(data, "rooms") == rooms and targets(data) == close(Y)
    assert "rooms looks like numbers" in said(data)
    forced = tables.read(path, target="y", decimal=",")
    assert numbers(forced, "rooms") == close([float(room.replace(",", ".")) for room in rooms])


@pytest.mark.parametrize(
    "cells",
    [
        ["5 kg", "300 g", "2 lb"],
        ["A1", "B2", "A2"],
        ["00715", "01234", "98001"],
        ["1/2", "3/4", "1/4"],
        ["12%", "0.5", "7"],
        ["123456789012345678901", "123456789012345678902", "7"],
        ["192.168.0.1", "10.0.0.7", "10.0.0.8"],
    ],
)
def test_what_is_no_number_stays_a_name(cells: list[str], tables: Project, tmp_path: Path) -> None:
    columns = {"x": [cells[n % 3] for n in range(N)], "y": plain(Y)}
    data = tables.read(write(tmp_path / "a.csv", table(columns)), target="y")
    assert names(data, "x") == columns["x"]


# --- gaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word",
    ["", "-", "--", "n/a", "N/A", "NA", "NaN", "null", "None", "?", "#DIV/0!", "–", ".", "\u00a0"],
)
@pytest.mark.parametrize("every", [4, 20])
def test_a_word_for_a_gap_is_a_gap_in_a_column_of_numbers(
    word: str, every: int, tables: Project, tmp_path: Path
) -> None:
    cells = [word if n % every == 1 else f"{a}" for n, a in enumerate(A)]
    path = write(tmp_path / "a.csv", table({"a": cells, "b": plain(B), "y": plain(Y)}))
    data = tables.read(path, target="y")
    expected = [math.nan if n % every == 1 else a for n, a in enumerate(A)]
    assert numbers(data, "a") == close(expected)
    assert f"{N // every} gaps" in data.report.columns["a"]


@pytest.mark.parametrize("word", ["<0.5", "> 9", "~3", "inf", "-Infinity", "1e300", "broken"])
def test_what_is_not_known_as_a_number_is_a_gap_and_said(
    word: str, tables: Project, tmp_path: Path
) -> None:
    cells = [word if n % 12 == 5 else f"{a}" for n, a in enumerate(A)]
    path = write(tmp_path / "a.csv", table({"a": cells, "b": plain(B), "y": plain(Y)}))
    data = tables.read(path, target="y")
    found = numbers(data, "a")
    assert [math.isnan(value) for value in found] == [n % 12 == 5 for n in range(N)]
    assert "5 of 60 rows, for example row 7, 19, 31" in said(data)
    target = write(tmp_path / "b.csv", table({"b": plain(B), "y": cells}))
    assert "5 of 60 rows, for example row 7, 19, 31" in tables.refusal(target, target="y")


def test_codes_for_gaps_are_said(tables: Project, tmp_path: Path) -> None:
    cells = ["-999" if n % 6 == 1 else f"{a}" for n, a in enumerate(A)]
    data = tables.read(write(tmp_path / "a.csv", table({"a": cells, "y": plain(Y)})), target="y")
    assert "-999" in said(data) and numbers(data, "a")[1] == -999
    negative = [f"{a - 5}" for a in A]
    data = tables.read(write(tmp_path / "b.csv", table({"a": negative, "y": plain(Y)})), target="y")
    assert data.report.notes == []


@pytest.mark.parametrize("gap", ["", " ", "NaN", "NA", "?"])
def test_rows_without_a_target_are_left_out_and_counted(
    gap: str, tables: Project, tmp_path: Path
) -> None:
    cells = [gap if n in (3, 50) else f"{y}" for n, y in enumerate(Y)]
    data = tables.read(write(tmp_path / "a.csv", table({"a": plain(A), "y": cells})), target="y")
    assert sorted(rows_of(data)) == [n + 2 for n in range(N) if n not in (3, 50)]
    assert targets(data) == close([y for n, y in enumerate(Y) if n not in (3, 50)])
    assert "2 of 60 rows: row 5, 52" in said(data)
    empty = write(tmp_path / "b.csv", table({"a": plain(A), "y": [gap] * N}))
    assert "'y'" in tables.refusal(empty, target="y")


# --- categories and classes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spellings", "classes"),
    [
        (["None", "Mild", "Severe"], ["Mild", "None", "Severe"]),
        (["NA", "EU", "AS"], ["AS", "EU", "NA"]),
        (["?", "!", "."], ["!", ".", "?"]),
        (["null", "n/a", "-"], ["-", "n/a", "null"]),
        (["0", "1", "1.0"], ["0", "1"]),
        (["0.0", "1.0", "2.0"], ["0", "1", "2"]),
        (["10", "9", "8"], ["8", "9", "10"]),
        (["Yes", "yes ", "No"], ["No", "Yes"]),
        (["YES", "yes", "no"], ["YES", "no"]),
        (["True", "False", "true"], ["False", "True"]),
        (["-1", "1", "0"], ["0", "1", "-1"]),
        (["<=50K", ">50K", "<=50K"], ["<=50K", ">50K"]),
        (["005", "010", "100"], ["005", "010", "100"]),
    ],
)
def test_classes_are_what_stands_there(
    spellings: list[str], classes: list[str], tables: Project, tmp_path: Path
) -> None:
    cells = [spellings[n % 3] for n in range(N)]
    path = write(tmp_path / "a.csv", table({"a": plain(A), "y": cells}))
    data = tables.read(path, target="y", **CLASSIFY)
    assert sorted(data.info.classes) == sorted(classes)
    by_key = {name.lower(): name for name in classes}
    expected = [by_key[c.strip().lower().removesuffix(".0")] for c in cells]
    assert targets(data) == expected
    counts = {name: expected.count(name) for name in classes}
    total = {c: sum(s[c] for s in data.report.classes.values()) for c in data.info.classes}
    assert total == counts


def test_letters_in_both_cases_are_different_classes(tables: Project, tmp_path: Path) -> None:
    cells = [letter for letter in "abcdefABCDEF" for _ in range(5)]
    path = write(tmp_path / "a.csv", table({"a": plain(A), "y": cells}))
    assert len(tables.read(path, target="y", **CLASSIFY).info.classes) == 12


def test_classes_with_too_few_rows_are_refused_all_at_once(tables: Project, tmp_path: Path) -> None:
    cells = ["rare", "few", "few", *["many", "more"] * 29][:N]
    path = write(tmp_path / "a.csv", table({"a": plain(A[: len(cells)]), "y": cells}))
    words = tables.refusal(path, target="y", **CLASSIFY)
    assert "'rare'" in words and "'few'" in words


def test_none_is_a_category_where_it_is_frequent(tables: Project, tmp_path: Path) -> None:
    cells = ["None" if a < 5 else "Brick" for a in A]
    path = write(tmp_path / "a.csv", table({"b": plain(B), "veneer": cells, "y": plain(Y)}))
    assert names(tables.read(path, target="y"), "veneer") == cells


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (["1", "2", "3"], ["1.0", "2.0", "3.0"]),
        (["True", "False", "True"], ["yes", "no", "yes"]),
        (["yes", "no", "no"], ["1", "0", "0"]),
        (["Yes", "No", "No"], ["yes ", "NO", "no"]),
        (["a", "b", "c"], ["A", "b ", "c"]),
    ],
)
def test_another_file_may_write_categories_and_classes_in_another_way(
    train: list[str], test: list[str], tables: Project, tmp_path: Path
) -> None:
    for name, cells in (("train", train), ("test", test)):
        column = [cells[n % 3] for n in range(N)]
        content = table({"x": column, "b": plain(B), "y": column})
        write(tmp_path / "data" / f"{name}.csv", content)
    data = tables.read(
        tmp_path / "data", target="y", categorical_columns="x", objective="classification"
    )
    codes = [data.info.categorical["x"][int(data.test[i][0][1][0]) - 1] for i in range(3)]
    assert codes == train
    assert [data.info.classes[int(data.test[i][1])] for i in range(3)] == train


def test_unknown_classes_of_another_file_are_refused_with_their_count(
    tables: Project, tmp_path: Path
) -> None:
    write(tmp_path / "train.csv", table({"a": plain(A), "y": WHERE}))
    others = ["up" if n < 3 else "down" if n < 5 else "north" for n in range(N)]
    write(tmp_path / "val.csv", table({"a": plain(A), "y": others}))
    words = tables.refusal(tmp_path, target="y", **CLASSIFY)
    assert "5 of 60 rows, for example row 2, 3, 4" in words and "'up', 'down'" in words


def test_unknown_categories_of_another_file_are_counted(tables: Project, tmp_path: Path) -> None:
    columns = {"a": plain(A), "where": WHERE, "y": plain(Y)}
    write(tmp_path / "train.csv", table(columns))
    write(tmp_path / "test.csv", table(columns | {"where": ["west"] * 4 + WHERE[4:]}))
    data = tables.read(tmp_path, target="y")
    assert "4 of 60 rows of test" in data.report.columns["where"]


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Unnamed: 0", [str(n) for n in range(N)]),
        ("id", [str(1000 + n * 7) for n in range(N)]),
        ("PassengerId", [str(n + 1) for n in range(N)]),
        ("patient", [f"P-{n:05}" for n in range(N)]),
        ("user_id", [f"{n:08x}-ab" for n in range(N)]),
        ("rownames", [str(n + 1) for n in range(N)]),
        ("nothing", [""] * N),
        ("same", ["7"] * N),
        ("country", ["KR"] * N),
    ],
)
def test_columns_without_use_are_left_out_and_said(
    name: str, cells: list[str], tables: Project, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", table({name: cells, "a": plain(A), "y": plain(Y)}))
    data = tables.read(path, target="y")
    assert list(data.info.numeric) == ["a"] and not data.info.categorical
    assert data.report.columns[name].startswith("left out: ")


def test_a_number_that_grows_with_the_rows_is_kept(tables: Project, tmp_path: Path) -> None:
    time = [str(1_700_000_000 + n) for n in range(N)]
    path = write(tmp_path / "a.csv", table({"time": time, "b": plain(B), "y": plain(Y)}))
    assert numbers(tables.read(path, target="y"), "time") == close([float(t) for t in time])


@pytest.mark.parametrize(("scale", "start"), [(1, 2.4e9), (0.05, 4864900), (1, -7e11), (100, 0)])
def test_numbers_far_from_zero_keep_their_digits(
    scale: float, start: float, tables: Project, tmp_path: Path
) -> None:
    far = [f"{start + scale * y:.6f}" for y in Y]
    path = write(tmp_path / "a.csv", table({"x": far, "y": far}))
    data = tables.read(path, target="y")
    expected = [float(cell) for cell in far]
    for found in (numbers(data, "x"), targets(data)):
        assert found == pytest.approx(expected, rel=0, abs=2e-5 * scale)


def test_predictions_are_in_the_units_of_a_target_far_from_zero(
    tables: Project, tmp_path: Path
) -> None:
    torch = importlib.import_module("torch")
    far = [f"{2_400_000_000 + y:.2f}" for y in Y]
    path = write(tmp_path / "a.csv", table({"a": plain(A), "y": far}))
    data = tables.read(path, target="y")
    hparams = tables.module("hyperparameters").Hyperparameters()
    criterion = tables.module("criterion").Criterion(hparams, data.info)
    batch = data.val.__getitems__(tables.module("engine.data").BatchIndex(np.arange(len(data.val))))

    def almost(*_: Any) -> Any:
        return batch[1] + 0.5

    outputs = criterion.evaluate(almost, batch)
    assert outputs["prediction"].dtype == torch.float64
    shift = outputs["prediction"] - outputs["target"]
    assert shift.tolist() == pytest.approx([0.5] * len(data.val), abs=1e-5)
    assert outputs["target"].min() > 2.4e9 - 1


DAYS = pd.date_range("2021-11-20", periods=N, freq="3D")


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%b-%Y", "%B %d, %Y"),
        *("%Y%m%d", "%d.%m.%y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d %b %Y"),
        "%m/%d/%Y %I:%M %p",
    ],
)
def test_dates_become_numbers(form: str, tables: Project, tmp_path: Path) -> None:
    columns = {"day": [day.strftime(form) for day in DAYS], "a": plain(A), "y": plain(Y)}
    data = tables.read(write(tmp_path / "a.csv", table(columns, ";")), target="y")
    assert numbers(data, "day: year") == close([float(day.year) for day in DAYS])
    assert numbers(data, "day: month") == [float(day.month) for day in DAYS]
    days = [(day - pd.Timestamp(0)) / pd.Timedelta(days=1) for day in DAYS]
    assert numbers(data, "day: days") == close(days)
    read = data.report.columns["day"]
    assert read.startswith("dates") and any(f"{day:%Y-%m-%d}" in read for day in DAYS)


def test_days_and_months_that_may_be_exchanged_are_asked_about(
    tables: Project, tmp_path: Path
) -> None:
    cells = [f"{n % 12 + 1:02}/{n % 5 + 1:02}/2024" for n in range(N)]
    path = write(tmp_path / "a.csv", table({"day": cells, "a": plain(A), "y": plain(Y)}))
    assert "--date-order day-first or --date-order month-first" in tables.refusal(path, target="y")
    data = tables.read(path, target="y", date_order="month-first")
    assert numbers(data, "day: month") == [float(n % 12 + 1) for n in range(N)]
    data = tables.read(path, target="y", date_order="day-first")
    assert numbers(data, "day: month") == [float(n % 5 + 1) for n in range(N)]


def test_a_date_that_is_none_is_a_gap_and_said(tables: Project, tmp_path: Path) -> None:
    cells = ["soon" if n == 9 else day.strftime("%Y-%m-%d") for n, day in enumerate(DAYS)]
    path = write(tmp_path / "a.csv", table({"day": cells, "y": plain(Y)}))
    data = tables.read(path, target="y")
    assert math.isnan(numbers(data, "day: days")[9]) and "1 of 60 rows: row 11" in said(data)
    assert "; 1 gaps)" in data.report.columns["day"]


# --- files ----------------------------------------------------------------------------------------

RECORDS = [{"a": a, "where": w, "y": y} for a, w, y in zip(A, WHERE, Y, strict=True)]
RECORD_LINES = "".join(json.dumps(record) + "\n" for record in RECORDS)
COLUMNS: Columns = {"a": plain(A), "where": WHERE, "y": plain(Y)}
LATIN = COLUMNS | {"where": [("Köln", "Zürich")[n % 2] for n in range(N)]}


def assert_right(data: Any, where: list[str] = WHERE) -> None:
    assert numbers(data, "a") == close(A) and targets(data) == close(Y)
    assert names(data, "where") == where


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", table(COLUMNS).encode("utf-8-sig")),
        ("utf16.csv", table(COLUMNS, "\t").encode("utf-16")),
        ("utf16be.txt", b"\xfe\xff" + table(COLUMNS, ";").encode("utf-16-be")),
        ("utf16-no-mark.csv", table(COLUMNS, "\t").encode("utf-16-le")),
        ("windows-lines.csv", table(COLUMNS, end="\r\n").encode()),
        ("old-mac-lines.csv", table(COLUMNS, end="\r").encode()),
        ("tabs.tsv", table(COLUMNS, "\t").encode()),
        ("tabs.tab", table(COLUMNS, "\t").encode()),
        ("bars.txt", table(COLUMNS, "|").encode()),
        ("spaces.txt", table(COLUMNS, "  ").encode()),
        ("spaces-around.csv", table(COLUMNS, " ; ").encode()),
        ("packed.csv.gz", gzip.compress(table(COLUMNS).encode())),
        ("packed.tsv.GZ", gzip.compress(table(COLUMNS, "\t").encode())),
        ("sep.csv", b"sep=;\r\n" + table(COLUMNS, ";", end="\r\n").encode()),
        ("remark.csv", b"# exported in 2024\n" + table(COLUMNS).encode()),
        ("remarks.csv", b"Report\n\n# by, someone\n" + table(COLUMNS).encode()),
        ("units.csv", table(COLUMNS).replace("\n", "\nmm,,EUR\n", 1)),
        ("blank.csv", "\n\n" + table(COLUMNS)),
        ("bar-at-end.csv", table(COLUMNS).replace("\n", ",\n")),
        ("end.csv", table(COLUMNS)[:-1]),
        ("quoted.csv", table(COLUMNS, ",", True)),
        ("joined.csv", table(COLUMNS).replace("\n", "\na,where,y\n", 5)),
        ("records.json", json.dumps(RECORDS)),
        ("columns.json", json.dumps({"a": A, "where": WHERE, "y": Y})),
        ("within.json", json.dumps({"data": RECORDS})),
        ("lines.jsonl", RECORD_LINES),
        ("lines.ndjson", RECORD_LINES),
        ("lines.jsonl.gz", gzip.compress(RECORD_LINES.encode())),
    ],
)
def test_a_file_of_any_kind_is_read(
    name: str, content: str | bytes, tables: Project, tmp_path: Path
) -> None:
    assert_right(tables.read(write(tmp_path / name, content), target="y"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_old_encodings_are_recognized_and_said(
    encoding: str, tables: Project, tmp_path: Path
) -> None:
    data = tables.read(write(tmp_path / "a.csv", table(LATIN), encoding), target="y")
    assert_right(data, LATIN["where"])
    assert "Windows-1252" in said(data) and "Köln" in said(data)


@pytest.mark.parametrize("encoding", ["cp1251", "shift-jis", "gb18030"])
def test_other_encodings_are_refused(encoding: str, tables: Project, tmp_path: Path) -> None:
    words = {"cp1251": "Москва", "shift-jis": "とうきょう", "gb18030": "北京市海淀区"}[encoding]
    columns = COLUMNS | {"where": [words] * 30 + ["x"] * 30}
    path = write(tmp_path / "a.csv", table(columns), encoding)
    assert "Save it as UTF-8" in tables.refusal(path, target="y")


def test_a_damaged_byte_in_utf8_is_refused_with_its_line(tables: Project, tmp_path: Path) -> None:
    content = table(LATIN).encode().replace("Köln".encode(), b"K\xffln", 1)
    path = write(tmp_path / "a.csv", content)
    assert "not text in UTF-8 (line 2)" in tables.refusal(path, target="y")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,y\n", "no rows"),
        ("a,b,y\n1,2,3\n", "1 rows; at least 10"),
        (table({"a": plain(A), "y": plain(Y)}).replace("a,y", "a,a"), "two columns 'a'"),
        (table(COLUMNS).partition("\n")[2], "no names of columns"),
        (table(COLUMNS).replace("a,where,y", "a,where"), "3 cells"),
        (table(COLUMNS).replace("north", "north,", 3), "3 of 60 rows: row 2, 5, 8"),
        (table(COLUMNS).replace("north", '"north', 1), "quotation mark in row 2"),
        (table({"a": comma(A), "b": comma(B), "y": comma(Y)}), "semicolons"),
        (b"\x00\x01\x02\x03" * 100, "not a text file"),
        (table(COLUMNS).replace("y\n", "z\n", 1), "no column 'y'"),
        ("mm,place,EUR\n" + table(COLUMNS), "stand in row 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    content: str | bytes, words: str, tables: Project, tmp_path: Path
) -> None:
    assert words in tables.refusal(write(tmp_path / "a.csv", content), target="y")


def test_a_quotation_mark_that_swallows_rows_is_refused(tables: Project, tmp_path: Path) -> None:
    columns = {"a": plain(A), "b": plain(B), "where": list(WHERE), "y": plain(Y)}
    columns["where"][5] = '"north'
    columns["where"][8] = 'south"'
    words = tables.refusal(write(tmp_path / "a.csv", table(columns)), target="y")
    assert "1 of 57 rows: row 7" in words and "quotation mark" in words
    assert "'where'" in words


def test_cells_of_several_lines_are_read_as_they_are(tables: Project, tmp_path: Path) -> None:
    notes = [f'"line one, and\nline {n % 3}"' for n in range(N)]
    path = write(tmp_path / "a.csv", table({"a": plain(A), "note": notes, "y": plain(Y)}))
    data = tables.read(path, target="y")
    assert names(data, "note") == [note.strip('"') for note in notes]
    assert targets(data) == close(Y)


def test_names_of_columns_may_have_spaces_separators_and_signs(
    tables: Project, tmp_path: Path
) -> None:
    head = '"Temp, mean, °C";" Humidity (%) ";y\n'
    rows = "".join(f"{a};{b};{y}\n" for a, b, y in zip(A, B, Y, strict=True))
    data = tables.read(write(tmp_path / "a.csv", head + rows), target="y")
    assert list(data.info.numeric) == ["Temp, mean, °C", "Humidity (%)"]


def test_rows_that_end_early_are_counted(tables: Project, tmp_path: Path) -> None:
    lines = table({"y": plain(Y), "a": plain(A), "b": plain(B)}).splitlines()
    lines[3] = lines[3].rpartition(",")[0]
    data = tables.read(write(tmp_path / "a.csv", "\n".join(lines)), target="y")
    assert "1 of 60 rows: row 4" in said(data) and math.isnan(numbers(data, "b")[2])


def test_names_of_rows_as_r_writes_them_are_left_out(tables: Project, tmp_path: Path) -> None:
    rows = "".join(f'"{n + 1}",{a},{y}\n' for n, (a, y) in enumerate(zip(A, Y, strict=True)))
    data = tables.read(write(tmp_path / "a.csv", '"a","y"\n' + rows), target="y")
    assert numbers(data, "a") == close(A) and "name of the row" in said(data)
    shifted = "".join(f"{a},{b},{y}\n" for a, b, y in zip(A, B, Y, strict=True))
    path = write(tmp_path / "b.csv", "a,y\n" + shifted)
    assert "3 cells" in tables.refusal(path, target="y")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.parquet", "--extra parquet"),
        ("a.xlsx", "damaged"),
        ("a.xls", ".xlsx"),
        ("a.csv.gz", "damaged"),
    ],
)
def test_a_file_that_needs_a_package_or_is_damaged_is_named(
    name: str, words: str, tables: Project, tmp_path: Path
) -> None:
    content = b"PAR1" + bytes(range(200)) + b"PAR1"
    refusal = tables.refusal(write(tmp_path / name, content), target="y")
    is_installed = importlib.util.find_spec("pyarrow") is not None
    assert ("damaged" if name == "a.parquet" and is_installed else words) in refusal


def test_parquet_and_excel_are_read_where_their_packages_are(
    tables: Project, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"a": A, "where": WHERE, "day": DAYS, "y": Y})
    for package, name in (("pyarrow", "a.parquet"), ("openpyxl", "a.xlsx")):
        if importlib.util.find_spec(package) is None:
            continue
        save = frame.to_parquet if package == "pyarrow" else frame.to_excel
        save(tmp_path / name, index=False)
        data = tables.read(tmp_path / name, target="y")
        assert names(data, "where") == WHERE and targets(data) == close(Y)
        assert numbers(data, "day: month")[:3] == [11.0, 11.0, 11.0]


# --- folders and groups -------------------------------------------------------------------------


def halves(folder: Path, *files: str, columns: Columns = COLUMNS) -> Path:
    """The first two thirds of the rows as the first file, the others as each of the other files."""
    for number, name in enumerate(files):
        part = slice(0, 40) if number == 0 else slice(40, N)
        write(folder / name, table({key: cells[part] for key, cells in columns.items()}))
    return folder


@pytest.mark.parametrize(
    ("files", "sizes"),
    [
        (["train.csv", "test.csv"], (None, 20)),
        (["Train.csv", "TEST.CSV"], (None, 20)),
        (["training.tsv.csv", "validation.csv"], (20, None)),
        (["train.csv", "dev.csv", "test_set.csv"], (20, 20)),
        (["Training_Set.csv", "valid.csv", "Testing.csv"], (20, 20)),
        (["train.csv", ".hidden.csv", "~$test.csv"], (None, None)),
        (["houses.csv"], (None, None)),
    ],
)
def test_files_named_after_splits_are_the_splits(
    files: list[str], sizes: tuple[int | None, int | None], tables: Project, tmp_path: Path
) -> None:
    data = tables.read(halves(tmp_path, *files), target="y")
    for size, dataset in zip(sizes, (data.val, data.test), strict=True):
        assert len(dataset) == (size if size else 6)
    assert len(data.train) == 40 - 6 * sizes.count(None)


def test_two_files_of_the_same_split_are_refused(tables: Project, tmp_path: Path) -> None:
    folder = halves(tmp_path, "train.csv", "valid.csv", "validation.csv")
    words = tables.refusal(folder, target="y")
    assert "valid.csv" in words and "validation.csv" in words


def test_data_to_predict_is_no_test_set(tables: Project, tmp_path: Path) -> None:
    halves(tmp_path, "train.csv")
    halves(tmp_path, "none.csv", "test.csv", columns={"a": plain(A), "where": WHERE})
    (tmp_path / "none.csv").unlink()
    write(tmp_path / "sample_submission.csv", "id,y\n1,0\n")
    data = tables.read(tmp_path, target="y")
    assert len(data.train) + len(data.val) + len(data.test) == 40
    assert "data to predict" in said(data) and "sample_submission.csv" in said(data)


def test_other_files_have_the_columns_in_any_order_and_another_decimal_mark(
    tables: Project, tmp_path: Path
) -> None:
    write(tmp_path / "train.csv", table({"a": comma(A), "b": comma(B), "y": comma(Y)}, ";"))
    write(tmp_path / "test.csv", table({"y": plain(Y), "b": plain(B), "a": plain(A)}, ","))
    data = tables.read(tmp_path, target="y")
    test = [data.test[i] for i in range(N)]
    assert [float(row[0][0][0]) for row in test] == close(A)
    assert [float(row[1]) for row in test] == close(Y)
    assert "decimal point" in said(data)


def test_missing_columns_are_named_together(tables: Project, tmp_path: Path) -> None:
    write(tmp_path / "train.csv", table({"a": plain(A), "b": plain(B), "y": plain(Y)}))
    write(tmp_path / "test.csv", table({"c": plain(A), "y": plain(Y)}))
    assert "2 of 3 columns: a, b" in tables.refusal(tmp_path, target="y")


def test_a_folder_without_training_rows_is_refused(tables: Project, tmp_path: Path) -> None:
    assert "no table" in tables.refusal(tmp_path, target="y")
    halves(tmp_path, "one.csv", "two.csv")
    assert "no train.csv" in tables.refusal(tmp_path, target="y")
    assert "There is no" in tables.refusal(tmp_path / "missing.csv", target="y")


@pytest.mark.parametrize("objective", ["regression", "classification"])
def test_a_group_is_in_one_split_and_no_feature(
    objective: str, tables: Project, tmp_path: Path
) -> None:
    household = [f"h{n // 3}" for n in range(N)]
    target = plain(Y) if objective == "regression" else ["uv"[n // 3 % 2] for n in range(N)]
    path = write(tmp_path / "a.csv", table({"a": plain(A), "home": household, "y": target}))
    data = tables.read(path, target="y", group_column="home", objective=objective)
    assert list(data.info.numeric) == ["a"] and not data.info.categorical
    groups = [
        {household[int(d.describe(i).split()[1]) - 2] for i in range(len(d))}
        for d in (data.train, data.val, data.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert data.report.columns["home"] == "left out: --group-column"
    assert "Did you mean 'home'?" in tables.refusal(path, target="y", group_column="hme")


def test_groups_in_two_files_are_said(tables: Project, tmp_path: Path) -> None:
    home = [f"h{n % 20}" for n in range(N)]
    halves(tmp_path, "train.csv", "test.csv", columns=COLUMNS | {"home": home})
    data = tables.read(tmp_path, target="y", group_column="home")
    assert "test: 20 of 20 groups" in said(data)


def test_duplicates_and_contradictions_are_found(tables: Project, tmp_path: Path) -> None:
    columns = {name: [*cells[:40], *cells[:3], *cells[43:]] for name, cells in COLUMNS.items()}
    columns["y"][50], columns["a"][50], columns["where"][50] = "77", columns["a"][4], WHERE[4]
    halves(tmp_path, "train.csv", "test.csv", columns=columns)
    data = tables.read(tmp_path, target="y", val_fraction=0.03)
    data.inspect()
    assert "test: " in said(data) and "are also in train" in said(data)
    assert "have the inputs of another row" in said(data)


# --- texts ----------------------------------------------------------------------------------------

SAYINGS = [f"The food was {('great', 'awful')[n % 2]}, I think; {n} of us went." for n in range(N)]
LABELS = [("good", "bad")[n % 2] for n in range(N)]
REVIEWS = {"text": SAYINGS, "label": LABELS}
REVIEW_RECORDS = [{"text": t, "label": x} for t, x in zip(SAYINGS, LABELS, strict=True)]


def sayings(data: Any) -> list[tuple[str, str]]:
    """Texts and classes in the order of the file."""
    found = rows_of(data)
    pairs = [found[row] for row in sorted(found)]
    return [(d.text(i), data.info.classes[int(d[i][1])]) for d, i in pairs]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table(REVIEWS, ",", True).encode()),
        ("a.tsv", table(REVIEWS, "\t").encode()),
        ("a.csv.gz", gzip.compress(table(REVIEWS, "|").encode())),
        ("a.txt", table(REVIEWS, "\t").encode("utf-16")),
        ("a.json", json.dumps(REVIEW_RECORDS)),
        ("a.ndjson", "\n".join(map(json.dumps, REVIEW_RECORDS))),
    ],
)
def test_texts_are_read_from_a_table_of_any_kind(
    name: str, content: str | bytes, texts: Project, tmp_path: Path
) -> None:
    data = texts.read(write(tmp_path / name, content))
    assert sayings(data) == list(zip(SAYINGS, LABELS, strict=True))


def test_texts_that_look_like_numbers_stay_as_they_are(texts: Project, tmp_path: Path) -> None:
    cells = [f"00{n}.50" for n in range(N)]
    labels = [("1", "2.0")[n % 2] for n in range(N)]
    data = texts.read(write(tmp_path / "a.csv", table({"text": cells, "label": labels})))
    assert [text for text, _ in sayings(data)] == cells and data.info.classes == ["1", "2"]


def test_empty_texts_and_labels_are_left_out_and_counted(texts: Project, tmp_path: Path) -> None:
    columns = {"text": ["", " ", *SAYINGS[2:]], "label": [*LABELS[:-1], ""], "more": plain(A)}
    data = texts.read(write(tmp_path / "a.csv", table(columns, "|")))
    assert len(sayings(data)) == N - 3
    assert "2 of 60 rows: row 2, 3" in said(data) and "1 of 60 rows: row 61" in said(data)
    assert data.report.columns["more"].startswith("left out")


@pytest.mark.parametrize("words", [["None", "NA", "?"], ["Yes", "yes ", "No"], ["1", "1.0", "0"]])
def test_labels_are_classes_as_in_tables(words: list[str], texts: Project, tmp_path: Path) -> None:
    labels = [words[n % 3] for n in range(N)]
    data = texts.read(write(tmp_path / "a.csv", table({"text": SAYINGS, "label": labels}, "|")))
    assert len(data.info.classes) == (3 if words[0] == "None" else 2)


def test_a_folder_of_texts_may_have_old_encodings_and_empty_files(
    texts: Project, tmp_path: Path
) -> None:
    for n, (text, label) in enumerate(zip(SAYINGS, LABELS, strict=True)):
        content = "" if n == 7 else text.replace("great", "großartig")
        write(tmp_path / label / f"{n}.txt", content, "cp1252" if n % 4 == 0 else "utf-8")
    data = texts.read(tmp_path)
    assert sum(map(len, (data.train, data.val, data.test))) == N - 1
    found = {d.text(i) for d in (data.train, data.val, data.test) for i in range(len(d))}
    assert "großartig" in " ".join(found) and "Ã" not in " ".join(found)
    assert "1 of 60 texts" in said(data) and "Windows-1252" in said(data)


def test_texts_of_a_group_stay_together_and_copies_are_found(
    texts: Project, tmp_path: Path
) -> None:
    author = [f"u{n // 4}" for n in range(N)]
    copies = [SAYINGS[n % 30] for n in range(N)]
    columns = {"text": copies, "label": LABELS, "author": author}
    path = write(tmp_path / "a.csv", table(columns, "|"))
    data = texts.read(path, group_column="author")
    groups = [
        {author[int(d.describe(i).split()[1]) - 2] for i in range(len(d))}
        for d in (data.train, data.val, data.test)
    ]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 15
    data.inspect()
    assert "are also in train" in said(data)


def test_unlabeled_texts_of_a_competition_are_left_aside(texts: Project, tmp_path: Path) -> None:
    write(tmp_path / "train.csv", table(REVIEWS, "|"))
    write(tmp_path / "test.csv", table({"id": plain(A), "text": SAYINGS}, "|"))
    data = texts.read(tmp_path)
    assert len(sayings(data)) == N and "data to predict" in said(data)


def test_unknown_labels_are_refused_with_their_count(texts: Project, tmp_path: Path) -> None:
    write(tmp_path / "train.csv", table(REVIEWS, "|"))
    write(tmp_path / "val.csv", table({"text": SAYINGS, "label": ["so-so"] * 4 + LABELS[4:]}, "|"))
    words = texts.refusal(tmp_path)
    assert "4 of 60 rows, for example row 2, 3, 4" in words and "'so-so'" in words
