"""`make bench` computes, prints and draws rightly, and lets contenders do the same work."""

import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import TEMPLATE, Render

from benchmarks import __main__ as command
from benchmarks import arena, measures, plan, projects, tables


def result(*seconds: float, steps: int = 10, peak: float = 100.0) -> dict[str, Any]:
    """Of a contender whose epochs took so long."""
    rounds = [
        {"seconds": value, "cpu_seconds": 0.5, "steps": steps, "samples": steps * 64}
        for value in seconds
    ]
    return {"rounds": rounds, "peak_mib": peak, "quality": 0.5}


@pytest.fixture
def results() -> dict[str, Any]:
    """A made-up run: ours is twice as fast as bare in the second repeat and equal in the first."""
    tiny = {
        "bare": result(9.0, 1.0, 4.0, 2.0),
        "ours": result(1.0, 1.0, 2.0, 1.0, peak=120.0),
        "lightning": {"rounds": [], "error": "Traceback\n  line\nImportError: no lightning\n"},
    }
    return {"machine": command.machine(3), "matches": {"tiny": tiny}, "measures": {}}


def test_ratios_are_taken_within_a_repeat_and_without_the_first_epoch() -> None:
    assert tables.time_ratios(result(9, 1, 4), result(1, 2, 2)) == [0.5, 2.0]


def test_ratios_are_of_steps_so_that_longer_epochs_are_no_slower() -> None:
    assert tables.time_ratios(result(1, 2, steps=20), result(1, 1, steps=10)) == [1.0]


def test_a_bar_is_met_up_to_its_limit_and_from_it_on() -> None:
    most = plan.Bar("tiny", "time", "ours", "bare", 0.6)
    least = dataclasses.replace(most, at_least=True)

    assert [most.is_met(ratio) for ratio in (0.59, 0.6, 0.61)] == [True, True, False]
    assert [least.is_met(ratio) for ratio in (0.59, 0.6, 0.61)] == [False, True, True]


def test_bars_are_printed_as_met_or_not_and_only_where_something_was_measured(
    results: dict[str, Any],
) -> None:
    lines = tables.bars_table(results["matches"]).splitlines()[2:]

    verdicts = {line.split("|")[1].strip(): line.split("|")[4].strip() for line in lines}
    assert verdicts == {
        "tiny: time of ours ÷ bare": "met",
        "tiny: memory of ours ÷ bare": "not met",
    }


def test_a_match_is_a_table_in_which_failures_are_dashes_and_said_below(
    results: dict[str, Any],
) -> None:
    tiny = results["matches"]["tiny"]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in tables.match_table(tiny).splitlines()
    ]

    assert rows[3][:2] == ["**ours**", "640"]  # the median of 640, 320 and 640 samples/s
    assert rows[3][3:5] == ["0.50", "0.50 to 1.00"]
    assert (rows[3][5], rows[3][7]) == ("1.00", "1.20")
    assert set(rows[4][1:]) == {"–"}
    assert tables.failures(tiny) == ["lightning failed: ImportError: no lightning"]


def test_results_are_written_as_json_markdown_and_a_picture(
    results: dict[str, Any], tmp_path: Path
) -> None:
    command.save(results, tmp_path)
    command.show(results, tmp_path)

    assert json.loads((tmp_path / "results.json").read_text("utf-8")) == results
    text = (tmp_path / "results.md").read_text("utf-8")
    assert tables.readme(results) in text and "not met" in text
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_has_a_place_for_the_table_and_nothing_else_changes(tmp_path: Path) -> None:
    text = (TEMPLATE / "README.md").read_text("utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(text, encoding="utf-8")

    command.write_into(copy, "| a table |")

    before, _, rest = text.partition(command.BEGIN)
    after = rest.partition(command.END)[2]
    changed = copy.read_text("utf-8")
    assert after and changed.startswith(before) and changed.endswith(after)
    assert changed.count("| a table |") == 1


def test_names_are_unique_and_every_name_in_the_plan_is_known() -> None:
    names = Counter(contender.name for contender in plan.ALL)
    assert set(names.values()) == {1}
    for contender in plan.ALL:
        module = f"{contender.module}.py"
        assert (TEMPLATE / "benchmarks" / "contenders" / module).is_file(), contender.name
    for match in (*plan.MATCHES.values(), plan.COSTS, plan.GROWTH):
        assert set(match.contenders) <= set(names)
        assert len(set(match.contenders)) == len(match.contenders)
    for bar in plan.BARS:
        assert {bar.contender, bar.against} <= set(plan.MATCHES[bar.match].contenders)


def test_every_contender_is_first_as_often_as_the_others() -> None:
    names = ("a", "b", "c")

    orders = list(arena.orders(names, 6))

    assert Counter(order[0] for order in orders) == {"a": 2, "b": 2, "c": 2}
    assert all(sorted(order) == list(names) for order in orders)


def test_the_time_to_a_quality_looks_at_the_best_so_far(tmp_path: Path) -> None:
    rows = tmp_path / "metrics.jsonl"
    values = (0.1, 0.4, 0.2, 0.5)
    rows.write_text("".join(json.dumps({"val/r2": value}) + "\n" for value in values), "utf-8")

    assert measures.best_so_far(rows, "val/r2") == [0.1, 0.4, 0.4, 0.5]


def test_contenders_can_be_chosen_and_bare_always_takes_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--contenders", "ours,ours bf16"])

    chosen = {"bare", *command.parse().contenders}

    assert plan.MATCHES["cnn"].only(chosen).contenders == ("bare", "ours", "ours bf16")
    assert plan.MATCHES["table"].only(chosen).contenders == ("bare", "ours")


def test_a_contender_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--contenders", "bare,theirs"])

    with pytest.raises(SystemExit):
        command.parse()


@pytest.mark.parametrize(("name", "steps"), [("tiny", 10), ("table", 30)])
def test_contenders_take_the_same_steps_and_one_that_fails_is_out(
    name: str, steps: int, render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = plan.MATCHES[name]
    project = render(tmp_path, task=match.task)
    data = projects.prepare(tmp_path, project, 0.02, [name])
    broken = plan.Contender("broken", "no_such_module", "fails")
    monkeypatch.setitem(plan.CONTENDERS, "broken", broken)
    match = dataclasses.replace(match, contenders=("bare", "broken", "ours"))

    found = arena.compete(match, project, data, repeats=1)

    assert "no_such_module" in found["broken"]["error"]
    bare, ours = found["bare"], found["ours"]
    assert "error" not in bare and "error" not in ours, found
    for result in (bare, ours):
        assert [item["steps"] for item in result["rounds"]] == [steps, steps]
        assert all(item["seconds"] > 0 for item in result["rounds"])
        assert result["quality"] <= 1
        assert (result["peak_mib"] is None) == (sys.platform == "win32")
    (metrics,) = project.glob("runs/*/metrics.jsonl")  # it was the project's own loop
    assert len(metrics.read_text("utf-8").splitlines()) == 2
