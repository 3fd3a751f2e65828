"""Text classification: data, models and criterion."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from {{ cookiecutter.__package }}.__main__ import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.datasets import UNKNOWN, make_data, tokenize
from {{ cookiecutter.__package }}.errors import UserError
from {{ cookiecutter.__package }}.figures import draw
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.models import make_model
from {{ cookiecutter.__package }}.visualize import style

FACTS = {"classes": ["a", "b", "c"], "vocabulary": list("etaoinshr")}
MODELS = ["gru", "lstm", "transformer"]
PADDING = 0
Row = tuple[str, object]


def reviews(num_texts: int = 60) -> list[Row]:
    """Texts whose class is told by one word in them."""
    words = {"good": ["great", "lovely", "tasty"], "bad": ["awful", "cold", "late"]}
    return [
        (f"The food was {words[label][n % 3]}, I think; {n % 7} of us went.", label)
        for n in range(num_texts // 2)
        for label in words
    ]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def write_jsonl(path: Path, rows: Sequence[Row]) -> Path:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_folders(path: Path, rows: list[Row]) -> Path:
    for number, (text, label) in enumerate(rows):
        (path / str(label)).mkdir(parents=True, exist_ok=True)
        (path / str(label) / f"{number}.txt").write_text(text, encoding="utf-8")
    return path


def write_parts(path: Path, rows: list[Row]) -> Path:
    path.mkdir()
    write_csv(path / "train.csv", rows[10:])
    write_jsonl(path / "test.jsonl", rows[:10])
    return path


FORMATS = {
    "reviews.csv": write_csv,
    "reviews.jsonl": write_jsonl,
    "folders": write_folders,
    "parts": write_parts,
}


def refusal(path: Path, **values: Any) -> str:
    """What the user is told about the data."""
    with pytest.raises(UserError) as error:
        make_data(Hyperparameters(data=path, **values))
    return str(error.value)


def refused(content: str | bytes, path: Path, **values: Any) -> str:
    """What the user is told about a file of that content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return refusal(path, **values)


def test_the_names_are_split_into_parts_that_do_not_overlap() -> None:
    data = make_data(Hyperparameters())
    parts: list[Any] = [data.train, data.val, data.test]
    texts = [{part.text(i) for i in range(len(part))} for part in parts]
    places = [{part.describe(i) for i in range(len(part))} for part in parts]
    total = sum(map(len, parts))
    assert total == len(set.union(*texts)) == len(set.union(*places)) > 15_000
    assert len(data.facts["classes"]) == 33
    assert "German" in data.facts["classes"]


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (make_data(Hyperparameters(split_seed=seed)) for seed in (0, 0, 1))
    assert first.facts == again.facts
    assert first.val.describe(0) == again.val.describe(0)
    assert [first.val.describe(i) for i in range(9)] != [other.val.describe(i) for i in range(9)]


def test_a_fetched_batch_is_that_of_the_samples_with_padding() -> None:
    samples: Any = make_data(Hyperparameters()).train
    indices = [5, 0, 4000, 3]
    tokens, lengths, labels = samples.fetch(np.array(indices))
    assert lengths.tolist() == [len(samples[i][0]) for i in indices]
    assert tokens.dtype == labels.dtype == torch.int64
    assert tokens.shape == (4, max(len(samples[i][0]) for i in indices))
    for row, label, i in zip(tokens, labels, indices, strict=True):
        expected, expected_label = samples[i]
        assert torch.equal(row[: len(expected)], expected)
        assert (row[len(expected) :] == PADDING).all()
        assert label == expected_label


def test_texts_are_sorted_by_the_lengths_that_they_have() -> None:
    data = make_data(Hyperparameters())
    assert data.train_lengths is not None
    assert [data.train_lengths[i] for i in range(50)] == [len(data.train[i][0]) for i in range(50)]


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("Çé", {}, ["Ç", "é"]),
        ("e\u0301 É", {"lowercase": True}, ["é", " ", "é"]),
        ("It's 5 o'clock!", {"tokens": "words"}, ["It", "'", "s", "5", "o", "'", "clock", "!"]),
        ("हिन्दी भाषा", {"tokens": "words"}, ["हिन्दी", "भाषा"]),
        ("한국어 문장.", {"tokens": "words"}, ["한국어", "문장", "."]),
    ],
)
def test_a_text_is_split_into_characters_or_words(
    text: str, values: dict[str, Any], expected: list[str]
) -> None:
    assert tokenize(text, Hyperparameters(**values)) == expected


def test_the_vocabulary_is_that_of_the_training_texts_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_csv(folder / "train.csv", [("aa bb aa", "x"), ("bb cc", "y")] * 2 + [("dd", "x")])
    write_csv(folder / "val.csv", [("aa zz", "x"), ("cc zz", "y")])
    write_csv(folder / "test.csv", [("zz", "x")])
    data = make_data(Hyperparameters(data=folder, tokens="words"))
    assert data.facts["vocabulary"] == ["aa", "bb", "cc"]
    assert data.train[4][0].tolist() == data.test[0][0].tolist() == [UNKNOWN]
    assert data.val[0][0].tolist() == [UNKNOWN + 1, UNKNOWN]
    assert "50.0% of the words" in capsys.readouterr().err


def test_long_texts_are_cut_and_the_number_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Row] = [("word " * (100_000 if n == 0 else 3), n % 2) for n in range(20)]
    path = write_csv(tmp_path / "long.csv", rows)
    data = make_data(Hyperparameters(data=path, max_length=10, tokens="words"))
    parts: list[Any] = [data.train, data.val, data.test]
    assert max(len(part[i][0]) for part in parts for i in range(len(part))) == 10
    assert "1 of 20 texts have more than 10 tokens" in capsys.readouterr().err


def test_the_data_of_the_project_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    make_data(Hyperparameters())
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_texts(name: str, tmp_path: Path) -> None:
    data = make_data(Hyperparameters(data=FORMATS[name](tmp_path / name, reviews())))
    parts: list[Any] = [data.train, data.val, data.test]
    classes = data.facts["classes"]
    assert classes == ["bad", "good"]
    found = [(p.text(i), classes[p[i][1]]) for p in parts for i in range(len(p))]
    assert sorted(found) == sorted(reviews())
    assert len(data.test) == (10 if name == "parts" else 8)


def test_labels_may_be_numbers_which_are_names_in_the_order_of_numbers(tmp_path: Path) -> None:
    rows: list[Row] = [(f"text {n}", n % 12) for n in range(60)]
    paths = write_csv(tmp_path / "a.csv", rows), write_jsonl(tmp_path / "a.jsonl", rows)
    for path in paths:
        assert make_data(Hyperparameters(data=path)).facts["classes"] == list(map(str, range(12)))


def test_columns_may_have_any_name_and_semicolons_may_separate_them(tmp_path: Path) -> None:
    lines = ['id;"what they said";verdict', *(f'{n};"a;b\nc{n}";{n % 2}' for n in range(20))]
    path = tmp_path / "a.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    columns = {"text_column": "what they said", "label_column": "verdict"}
    data = make_data(Hyperparameters(data=path, **columns))  # type: ignore[arg-type]
    train: Any = data.train
    assert train.text(0).startswith("a;b\nc")
    assert train.describe(0).startswith("row ")
    assert sum(map(len, (data.train, data.val, data.test))) == 20


ROWS = "".join(f"some text,{'ab'[n % 2]}\n" for n in range(20))
LINES = "".join(json.dumps({"text": "t", "label": "ab"[n % 2]}) + "\n" for n in range(20))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("txt,label\n" + ROWS, "'text'. Type --text-column with one of: txt, label"),
        ("text,class\n" + ROWS, "'label'. Type --label-column with one of: text, class"),
        ("text,label\nhello,\n" + ROWS, "row 2 of {path.name}: 'label' is empty"),
        ("text,label\nx,a\n \t,a\n" + ROWS, "row 3 of {path.name}: 'text' is empty"),
        ("text,label\nx,a\nyes, no,b\n" + ROWS, "{path} has 3 cells in row 3"),
        ("text,label\nx,a\n\n\nshort\n" + ROWS, "{path} has 1 cells in row 5"),
        ('text,label\nx,a\n"x,a\n' + ROWS, "{path} is not CSV after row 2"),
        (b"text,label\nx,a\n\xff,b\n", "{path} is not text in UTF-8 (line 3)"),
        ("text,label\n" + "x,a\n" * 20, "All texts of {path} have the label 'a'"),
        ("text,label\n" + ROWS + "x,c\n", "'c' has too few texts (1)"),
        ("text,label\n", "{path} has no texts"),
        ("", "{path} has no texts"),
    ],
)
def test_a_bad_csv_file_is_refused_with_the_place(
    content: str | bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    assert words.format(path=path) in refused(content, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LINES + "[1, 2]\n", "Line 21 of {path} is no JSON object"),
        ('{"text": "t"\n' + LINES, "{path} is not JSON in line 1"),
        ('\n{"text": "t"}\n' + LINES, "line 2 of {path.name} has no 'label'"),
        ('{"text": "t", "label": null}\n' + LINES, "line 1 of {path.name}: 'label' is empty"),
        ('{"text": ["t"], "label": "a"}\n' + LINES, "line 1 of {path.name}: 'text' is a list"),
    ],
)
def test_bad_json_lines_are_refused_with_the_place(
    content: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    assert words.format(path=path) in refused(content, path)


def test_a_label_that_training_does_not_have_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", reviews())
    write_csv(tmp_path / "val.csv", [("fine", "good"), ("fine", "so-so")])
    message = refusal(tmp_path)
    assert "row 3 of" in message and "val.csv" in message and "'so-so'" in message


def test_a_text_file_that_is_empty_or_not_utf_8_is_named(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "data", reviews())
    (folder / "bad" / "1.txt").write_bytes(b"\xff\xfe")
    assert "1.txt is not text in UTF-8" in refusal(folder)
    (folder / "bad" / "1.txt").write_text(" \n")
    assert "1.txt is empty" in refusal(folder)


def test_data_that_is_not_there_or_not_for_training_is_refused(tmp_path: Path) -> None:
    assert "nothing.csv" in refusal(tmp_path / "nothing.csv")
    assert "notes.docx is not a .csv" in refused("x", tmp_path / "notes.docx")
    assert "no train.csv" in refusal(write_csv(tmp_path / "test.csv", reviews()).parent)
    write_csv(tmp_path / "train.csv", reviews())
    write_jsonl(tmp_path / "train.jsonl", reviews())
    assert "both train.csv and train.jsonl" in refusal(tmp_path)


def test_a_vocabulary_without_tokens_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", reviews())
    assert "--min-count" in refusal(path, min_count=100_000)


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        Hyperparameters(model="transformer", width=100)


def batch_of(*lengths: int) -> torch.Tensor:
    """Texts of random tokens, padded to the longest."""
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = torch.randint(UNKNOWN, 11, (len(lengths), max(lengths)), generator=generator)
    inside = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.where(inside, tokens, PADDING)


def lengths_of(tokens: torch.Tensor) -> np.ndarray:
    """Where each text ends."""
    lengths: np.ndarray = (tokens != PADDING).sum(1).numpy()
    return lengths


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("values", [{}, {"bidirectional": False, "depth": 2}])
def test_padding_never_changes_an_answer(model: Any, values: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = make_model(Hyperparameters(model=model, **values), FACTS).eval()
    tokens = batch_of(3, 40, 1, 17)
    together = network(tokens, lengths_of(tokens))
    assert together.shape == (4, 3)
    for row, answer in zip(tokens, together, strict=True):
        single = row[row != PADDING].unsqueeze(0)
        alone = network(single, lengths_of(single))
        torch.testing.assert_close(alone[0], answer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_the_order_of_the_tokens_matters(model: Any) -> None:
    torch.manual_seed(0)
    network = make_model(Hyperparameters(model=model), FACTS).eval()
    tokens = batch_of(12)
    lengths = lengths_of(tokens)
    forwards, backwards = network(tokens, lengths), network(tokens.flip(1), lengths)
    assert not torch.allclose(forwards, backwards, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("depth", [1, 2])
def test_every_weight_gets_a_gradient(model: Any, depth: int) -> None:
    torch.manual_seed(0)
    settings = Hyperparameters(model=model, depth=depth)
    network = make_model(settings, FACTS)
    tokens = batch_of(30, 5, 12)
    batch = tokens, lengths_of(tokens), torch.tensor([0, 1, 2])
    Criterion(settings, FACTS).loss(network, batch).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_bidirectional_network_reads_both_ways() -> None:
    """After the first token, only a network that reads from the end knows the others."""
    for bidirectional in (False, True):
        torch.manual_seed(0)
        settings = Hyperparameters(bidirectional=bidirectional)
        network: Any = make_model(settings, FACTS).eval()
        tokens = torch.tensor([[2, 3, 4], [2, 5, 6]])
        features = network.encoder(network.embedding(tokens), tokens != PADDING, lengths_of(tokens))
        assert torch.allclose(features[0, 0], features[1, 0]) != bidirectional


def test_a_token_sees_its_neighbours_and_no_others() -> None:
    torch.manual_seed(0)
    network: Any = make_model(Hyperparameters(), FACTS).eval()
    texts = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 6]])
    first, second = network.look_around(network.embedding(texts))
    unchanged = [torch.allclose(a, b) for a, b in zip(first, second, strict=True)]
    assert unchanged == [True, True, False, False]


def test_tokens_are_lost_in_training_only() -> None:
    torch.manual_seed(0)
    network = make_model(Hyperparameters(dropout=0, token_dropout=0.5), FACTS)
    texts = batch_of(20, 20), np.array([20, 20])
    assert not torch.allclose(network.train()(*texts), network(*texts))
    assert torch.equal(network.eval()(*texts), network(*texts))


@pytest.mark.parametrize("model", MODELS)
def test_one_batch_can_be_learned_by_heart(model: Any) -> None:
    settings = Hyperparameters(model=model, dropout=0, token_dropout=0, label_smoothing=0)
    data = make_data(settings)
    samples: Any = data.train
    torch.manual_seed(0)
    network, criterion = make_model(settings, data.facts), Criterion(settings, data.facts)
    batch = samples.fetch(np.arange(0, 6400, 200))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = criterion.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_metrics_are_those_of_a_calculation_by_hand() -> None:
    criterion = Criterion(Hyperparameters(), FACTS)
    logits = torch.eye(3)[[0, 0, 1, 2]]
    metrics = criterion.metrics()
    criterion.update(metrics, {"logits": logits, "target": torch.tensor([0, 1, 1, 2])})
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"accuracy": 3 / 4, "f1": (2 / 3 + 2 / 3 + 1) / 3})


def test_evaluation_gives_a_row_for_each_text() -> None:
    settings = Hyperparameters()
    network = make_model(settings, FACTS).eval()
    batch = batch_of(4, 9), np.array([4, 9]), torch.tensor([0, 2])
    outputs = Criterion(settings, FACTS).evaluate(network, batch)
    assert outputs["length"].tolist() == [4, 9]
    assert outputs["logits"].shape == (2, 3)
    expected = torch.nn.functional.cross_entropy(outputs["logits"][1:], torch.tensor([2]))
    assert outputs["loss"][1].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("num_classes", [2, 60])
def test_figures_are_drawn_for_any_texts_and_classes(
    num_classes: int, is_right: bool, tmp_path: Path
) -> None:
    names = ["<script>$x$", "한국어 " * 20, *(f"class {n}" for n in range(58))][:num_classes]
    rows: list[Row] = [("$<b>العربية " * (n % 9 + 1), names[n % num_classes]) for n in range(300)]
    data = make_data(Hyperparameters(data=write_csv(tmp_path / "a.csv", rows)))
    target = torch.stack([torch.as_tensor(data.val[i][1]) for i in range(len(data.val))])
    predicted = target if is_right else (target + 1) % num_classes
    predictions = {
        "index": np.arange(len(target)),
        "target": target.numpy(),
        "logits": 5 * torch.eye(num_classes)[predicted].numpy(),
        "length": np.array([len(data.val[i][0]) for i in range(len(target))]),
    }
    with style():
        figures = list(draw(predictions, data))
    assert [name for name, _, _ in figures] == [
        *["confusion_matrix", "classes", "mistakes", "lengths", "samples"]
    ]
    with style():
        for name, figure, _ in figures:
            figure.savefig(tmp_path / f"{name}.png")
        assert [name for name, _, _ in draw({}, data)] == ["samples"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("reviews.csv", ["--tokens", "words"]),
        ("reviews.jsonl", ["--model", "lstm", "--no-bidirectional"]),
        ("folders", ["--model", "transformer", "--precision", "bf16"]),
        ("parts", ["--precision", "bf16"]),
    ],
)
def test_own_texts_train_from_the_command_line(
    name: str, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FORMATS[name](tmp_path / name, reviews(100))
    small = ["--batch-size", "8", "--epochs", "8", "--width", "32", "--learning-rate", "0.01"]
    small += ["--dropout", "0", "--monitor", "loss", "--run", "own"]
    report = [] if name == "parts" else ["--no-report"]
    assert main(["train", "--data", name, "--device", "cpu", *small, *report, *flags]) == 0
    assert main(["evaluate", "own", "--device", "cpu"]) == 0
    metrics = json.loads(Path("runs/own/evaluation.json").read_text())
    assert metrics["accuracy"] > 0.9
    assert Path("runs/own/report.html").exists() == (name == "parts")


@pytest.mark.parametrize("make", [write_csv, write_jsonl])
def test_a_file_of_one_row_has_too_few_texts(make: Callable[..., Path], tmp_path: Path) -> None:
    suffix = "csv" if make is write_csv else "jsonl"
    path = make(tmp_path / f"one.{suffix}", [("x", "a"), ("y", "b")])
    assert "too few texts (1)" in refusal(path)
