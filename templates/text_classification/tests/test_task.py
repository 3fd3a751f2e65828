"""Text classification: data, models and criterion."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from {{ cookiecutter.__package }}.cli.main import main
from {{ cookiecutter.__package }}.criterion import Criterion
from {{ cookiecutter.__package }}.engine.calibration import Calibrated
from {{ cookiecutter.__package }}.engine.data import BatchIndex
from {{ cookiecutter.__package }}.engine.errors import UserError
from {{ cookiecutter.__package }}.hyperparameters import Hyperparameters
from {{ cookiecutter.__package }}.loaders import DataInfo, make_data
from {{ cookiecutter.__package }}.models import make_export, make_model
from {{ cookiecutter.__package }}.report.style import style, to_png
from {{ cookiecutter.__package }}.text.exported import Unpacked
from {{ cookiecutter.__package }}.text.vocabulary import (
    PADDING,
    UNKNOWN,
    tokenize,
)
from {{ cookiecutter.__package }}.utils import hash_ngrams
from {{ cookiecutter.__package }}.visualize import draw

INFO = DataInfo(
    ["a", "b", "c"], [6, 2, 4], "gru", "characters", list("etaoinshr"), 0, unknown_share=0.0
)
MODELS = ["ngrams", "gru", "lstm", "transformer"]
Row = tuple[str, object]


def reviews(num_texts: int = 60) -> list[Row]:
    """Texts whose class, 9 or 10, is told by one word in them."""
    words = {10: ["great", "lovely", "tasty"], 9: ["awful", "cold", "late"]}
    return [
        (f"The food was {words[label][n % 3]}, I think; {n % 7} of us went.", label)
        for n in range(num_texts // 2)
        for label in words
    ]


def write(path: Path, rows: Sequence[Row]) -> Path:
    """The texts in a format that follows from the name of the path."""
    frame = pd.DataFrame(rows, columns=["text", "label"])
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.name == "splits":
        path.mkdir()
        write(path / "train.csv", rows[10:])
        write(path / "test.jsonl", rows[:10])
    else:
        for number, (text, label) in enumerate(rows):
            (path / str(label)).mkdir(parents=True, exist_ok=True)
            (path / str(label) / f"{number}.txt").write_text(text, encoding="utf-8")
    return path


def splits_of(data: Any) -> list[Any]:
    return [data.train, data.val, data.test]


def refusal(path: Path, content: str | bytes = "", **values: Any) -> str:
    """What the user is told about the data, or about a file of that content."""
    if content:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as error:
        make_data(Hyperparameters(data=path, **values))
    return str(error.value)


def test_the_names_are_split_by_a_seed_and_nothing_is_said(capsys: Any) -> None:
    data, again, other = (make_data(Hyperparameters(split_seed=seed)) for seed in (0, 0, 1))
    places = [{split.describe(i) for i in range(len(split))} for split in splits_of(data)]
    assert sum(map(len, splits_of(data))) == len(set.union(*places)) > 15_000
    assert data.info == again.info != other.info and len(data.info.classes) == 33
    lengths = [len(data.train[i][0]) for i in range(50)]
    assert data.train_lengths is not None and data.train_lengths[:50] == lengths
    assert capsys.readouterr() == ("", "")


def test_a_batch_holds_its_samples_with_padding() -> None:
    dataset, indices = make_data(Hyperparameters()).train, np.array([5, 0, 4000, 3])
    tokens, lengths, labels = dataset.__getitems__(BatchIndex(indices))
    texts, classes = zip(*(dataset[i] for i in indices), strict=True)
    torch.testing.assert_close(tokens, pad_sequence([*texts], True, PADDING))
    assert (*lengths, *labels) == (*map(len, texts), *classes)


def test_a_text_is_split_into_characters_or_words() -> None:
    assert tokenize("Çé", "characters", lowercase=False) == ["Ç", "é"]
    assert tokenize("e\u0301 É", "characters", lowercase=True) == ["é", " ", "é"]
    assert tokenize("It's 5!", "words", lowercase=False) == ["It", "'", "s", "5", "!"]
    assert tokenize("हिन्दी भाषा", "words", lowercase=False) == ["हिन्दी", "भाषा"]
    assert tokenize("한국어 문장.", "words", lowercase=False) == ["한국어", "문장", "."]


def test_the_vocabulary_is_of_training_texts_and_what_is_cut_or_unknown_is_said(
    tmp_path: Path,
) -> None:
    rows = [("aa bb aa", "x"), ("bb cc", "y"), ("aa bb cc", "x"), ("cc", "y"), ("dd", "x")]
    write(tmp_path / "train.csv", rows)
    write(tmp_path / "val.csv", [("aa zz", "x"), ("cc zz", "y")])
    write(tmp_path / "test.csv", [("zz " + "word " * 100_000, "x")])
    data = make_data(Hyperparameters(data=tmp_path, tokens="words", max_length=3))
    assert data.info.vocabulary == ["aa", "bb", "cc"]
    assert data.train[4][0].tolist() == [UNKNOWN]
    assert data.val[0][0].tolist() == [UNKNOWN + 1, UNKNOWN]
    notes = " ".join(data.report.notes)
    assert "1 of 8 texts have more than 3 tokens" in notes and "50.0% of the words" in notes
    assert "--min-count" in refusal(tmp_path, min_count=100_000)


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("Österreich", {}, ("gru", "characters")),
        ("This is a sentence, and it has many words.", {}, ("ngrams", "characters")),
        ("これは文であり、" * 6, {}, ("ngrams", "characters")),
        ("これは文であり、" * 6, {"model": "gru"}, ("gru", "characters")),
        ("This is a sentence, and it has many words.", {"model": "lstm"}, ("lstm", "words")),
        ("This is a sentence, and it has many words.", {"tokens": "words"}, ("ngrams", "words")),
        ("Österreich", {"model": "ngrams"}, ("ngrams", "characters")),
    ],
)
def test_the_model_and_the_tokens_suit_the_length_of_the_texts(
    text: str, flags: dict[str, Any], expected: tuple[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", [(f"{text}{n}", "ab"[n % 2]) for n in range(20)])
    data = make_data(Hyperparameters(data=path, **flags))
    assert (data.info.model, data.info.tokens) == expected
    said = f"Chosen: --model {expected[0]} --tokens {expected[1]}" in " ".join(data.report.notes)
    assert said == (len(text) > 40)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "folders", "splits"])
def test_every_format_gives_the_same_texts(name: str, tmp_path: Path) -> None:
    data = make_data(Hyperparameters(data=write(tmp_path / name, reviews())))
    assert data.info.classes == ["9", "10"]
    found = [(s.text(i), 9 + s[i][1].item()) for s in splits_of(data) for i in range(len(s))]
    assert sorted(found) == sorted(reviews())
    assert len(data.test) == (10 if name == "splits" else 8)


def test_columns_may_have_any_name_and_semicolons_may_separate_them(tmp_path: Path) -> None:
    lines = ['id;"what they said";verdict', *(f'{n};"a;b\nc{n}";{n % 2}' for n in range(20))]
    path = tmp_path / "a.csv"
    path.write_text("\r\n".join(lines), encoding="utf-8-sig")
    hparams = Hyperparameters(data=path, text_column="what they said", label_column="verdict")
    for split in splits_of(make_data(hparams)):
        number = int(split.describe(0).removeprefix("row ").removesuffix(" of a.csv"))
        assert split.text(0) == f"a;b\nc{number - 2}"


ROWS = "".join(f"some text,{'ab'[n % 2]}\n" for n in range(20))
LINES = "".join(json.dumps({"text": "t", "label": "ab"[n % 2]}) + "\n" for n in range(20))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("txt,label\n" + ROWS, "Type --text-column with one of its columns: txt, label"),
        ("text,class\n" + ROWS, "Type --label-column with one of its columns: text, class"),
        ("text,text\n" + ROWS, "bad.csv has two columns 'text'"),
        ("text,label\nx,a\nyes, no,b\n" + ROWS, "bad.csv has 3 cells in row 3"),
        ('text,label\nx,a\n"x,a\n' + ROWS, "bad.csv has a quotation mark in row 3"),
        (b"text,label\nx,a\n\xff,\xc3\xa4\xc3\xa4\n", "bad.csv is not text in UTF-8 (line 3)"),
        ("text,label\n" + "x,a\n" * 20, "bad.csv have the label 'a'"),
        ("text,label\n" + ROWS + "x,c\n", "'c' has too few texts (1)"),
        ("text,label\nx,a\ny,b\n", "'a' has too few texts (1)"),
        ("text,label\n", "bad.csv has no rows"),
        (LINES + "[1, 2]\n", "bad.jsonl is not JSON lines"),
        ('{"text": "t"\n' + LINES, "of 22 lines: line 1"),
        ('{"text": ["t"], "label": "a"}\n' + LINES, "'text' is a list or an object in 1 of 21"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(
    content: str | bytes, words: str, tmp_path: Path
) -> None:
    suffix = ".jsonl" if str(content).startswith(("{", "[")) else ".csv"
    assert words in refusal(tmp_path / f"bad{suffix}", content)


def test_empty_texts_and_labels_are_left_out_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nhello,\n ,a\n" + ROWS, encoding="utf-8")
    data = make_data(Hyperparameters(data=path))
    assert sum(map(len, splits_of(data))) == 20
    first, second = data.report.notes
    assert "1 of 22 rows: row 3" in first and "1 of 22 rows: row 2" in second


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    assert "nothing.csv" in refusal(tmp_path / "nothing.csv")
    assert "notes.docx is not a table" in refusal(tmp_path / "notes.docx", "x")
    write(tmp_path / "val.csv", [("fine", 9), ("fine", "so-so")])
    assert "no train.csv" in refusal(tmp_path)
    write(tmp_path / "train.csv", reviews())
    assert "1 of 2 rows: row 3; unknown are 1 of 2 labels: 'so-so'" in refusal(tmp_path)
    write(tmp_path / "train.jsonl", reviews())
    assert "both train.csv and train.jsonl" in refusal(tmp_path)
    folder = write(tmp_path / "data", reviews())
    (folder / "9" / "1.txt").write_bytes(b"\0\1\2\3")
    assert "1.txt is not a text file" in refusal(folder)
    with pytest.raises(UserError, match="multiple of 8"):
        Hyperparameters(model="transformer", width=100)


def texts_of(*lengths: int) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = torch.randint(UNKNOWN, 11, (len(lengths), max(lengths)), generator=generator)
    inside = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.where(inside, tokens, PADDING), np.array(lengths)


def network_of(**values: Any) -> Any:
    torch.manual_seed(0)
    network: Any = make_model(Hyperparameters(**values), INFO)
    if values.get("model") == "ngrams":  # its table is zero before training
        network.table.weight.data[PADDING + 1 :].normal_()
    return network


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("values", [{}, {"bidirectional": False, "depth": 2}])
def test_the_order_of_tokens_changes_an_answer_and_padding_never_does(
    model: str, values: dict[str, Any]
) -> None:
    network = network_of(model=model, **values).eval()
    tokens, lengths = texts_of(3, 40, 1, 17)
    together = network(tokens, lengths)
    assert together.shape == (4, 3)
    for row, length, answer in zip(tokens, lengths, together, strict=True):
        text, alone = row[None, :length], np.array([length])
        torch.testing.assert_close(network(text, alone)[0], answer, rtol=1e-4, atol=1e-5)
    backward = network(text.flip(1), alone)[0]
    assert not torch.allclose(backward, together[3], atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_what_is_exported_answers_as_the_model_with_its_temperature(model: str) -> None:
    network = Calibrated(network_of(model=model, depth=2).eval(), 2.0)
    form = make_export(network, Hyperparameters(), INFO)
    parts = [type(part) for part in form.module.modules()]
    assert (Unpacked in parts) == (model in ("gru", "lstm"))  # no packed sequences
    tokens, lengths = texts_of(3, 40, 1, 17)
    (call,) = form.to_calls(tokens, lengths)
    logits = form.module.eval()(**call)
    torch.testing.assert_close(logits, network(tokens, lengths), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_every_weight_gets_a_gradient(model: str) -> None:
    network = network_of(model=model, depth=2)
    batch = *texts_of(30, 5, 12), torch.tensor([0, 1, 2])
    Criterion(Hyperparameters(), INFO).loss(network, batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_same_ngram_has_one_number_everywhere_and_no_other_has_it() -> None:
    tokens = torch.tensor([[2, 3, 4, 2, 3], [9, 2, 3, PADDING, PADDING]])
    first, second = hash_ngrams(tokens, 3, 2**18).unflatten(1, (3, 5))
    assert first[0, 0] == first[0, 3] == second[0, 1] and first[1, 0] == first[1, 3] == second[1, 1]
    assert (second != PADDING).sum(1).tolist() == [3, 2, 1]
    different = {(2,), (3,), (4,), (9,), (2, 3), (3, 4), (4, 2), (9, 2)}
    different |= {(2, 3, 4), (3, 4, 2), (4, 2, 3), (9, 2, 3)}
    assert len(torch.cat([first, second]).unique()) == len(different) + 1


@pytest.mark.parametrize("bidirectional", [True, False])
def test_only_a_bidirectional_network_knows_later_tokens(bidirectional: bool) -> None:
    network = network_of(model="gru", bidirectional=bidirectional).eval()
    tokens = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 6]])
    embedded = network.embedding(tokens)
    features = network.encoder(embedded, tokens != PADDING, np.array([4, 4]))
    assert torch.allclose(features[0, 0], features[1, 0]) != bidirectional
    first, second = network.add_neighbors(embedded)  # knows the next one only
    assert torch.isclose(first, second).all(1).tolist() == [True, True, False, False]


@pytest.mark.parametrize("model", ["ngrams", "gru"])
def test_tokens_are_dropped_in_training_only(model: str) -> None:
    network = network_of(model=model, dropout=0, token_dropout=0.5)
    texts = texts_of(20, 20)
    assert not torch.allclose(network.train()(*texts), network(*texts))
    assert torch.equal(network.eval()(*texts), network(*texts))


def test_metrics_are_those_of_a_calculation_by_hand() -> None:
    criterion = Criterion(Hyperparameters(), INFO)
    metrics, logits = criterion.metrics(), torch.eye(3)[[0, 0, 1, 2]]
    criterion.update(metrics, {"logits": logits, "target": torch.tensor([0, 1, 1, 2])})
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx(
        {"accuracy": 3 / 4, "balanced_accuracy": (1 + 1 / 2 + 1) / 3, "f1": (2 / 3 + 2 / 3 + 1) / 3}
    )


@pytest.mark.parametrize(("num_classes", "is_right"), [(2, True), (2, False), (60, False)])
def test_figures_are_drawn_for_any_texts_and_classes(
    num_classes: int, is_right: bool, tmp_path: Path
) -> None:
    names = ["<script>$x$", "한국어 " * 20, *(f"class {n}" for n in range(58))][:num_classes]
    rows: list[Row] = [("$<b>العربية " * (n % 9 + 1), names[n % num_classes]) for n in range(300)]
    data = make_data(Hyperparameters(data=write(tmp_path / "a.csv", rows)))
    indices = np.arange(len(data.val))
    _, length, labels = data.val.__getitems__(BatchIndex(indices))
    logits = torch.eye(num_classes)[labels - (0 if is_right else 1)].numpy()
    predictions = {"index": indices, "length": length, "target": labels.numpy(), "logits": logits}
    with style():
        figures = {name: to_png(figure) for name, figure, _ in draw(predictions, data)}
        thresholds = ["thresholds"] * (num_classes == 2)
        expected = ["confusion_matrix", "classes", "calibration", *thresholds, "mistakes"]
        assert list(figures) == [*expected, "lengths", "samples"]
        assert [name for name, _, _ in draw({}, data)] == ["samples"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("a.csv", ["--tokens", "words", "--no-report"]),
        ("folders", ["--model", "transformer", "--precision", "bf16", "--no-report"]),
        ("splits", ["--model", "lstm", "--no-bidirectional", "--precision", "bf16"]),
    ],
)
def test_own_texts_train_from_the_command_line(
    name: str, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, reviews(100))
    small = ["--batch-size", "8", "--epochs", "8", "--width", "32", "--learning-rate", "0.01"]
    small += ["--dropout", "0", "--monitor", "loss", "--run", "own", "--device", "cpu"]
    assert main(["train", "--data", name, *small, *flags]) == 0
    assert Path("runs/own/report.html").exists() == (name == "splits")
    assert main(["evaluate", "own", "--device", "cpu", "--no-report"]) == 0
    assert json.loads(Path("runs/own/evaluation.json").read_bytes())["accuracy"] > 0.9
