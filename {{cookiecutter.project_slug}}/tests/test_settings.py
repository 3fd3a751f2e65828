"""Hyperparameters get their values in the documented order, and wrong ones are refused at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.cli import arguments
from {{ cookiecutter.__package }}.cli.arguments import (
    parse,
    requested_settings,
)
from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.cli.train import TrainArguments
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.engine.settings import RunSettings
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, without this machine's device.toml."""
    monkeypatch.setattr(arguments, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse_train(flags: list[str]) -> TrainArguments:
    return parse(TrainArguments, "train", flags)


def test_flags_are_above_the_file_which_is_above_the_machine(project: Path) -> None:
    (project / "device.toml").write_text('device = "cpu"\nnum_workers = 3\nepochs = 7\n')
    (project / "my.toml").write_text("num_workers = 4\nepochs = 8\n")
    parsed = parse_train(["--config", "my.toml", "--epochs", "9"])
    assert (parsed.device, parsed.num_workers, parsed.epochs) == ("cpu", 4, 9)


def test_without_files_and_flags_the_defaults_hold() -> None:
    assert parse_train([]).hparams == Hyperparameters()
    assert parse_train([]).run_settings == RunSettings()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--learning-rate", "-1"], "greater than 0"),
        (["--learning-rate", "inf"], "finite"),
        (["--batch-size", "0"], "greater than or equal to 1"),
        (["--val-fraction", "1.5"], "less than or equal to 0.9"),
        (["--momentum", "nan"], "finite"),
        (["--checkpoint-every", "soon"], "30s"),
        (["--epochs", "0", "--learning-rate", "0"], "learning-rate"),
    ],
)
def test_a_value_out_of_range_is_refused_with_a_sentence(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("epoch = 3", "Did you mean 'epochs'"),
        ('epochs = "three"', "valid integer"),
        ('optimizer = "adam"', "'adamw' or 'sgd'"),
        ("epochs = ", "not valid TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(project: Path, line: str, words: str) -> None:
    (project / "my.toml").write_text(line)
    with pytest.raises(UserError, match=rf"my\.toml.*{words}"):
        parse_train(["--config", "my.toml"])


def test_a_mistyped_flag_brings_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["train", "--epoch", "3"])
    assert error.value.code == 2
    printed = capsys.readouterr()
    assert "--epochs" in printed.out + printed.err


def test_a_mistyped_command_brings_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert "train" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../outside", "a/b", "latest", "", "."])
def test_the_name_of_a_run_cannot_leave_its_folder(name: str, project: Path) -> None:
    assert main(["train", f"--run={name}", "--device", "cpu"]) == 2
    assert not (project / "runs").exists() or not list((project / "runs").iterdir())


def test_flags_that_were_typed_are_known() -> None:
    words = ["--batch-size=3", "--no-tf32", "--run", "device", "--config", "x"]
    assert requested_settings(words) == {"batch_size", "tf32"}


@pytest.mark.parametrize("command", ["find-lr", "find-batch-size", "check-data"])
def test_flags_that_a_command_would_not_follow_are_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--limit-batches", "2", "--track", "wandb"]) == 2
    assert "no use for --limit-batches, --track" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        *(["train", "--help"], ["train", "--epochs", "0"], ["find-lr", "--help"], []),
        *(["evaluate", "--help"], ["find-batch-size", "--help"], ["report", "nothing"]),
    ],
)
def test_help_and_refusals_need_no_torch(argv: list[str]) -> None:
    program = (
        "import sys; from {{ cookiecutter.__package }}.cli.main import main\n"
        f"try: main({argv!r})\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    root = Path(str(arguments.__file__)).parent.parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, capture_output=True)


def test_little_data_is_passed_over_more_often_unless_epochs_are_given() -> None:
    assert Hyperparameters().num_epochs(1) > Hyperparameters().num_epochs(1_000_000) > 1
    assert Hyperparameters(epochs=3).num_epochs(1) == 3


def test_help_is_grouped_by_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    wanted = ["Data options", "Model options", "--init-from", "Optimizer and schedule options"]
    wanted += ["--learning-rate", "Run options", "--resume", "Machine options", "--device"]
    places = [printed.index(text) for text in wanted]
    assert places == sorted(places)
    assert "Number of passes over the training " in printed
