"""Texts: our default beside TF-IDF of words and letters with logistic regression.

The set was not used to choose any default: what a function does, in the words of its docstring;
the class is the library that it is from. A file of a library is in one split only.

    python -m benchmarks.quality texts
    python -m benchmarks.quality texts --flags "--epochs 10"
"""

import ast
import csv
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from ..projects import render
from ..tables import table
from .common import machine_line, package_folder, parser, train_and_test, write

LIBRARIES = ("matplotlib", "numpy", "pandas", "scipy", "sklearn", "torch")
PER_LIBRARY, PER_FILE = 700, 8
MIN_LENGTH = 30  # characters
SPLITS = ("train", "train", "train", "val", "test")  # of every five files
SETS = {"docstrings, first paragraph": 1, "docstrings, three paragraphs": 3}
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
            rows = docstrings(SETS[name])
            folder = Path(temporary) / f"{SETS[name]}"
            write_tables(rows, folder)
            metrics, seconds = train_and_test(
                project, "--data", str(folder), *arguments.flags.split()
            )
            began = time.perf_counter()
            baseline = accuracy_of_baseline(rows)
            results.append([name, f"{len(rows['train'])}", f"{metrics['accuracy']:.3f}"])
            results[-1] += [f"{baseline:.3f}", f"{metrics['accuracy'] - baseline:+.3f}"]
            results[-1] += [f"{seconds:.0f}", f"{time.perf_counter() - began:.0f}"]
            print(results[-1], flush=True)
    header = ["test accuracy", "texts", "ours", "TF-IDF", "difference", "s ours", "s TF-IDF"]
    shown = table(header, results)
    print(shown)
    if not (arguments.only or arguments.flags):
        write("texts", "# Texts", (__doc__ or "").partition("\n\n    ")[0], shown, machine_line())


def docstrings(num_paragraphs: int) -> Rows:
    """The beginnings of docstrings, without the names that would give the library away."""
    rows: Rows = {split: [] for split in SPLITS}
    seen = set[str]()
    for library in LIBRARIES:
        files = sorted(package_folder(library).rglob("*.py"))
        files = [path for path in files if "test" not in path.as_posix()]
        count = 0
        for number, path in enumerate(files[:: max(1, len(files) // 250)]):
            for text in islice(beginnings(path, num_paragraphs), PER_FILE):
                if count < PER_LIBRARY and len(text) >= MIN_LENGTH and text not in seen:
                    seen.add(text)
                    rows[SPLITS[number % len(SPLITS)]].append((text, library))
                    count += 1
    return rows


def beginnings(path: Path, num_paragraphs: int) -> Iterator[str]:
    """The first paragraphs of the docstrings of functions and classes in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            paragraphs = (ast.get_docstring(node) or "").split("\n\n")[:num_paragraphs]
            yield TELLTALE.sub("", " ".join(" ".join(paragraphs).split()))


def write_tables(rows: Rows, folder: Path) -> None:
    """A CSV file for each split."""
    folder.mkdir()
    for split, pairs in rows.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *pairs])


def accuracy_of_baseline(rows: Rows) -> float:
    """The accuracy on the test set; C is the best of three on the validation set."""
    parts = {split: tuple(zip(*pairs, strict=True)) for split, pairs in rows.items()}
    models = [baseline(c).fit(*parts["train"]) for c in (1, 10, 100)]
    best = max(models, key=lambda model: model.score(*parts["val"]))
    return float(best.score(*parts["test"]))


def baseline(c: float) -> Pipeline:
    """Logistic regression on pairs of words and on pieces of words."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, letters), LogisticRegression(C=c, max_iter=300))
