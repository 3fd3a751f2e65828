"""Projects are made as people make them: from anything, into anything, by anybody."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, TEMPLATE
from cookiecutter.cli import main as command_line
from cookiecutter.exceptions import OutputDirExistsException
from cookiecutter.main import cookiecutter
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import make_machine, row

from detection.detect import detect

ODD = "a b/템플릿 '프로젝트'"
NAME = "my-torch-project"


def typed(*words: str, cwd: Path, config: Path, environ: dict[str, str] | None = None) -> str:
    """What cookiecutter prints when it is typed with these words; its exit code must be 0."""
    command = [sys.executable, "-m", "cookiecutter", *words, "--config-file", str(config)]
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def refusal(*words: str, config: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that is printed when a command is refused."""
    with pytest.raises(SystemExit) as end:
        command_line([str(TEMPLATE), "--no-input", "--config-file", str(config), *words])
    assert end.value.code == 1
    line, nothing = capsys.readouterr()
    assert line.count("\n") == 1 and not nothing
    return line.strip()


def files_of(project: Path) -> dict[str, bytes]:
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and path.name != "device.toml"
    }


@pytest.fixture(scope="module")
def plain(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a project, made in the simplest way."""
    made = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        output_dir=str(tmp_path_factory.mktemp("plain")),
        config_file=str(config_file),
        extra_context={"torch_build": "cpu"},
    )
    return files_of(Path(made))


def copy_of_template(folder: Path) -> Path:
    """What an archive of the template holds, without its tests."""
    folder.mkdir(parents=True)
    for name in ("detection", "hooks", "templates", PROJECT.name):
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
        shutil.copytree(TEMPLATE / name, folder / name, ignore=ignored)
    for name in ("cookiecutter.json", "torch_template_answers.py"):
        shutil.copy(TEMPLATE / name, folder)
    return folder


def test_zip_in_a_folder_with_spaces_and_hangul_gives_the_same(
    plain: dict[str, bytes], config_file: Path, tmp_path: Path
) -> None:
    template = copy_of_template(tmp_path / ODD / "torch-template")
    archive = shutil.make_archive(
        str(tmp_path / ODD / "보관"), "zip", template.parent, template.name
    )
    shutil.rmtree(template)
    output = tmp_path / ODD / "만든 것"
    words = [archive, "--no-input", "-o", str(output), "torch_build=cpu"]
    printed = typed(*words, cwd=tmp_path / ODD, config=config_file)
    assert files_of(output / NAME) == plain
    assert f'  cd "만든 것/{NAME}"' in printed.splitlines()


def test_template_in_a_folder_of_another_repository(
    plain: dict[str, bytes], config_file: Path, tmp_path: Path
) -> None:
    copy_of_template(tmp_path / "all" / "ml" / "torch")
    words = [str(tmp_path / "all"), "--directory", "ml/torch", "--no-input", "torch_build=cpu"]
    printed = typed(*words, cwd=tmp_path, config=config_file)
    assert files_of(tmp_path / NAME) == plain
    assert f"  cd {NAME}" in printed.splitlines()


def test_replay_makes_the_same_project_again(
    plain: dict[str, bytes], config_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"replay_dir": str(tmp_path / "replay")}), "utf-8")
    for folder, options in (
        ("first", {"no_input": True, "extra_context": {"torch_build": "cpu"}}),
        ("second", {"replay": True}),
    ):
        output = str(tmp_path / folder)
        cookiecutter(str(TEMPLATE), output_dir=output, config_file=str(config), **options)
    assert files_of(tmp_path / "second" / NAME) == plain


def test_answers_that_a_project_keeps_make_it_again(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    config = tmp_path / "answers.yaml"
    config.write_bytes(plain[".template.yaml"])
    answers = str(config)
    made = cookiecutter(str(TEMPLATE), no_input=True, config_file=answers, output_dir=str(tmp_path))
    assert files_of(Path(made)) == plain


def test_folder_that_exists_is_left_alone_unless_it_is_forced(
    plain: dict[str, bytes], config_file: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / NAME / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("ours", "utf-8")
    options = {"no_input": True, "output_dir": str(tmp_path), "config_file": str(config_file)}
    options |= {"extra_context": {"torch_build": "cpu"}}
    with pytest.raises(OutputDirExistsException):
        cookiecutter(str(TEMPLATE), **options)
    assert [path.name for path in theirs.parent.iterdir()] == ["notes.txt"]
    cookiecutter(str(TEMPLATE), overwrite_if_exists=True, **options)
    assert files_of(theirs.parent) == plain | {"notes.txt": b"ours"}


NOBODY = """
import pwd

def missing(*_):
    raise KeyError("no such user")

pwd.getpwuid = pwd.getpwnam = missing
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such users")
def test_user_without_a_home_a_passwd_entry_and_git(
    plain: dict[str, bytes], config_file: Path, tmp_path: Path
) -> None:
    """As in a container that runs under a number."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOBODY, "utf-8")
    hidden = {"HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
    environ = {key: value for key, value in os.environ.items() if key not in hidden}
    environ |= {"PATH": "", "PYTHONPATH": str(tmp_path / "site")}
    words = [str(TEMPLATE), "--no-input", "-o", str(tmp_path), "torch_build=cpu"]
    typed(*words, cwd=tmp_path, config=config_file, environ=environ)
    assert files_of(tmp_path / NAME) == plain
    assert (tmp_path / NAME / "device.toml").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "site"]


# --- what is refused, in one sentence ------------------------------------------------------------


def test_question_that_does_not_exist_is_refused(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cookiecutter would ignore it, and make a project of the default task."""
    words = ("-o", str(tmp_path / "out"), "taks=tabular_regression")
    line = refusal(*words, config=config_file, capsys=capsys)
    assert line.startswith("There is no question 'taks': they are project_name, ")
    assert not (tmp_path / "out").exists()


def test_hidden_values_may_still_be_given(config_file: Path, tmp_path: Path) -> None:
    words = ["--no-input", "--config-file", str(config_file), "-o", str(tmp_path), "__year=1999"]
    with pytest.raises(SystemExit) as end:
        command_line([str(TEMPLATE), "--accept-hooks", "no", *words])
    assert end.value.code == 0
    assert "1999" in (tmp_path / NAME / "LICENSE").read_text("utf-8")


def test_output_that_is_a_file_is_refused(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    words = ("-o", str(tmp_path / "file" / "below"))
    line = refusal(*words, config=config_file, capsys=capsys)
    assert line.endswith("is not a folder: name another one with --output-dir.")


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to this user"
)
def test_output_that_cannot_be_written_to_is_refused(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    line = refusal("-o", str(tmp_path / "locked"), config=config_file, capsys=capsys)
    assert "cannot be written to" in line


# --- the last lines ------------------------------------------------------------------------------


def test_last_lines_can_be_typed_in_every_shell(config_file: Path, tmp_path: Path) -> None:
    """bash, fish, PowerShell and cmd: one command a line, no && and no single quotes."""
    words = [str(TEMPLATE), "--no-input", "-o", "out put", "torch_build=cpu"]
    lines = typed(*words, cwd=tmp_path, config=config_file).splitlines()
    steps = [line.strip() for line in lines[lines.index("Next:") :] if line.startswith("  ")]
    assert steps[:2] == [f'cd "out put/{NAME}"', "uv run train.py"]
    assert not [step for step in steps if re.search(r"[&;|'$`]", step)]
    readme = (tmp_path / "out put" / NAME / "README.md").read_text("utf-8")
    assert all(step in readme for step in steps if step.startswith("python "))
    folder = Path(steps[0].removeprefix("cd ").strip('"'))
    for step in steps[-3:]:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', step)]
        who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *who, *words[1:]], cwd=tmp_path / folder, check=True)
    status = ["git", "status", "--porcelain", "--branch"]
    left = subprocess.run(status, cwd=tmp_path / folder, capture_output=True, check=True).stdout
    assert left.startswith(b"## ") and left.count(b"\n") == 1


# --- names of GPUs -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine")


@given(
    name=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60)
    | st.sampled_from(
        ['"RTX" A6000', '"A, B', "A6000, Rev. 2", ",", "GPU-0", "[N/A]", "12.0", "RTX 2, 580.95"]
    )
)
@settings(max_examples=200, deadline=None)
def test_gpu_of_any_name_is_found(name: str, machine_folder: Path) -> None:
    machine = make_machine(machine_folder, smi=row(name, "8.9", "580.95.05"))
    found = detect("auto", machine)
    assert [gpu.capability for gpu in found.gpus] == [(8, 9)]
    assert (found.kind, found.driver) == ("cuda", "580.95.05")
    assert found.summary().isprintable()
