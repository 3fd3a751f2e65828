"""The table of pairs of answers: any two answers stand together in a project."""

import itertools

import pytest
from conftest import CHOICES
from hypothesis import given
from hypothesis import strategies as st

from tools import pairs

QUESTIONS = st.dictionaries(
    st.text("abcde", min_size=1, max_size=3),
    st.lists(st.text("xyz", min_size=1, max_size=3), min_size=1, max_size=4, unique=True),
    min_size=2,
    max_size=5,
)


@given(QUESTIONS)
def test_any_two_answers_stand_together(choices: dict[str, list[str]]) -> None:
    rows = pairs.cover_pairs(choices)

    for one, two in itertools.combinations(choices, 2):
        found = {(row[one], row[two]) for row in rows}
        assert found == set(itertools.product(choices[one], choices[two]))


def test_the_rows_are_hardly_more_than_the_two_longest_questions_need() -> None:
    choices = pairs.read_choices()
    longest = sorted(map(len, choices.values()))[-2:]

    assert choices == CHOICES | {"extras": ["none", "all"]}
    assert len(pairs.cover_pairs(choices)) <= longest[0] * longest[1] + 5


def test_a_project_that_fails_a_check_is_named_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = {"passes": ["-c", "pass"], "fails": ["-c", "print('what went wrong'); exit(3)"]}
    monkeypatch.setattr(pairs, "CHECKS", steps)
    monkeypatch.setattr(pairs, "cover_pairs", lambda choices: [{"ci": "none"}])
    monkeypatch.setattr("sys.argv", ["pairs.py"])

    assert pairs.main() == 1

    printed, said = capsys.readouterr()
    assert printed.splitlines()[2].split(" | ")[3] == "FAILED (3)"
    assert "what went wrong" in said
