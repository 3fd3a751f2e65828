"""Texts: our default beside TF-IDF of words and letters with logistic regression.

Two sets were not used to choose any default: what a function does, in the words of its docstring;
the class is the library that it is from. Two others were: comments in the code of libraries, and
messages of errors, whose class is the kind of error. A file is in one split only. Mean and range
of the test accuracy over splits; another split has another seed.

    python -m benchmarks.quality texts
    python -m benchmarks.quality texts --flags "--epochs 10"
"""

import ast
import csv
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union

from ..projects import render
from ..tables import table
from .common import machine_line, package_folder, parser, train_and_test, write

LIBRARIES = ("matplotlib", "numpy", "pandas", "scipy", "sklearn", "torch")
PER_CLASS, PER_FILE = 700, 8
MIN_LENGTH = 30  # characters
SPLITS = ("train", "train", "train", "val", "test")  # of every five files
COMMENTED = (
    *("sympy", "networkx", "setuptools", "mypy", "fontTools", "pygments", "hypothesis"),
    *("pydantic", "torchvision", "PIL"),
)
ERRORS = ("ValueError", "TypeError", "RuntimeError", "NotImplementedError", "ImportError")
TELLTALE = re.compile(
    r"\b(np|pd|plt|mpl|nn|sp|scikit|learn|matplotlib|pyplot|numpy|pandas|scipy|sklearn|torch|"
    r"pytorch|tensors?|dataframes?|ndarrays?|axes)\b",
    re.IGNORECASE,
)

Rows = dict[str, list[tuple[str, str]]]
"""For each split, texts with their classes."""


def main(argv: Sequence[str]) -> None:
    arguments = parser("texts", __doc__, list(SETS)).parse_args(argv)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        project = render(Path(temporary), "text_classification")
        for name in arguments.only or SETS:
            runs = []
            for split in range(arguments.splits):
                flags = *arguments.flags.split(), "--seed", f"{split}"
                runs.append(compare(project, SETS[name](split), flags))
                print(name, *runs[-1], flush=True)
            sizes, ours, theirs, seconds, their_seconds = zip(*runs, strict=True)
            row = [name, f"{sizes[0]}", spread(ours), spread(theirs)]
            row += [f"{mean(ours) - mean(theirs):+.3f}"]
            results.append([*row, f"{mean(seconds):.0f}", f"{mean(their_seconds):.0f}"])
    header = ["test accuracy", "texts", "ours", "TF-IDF", "difference", "s ours", "s TF-IDF"]
    shown = table(header, results)
    print(shown)
    if not (arguments.only or arguments.flags):
        write("texts", "# Texts", (__doc__ or "").partition("\n\n    ")[0], shown, machine_line())


def compare(
    project: Path, rows: Rows, flags: Sequence[str]
) -> tuple[int, float, float, float, float]:
    """Training texts, our accuracy, that of the baseline, and the seconds of both."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(rows, Path(folder) / "texts")
        metrics, seconds = train_and_test(project, "--data", f"{folder}/texts", *flags)
    began = time.process_time()
    accuracy = accuracy_of_baseline(rows)
    their_seconds = time.process_time() - began
    return len(rows["train"]), metrics["accuracy"], accuracy, seconds, their_seconds


def spread(values: Sequence[float]) -> str:
    """The mean, and how far the values are from it at most."""
    return f"{mean(values):.3f} ± {(max(values) - min(values)) / 2:.3f}"


def docstrings(num_paragraphs: int, split: int) -> Rows:
    """The beginnings of docstrings, without the names that would give the library away."""
    return collect(LIBRARIES, partial(beginnings, num_paragraphs), split)


def comments(split: int) -> Rows:
    """Comments in code; the class is the library."""
    return collect(COMMENTED, comments_of, split)


def messages(split: int) -> Rows:
    """What is said when an error is raised; the class is that of the error."""
    return collect(LIBRARIES + COMMENTED, errors_of, split)


def collect(
    libraries: Sequence[str], find: Callable[[str, Path], Iterable[tuple[str, str]]], split: int
) -> Rows:
    """What is found in their files, the same text once."""
    rows: Rows = {name: [] for name in SPLITS}
    seen, counts = set[str](), Counter[str]()
    for library in libraries:
        files = sorted(package_folder(library).rglob("*.py"))
        files = [path for path in files if "test" not in path.as_posix()]
        for number, path in enumerate(files[:: max(1, len(files) // 250)]):
            for text, label in islice(find(library, path), PER_FILE):
                if counts[label] < PER_CLASS and len(text) >= MIN_LENGTH and text not in seen:
                    seen.add(text)
                    rows[SPLITS[(number + split) % len(SPLITS)]].append((text, label))
                    counts[label] += 1
    return rows


def beginnings(num_paragraphs: int, library: str, path: Path) -> Iterator[tuple[str, str]]:
    """The first paragraphs of the docstrings of functions and classes in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            paragraphs = (ast.get_docstring(node) or "").split("\n\n")[:num_paragraphs]
            yield TELLTALE.sub("", " ".join(" ".join(paragraphs).split())), library


def comments_of(library: str, path: Path) -> Iterator[tuple[str, str]]:
    """Comments of one or more whole lines, without the library's name."""
    for block in re.findall(r"(?:^[ \t]*#.*\n)+", path.read_text("utf-8"), re.MULTILINE):
        text = " ".join(re.sub(r"^[ \t]*#+", " ", block, flags=re.MULTILINE).split())
        yield re.sub(library, "", text, flags=re.IGNORECASE), library


def errors_of(_: str, path: Path) -> Iterator[tuple[str, str]]:
    """Messages of the errors that a file raises, and their classes."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node.exc if isinstance(node, ast.Raise) else None:
            case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(str(text)), *_]):
                if kind in ERRORS:
                    yield " ".join(text.split()), kind


SETS: dict[str, Callable[[int], Rows]] = {
    "docstrings, first paragraph": partial(docstrings, 1),
    "docstrings, three paragraphs": partial(docstrings, 3),
    "comments (tuned on)": comments,
    "messages of errors (tuned on)": messages,
}


def write_tables(rows: Rows, folder: Path) -> None:
    """A CSV file for each split."""
    folder.mkdir()
    for split, pairs in rows.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *pairs])


def accuracy_of_baseline(rows: Rows) -> float:
    """The accuracy on the test set; C is the best of three on the validation set.

    Logistic regression on pairs of words and on pieces of words.
    """
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    features = make_union(words, letters).fit([text for text, _ in rows["train"]])
    train, val, test = (
        (features.transform([text for text, _ in rows[split]]), [label for _, label in rows[split]])
        for split in ("train", "val", "test")
    )
    models = [LogisticRegression(C=c, max_iter=300).fit(*train) for c in (1, 10, 100)]
    return float(max(models, key=lambda model: model.score(*val)).score(*test))
