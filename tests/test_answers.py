"""Any answer gives a project whose every file parses, or one sentence and nothing on the disk."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CHOICES, QUESTIONS, TEMPLATE
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from torch_template_answers import MAX_SLUG_LENGTH, SLUG, default_slug, why_reserved

AWKWARD = [
    'She said "hello"',
    "It's 'quoted' \"\"\"three times\"\"\" and '''more'''",
    "back\\slash \\n \\u12 ends with \\",
    "two\nlines\r\nand\ttabs\u2028and\x85more",
    "{{ cookiecutter }} {% raw %} {# no #} }} %}",
    "${HOME} $(touch pwned) `touch pwned` ; touch pwned",
    '"); import os; os.system("touch pwned") #',
    "rocket 🚀, family 👨‍👩‍👧, flag 🇰🇷",
    "한국어 모델 이름",
    "مرحبا بالعالم \u202eright to left\u202c",
    "Zażółć gęślą jaźń, Ελληνικά, 日本語",
    "x" * 200,
    "한" * 200,
    "../../etc/passwd",
    "C:\\Users\\me",
    "[link](javascript:alert(1)) <script>alert(1)</script> # title",
    "key = 1 # comment",
    "- yaml: [list, {a: b}] & *anchor !tag | > %",
    "\ufeffbyte order mark",
    "\U0010ffff\uffff",
    "%s %(name)s {0} {name}",
    "---",
    "3D Net",
    "torch",
    "class",
    "&amp; &#x110000; &#99999999999;",
]
REFUSED_TEXTS = [
    "",
    "   ",
    "\n\t",
    "nul \x00",
    "escape \x1b[31m",
    "delete \x7f",
    "half \ud83d",
    "\x9b",
]
REFUSED_SLUGS = {
    "": "torch-project",
    "MyProject": "myproject",
    "my project": "my-project",
    "../x": "x",
    "a/b": "a-b",
    "a\\b": "a-b",
    "/tmp/x": "tmp-x",
    ".": "torch-project",
    "..": "torch-project",
    "-x": "x",
    "x-": "x",
    "x--y": "x-y",
    "3d-net": "project-3d-net",
    "한국어": "hangugeo",
    "x\n": "x",
    "x\x00y": "x-y",
    "x\ud83d": "x",
    "x" * 51: "x" * 50,
    "x" * 400: "x" * 50,
    **{
        reserved: f"{reserved}-project"
        for reserved in [
            *["class", "import", "json", "torch", "numpy", "tyro", "scikit-learn", "tomli-w"],
            *["tests", "test", "train", "runs", "data", "build"],
            *["con", "prn", "aux", "nul", "com1", "lpt9"],
        ]
    },
}
REFUSED_EMAILS = [
    *["", "me", "me@", "@example.com", "me @example.com", "a@b@c", 'x"y@example.com', "x\\@b.c"],
    *["é@example.com", "me@exämple.com", "me@example..com", ".me@example.com", "a@b.c\nd"],
]


class Typist:
    """Answers cookiecutter's questions as a person types them, in a folder of their own."""

    def __init__(self, folder: Path, config_file: Path) -> None:
        self.folder = folder
        self.config_file = config_file
        self.accept_hooks = True

    def generate(self, monkeypatch: pytest.MonkeyPatch, **answers: str) -> Path:
        """The project. Its folder is emptied first, so hundreds of them need no room."""
        assert set(answers) <= set(QUESTIONS)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

        def type_text(question: str, default: str, *_: Any) -> str:
            return answers.get(question, default)

        def choose(question: str, options: list[str], *_: Any) -> str:
            return answers.get(question, options[0])

        with monkeypatch.context() as patch:
            patch.setattr("cookiecutter.prompt.read_user_variable", type_text)
            patch.setattr("cookiecutter.prompt.read_user_choice", choose)
            return Path(
                cookiecutter(
                    str(TEMPLATE),
                    output_dir=str(self.folder),
                    config_file=str(self.config_file),
                    accept_hooks=self.accept_hooks,
                )
            )

    def refusal(self, monkeypatch: pytest.MonkeyPatch, **answers: str) -> str:
        """The sentence of refusal; nothing may be on the disk, not even beside the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = set(self.folder.parent.iterdir())
        with pytest.raises(FailedHookException) as refused:
            self.generate(monkeypatch, **answers)
        assert not any(self.folder.iterdir())
        assert set(self.folder.parent.iterdir()) == before
        sentence = str(refused.value)
        assert sentence.isascii() and "\n" not in sentence and sentence.endswith(".")
        return sentence


@pytest.fixture
def typist(tmp_path: Path, config_file: Path) -> Typist:
    return Typist(tmp_path / "work" / "projects", config_file)


def check_parses(project: Path) -> dict[str, Any]:
    """Every file of the project is what its name says; returns what pyproject.toml holds."""
    for path in project.rglob("*"):
        if path.suffix == ".py":
            compile(path.read_text("utf-8"), str(path), "exec")
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text("utf-8"))
        elif path.suffix in {".yml", ".yaml"}:
            assert yaml.safe_load(path.read_text("utf-8"))
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
    metadata: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    return dict(metadata["project"])


def check_carries(project: Path, answers: dict[str, str]) -> None:
    """The project's files parse and hold the answers, with every white space as one space."""
    metadata = check_parses(project)
    author = one_line(answers["author_name"])
    assert metadata["description"] == one_line(answers["description"])
    assert metadata["authors"][0]["name"] == author
    assert author in (project / "LICENSE").read_text("utf-8")
    readme = (project / "README.md").read_text("utf-8").splitlines()
    assert readme[0] == f"# {one_line(answers['project_name'])}"
    assert metadata["name"] == project.name
    assert (project / project.name.replace("-", "_")).is_dir()


def one_line(text: str) -> str:
    return " ".join(text.split())


printable = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\"'\\\n\t{}%#<>&/ 한😀م"),
    max_size=200,
)
free_text = st.sampled_from(AWKWARD) | printable.filter(lambda text: bool(text.strip()))
any_slug = (
    st.sampled_from([*REFUSED_SLUGS, *AWKWARD, *sorted(sys.stdlib_module_names)])
    | st.text("abyz09-_", max_size=60)
    | st.text(max_size=60)
)
choices = st.fixed_dictionaries(
    {question: st.sampled_from(options) for question, options in CHOICES.items()}
)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=free_text, description=free_text | st.just(""), author=free_text, chosen=choices)
def test_any_printable_text_gives_a_project_that_carries_it(
    typist: Typist,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    description: str,
    author: str,
    chosen: dict[str, str],
) -> None:
    answers = {"project_name": name, "description": description, "author_name": author, **chosen}
    typist.accept_hooks = False  # no free text reaches one, and they take most of the time
    project = typist.generate(monkeypatch, **answers)

    check_carries(project, answers)
    assert list(typist.folder.iterdir()) == [project]


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_survives_the_hooks(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    answers = {"project_name": text, "description": text, "author_name": text}

    check_carries(typist.generate(monkeypatch, **answers), answers)


@settings(max_examples=300, deadline=None)
@given(name=st.text() | st.sampled_from(AWKWARD))
@example(name="con")
@example(name="3")
@example(name="class " + "x" * 60)
def test_the_slug_of_any_name_is_usable(name: str) -> None:
    slug = default_slug(name)

    assert SLUG.fullmatch(slug)
    assert len(slug) <= MAX_SLUG_LENGTH
    assert not why_reserved(slug)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(slug=any_slug)
def test_any_slug_gives_a_project_in_its_folder_or_nothing(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, slug: str
) -> None:
    assume(slug != "")
    try:
        project = typist.generate(monkeypatch, project_slug=slug)
    except FailedHookException:
        assert typist.refusal(monkeypatch, project_slug=slug)
    else:
        assert project == typist.folder / slug
        assert re.fullmatch("[a-z][a-z0-9_-]*", slug)
        assert check_parses(project)["name"] == slug


@pytest.mark.parametrize("text", REFUSED_TEXTS)
@pytest.mark.parametrize("question", ["project_name", "author_name"])
def test_text_that_cannot_be_printed_is_refused(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, question: str, text: str
) -> None:
    assert typist.refusal(monkeypatch, **{question: text}).startswith(question)


@pytest.mark.parametrize(("slug", "suggestion"), REFUSED_SLUGS.items())
def test_an_unusable_slug_is_refused_with_a_usable_suggestion(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, slug: str, suggestion: str
) -> None:
    sentence = typist.refusal(monkeypatch, project_slug=slug)

    assert sentence.endswith(f"try '{suggestion}'.")
    assert not why_reserved(suggestion)


@pytest.mark.parametrize("address", REFUSED_EMAILS)
def test_what_is_no_plain_address_is_refused(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    assert typist.refusal(monkeypatch, author_email=address).startswith("author_email")


@pytest.mark.parametrize("address", ["a@b", "o'neil+x_{y}@mail.example.co.uk", "  me@example.com "])
def test_plain_addresses_arrive_whole(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    project = typist.generate(monkeypatch, author_email=address)

    assert check_parses(project)["authors"][0]["email"] == address.strip()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Torch Project", "my-torch-project"),
        ("한국어 모델", "hangugeo-model"),
        ("3D Net", "project-3d-net"),
        ("Torch", "torch-project"),
        ("🚀", "torch-project"),
        ("Tests", "tests-project"),
        ("Žluťoučký kůň", "zlutoucky-kun"),
        ("x" * 200, "x" * 50),
    ],
)
def test_the_slug_is_made_from_the_name(name: str, slug: str) -> None:
    assert default_slug(name) == slug


def test_answers_shaped_like_code_are_not_run(
    typist: Typist, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proof = tmp_path / "pwned"
    monkeypatch.chdir(tmp_path)
    texts = [text.replace("pwned", str(proof)) for text in AWKWARD if "pwned" in text]
    texts += [f"{{{{ cookiecutter.update({{'x': 1}}) }}}} __import__('os').mkdir({str(proof)!r})"]

    for text in texts:
        project = typist.generate(
            monkeypatch, project_name=text, description=text, author_name=text
        )
        assert check_parses(project)["description"] == text

    assert not proof.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"work"}


def test_names_of_all_dependencies_are_reserved(
    typist: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in CHOICES["task"]:
        project = typist.generate(monkeypatch, task=task)
        pyproject = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        for requirement in [
            *pyproject["project"]["dependencies"],
            *pyproject["dependency-groups"]["dev"],
        ]:
            name = re.match("[A-Za-z0-9_-]+", requirement)
            assert name and why_reserved(name.group()), requirement


@pytest.mark.parametrize("hooks", ["yes", "no"])
def test_the_command_line_ends_with_one_sentence_and_code_1(
    tmp_path: Path, config_file: Path, hooks: str
) -> None:
    outcome = subprocess.run(
        [
            *[sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input"],
            *["--config-file", str(config_file), "--output-dir", str(tmp_path / "out")],
            *["--accept-hooks", hooks, "project_slug=../x"],
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert outcome.returncode == 1
    assert outcome.stdout.splitlines() == [
        "project_slug '../x' must be small letters a-z, digits and single hyphens, "
        "beginning with a letter: try 'x'."
    ]
    assert outcome.stderr == ""
    assert list(tmp_path.iterdir()) == []
