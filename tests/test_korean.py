"""The Korean pages say what the English ones say: the same sections, commands and programs.

What can be typed is compared letter by letter, so nothing needs to be run twice.
"""

import re
from pathlib import Path

import pytest
from conftest import CHOICES, TEMPLATE, Render
from pages import blocks_in

TYPED = "sh", "python", "diff", "toml"
LAST = "영어판에만 있는 내용"
HANGUL = re.compile("[가-힣]")


@pytest.fixture(scope="session", params=["the template", *CHOICES["task"]])
def pages(request: pytest.FixtureRequest, rendered: Render) -> tuple[str, str]:
    """The English and the Korean page of the template, or of a project."""
    task = request.param
    folder: Path = rendered(task=task, extras="korean") if task in CHOICES["task"] else TEMPLATE
    english, korean = ((folder / name).read_text("utf-8") for name in ("README.md", "README.ko.md"))
    return english, korean


def sections(page: str) -> dict[str, str]:
    """The sections by their headings; what stands before the first one is left out."""
    parts = re.split(r"^## (.*)\n", page, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def anchor(heading: str) -> str:
    """As GitHub and GitLab make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def pairs(pages: tuple[str, str]) -> list[tuple[str, str]]:
    """The sections that are in both, in their order; the others are named at the end."""
    english, korean = sections(pages[0]), sections(pages[1])
    named = set(re.findall(r"\]\(README\.md#(.*?)\)", korean.pop(LAST)))
    both = [text for heading, text in english.items() if anchor(heading) not in named]
    assert named <= {anchor(heading) for heading in english}
    assert len(both) == len(korean), f"neither translated nor named: {list(english)}"
    return list(zip(both, korean.values(), strict=True))


def test_every_section_is_translated_or_named(pages: tuple[str, str]) -> None:
    assert len(pairs(pages)) >= 6
    for heading, text in sections(pages[1]).items():
        assert HANGUL.search(heading)
        assert len(HANGUL.findall(text)) > 20, heading


def test_what_is_typed_is_the_same(pages: tuple[str, str]) -> None:
    for english, korean in pairs(pages):
        for kind in TYPED:
            assert blocks_in(korean, kind) == blocks_in(english, kind)
        assert len(blocks_in(korean, "text")) == len(blocks_in(english, "text"))


def test_tables_have_the_same_rows(pages: tuple[str, str]) -> None:
    for english, korean in pairs(pages):
        names = [
            re.findall(r"^\| (`.*?`|\w+)(?= \||,)", text, re.MULTILINE)
            for text in (english, korean)
        ]
        code = [[name for name in found if name.isascii()] for found in names]
        assert code[1] == [name for name in code[0] if name in code[1]]
        rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in (english, korean)]
        assert rows[0] == rows[1]


def test_flags_and_names_exist_in_the_english_page(pages: tuple[str, str]) -> None:
    for english, korean in pairs(pages):
        of_english = set(re.findall(r"--[a-z][a-z-]+", english))
        assert set(re.findall(r"--[a-z][a-z-]+", korean)) <= of_english


def test_links_lead_somewhere(pages: tuple[str, str]) -> None:
    for target in re.findall(r"\]\(([a-zA-Z/.]+\.md)", pages[1]):
        assert target == "README.md" or (TEMPLATE / target).is_file()
