"""Quality of the default on real tables, beside a linear model and gradient-boosted trees.

    python -m benchmarks.quality tables
    python -m benchmarks.quality tables --only mpg,wages --splits 1

R2 or accuracy on the test rows: 20 % of each table, drawn anew for each split. Ours trains on 66 %
and chooses its epoch by 14 %. The baselines choose nothing by those, so they are fitted on both: a
linear model (RidgeCV, or LogisticRegression) on standardized numbers and one-hot categories, and
scikit-learn's HistGradientBoosting with its defaults. Seconds are those of the processor: of the
whole command for ours, with importing torch; of fit and prediction for the baselines. The tables
are from packages (table_sources.py). Some of them were looked at when the defaults were chosen
(tuning), the others were not (unseen).
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from ..projects import render
from ..tables import number, table
from .common import Train, distribution, machine_line, parser, trainer, write
from .table_sources import TABLES, Source, load

TITLE = "# Tables: the default beside two baselines"
TEST_SHARE, VAL_SHARE = 0.2, 0.14
CONTENDERS = ("ours", "linear", "trees")
HEADER = ["table", "", "n", *CONTENDERS, "ours − better", *(f"{name} s" for name in CONTENDERS)]


@dataclass
class Result:
    """Of one table: a score and the seconds of each contender in each split."""

    source: Source
    num_rows: int
    scores: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, contender: str, score: float, seconds: float) -> None:
        """Keep what a contender reached in a split."""
        self.scores.setdefault(contender, []).append(score)
        self.seconds.setdefault(contender, []).append(seconds)

    @property
    def margin(self) -> float:
        """Ours minus the better baseline."""
        ours, *baselines = (mean(self.scores[name]) for name in CONTENDERS)
        return ours - max(baselines)

    @property
    def is_slow(self) -> bool:
        """Whether ours took more than a minute, and more than three times as long as the trees."""
        return mean(self.seconds["ours"]) > max(60, 3 * mean(self.seconds["trees"]))

    def row(self) -> list[str]:
        """The cells of its line."""
        kind = "unseen" if self.source.is_unseen else "tuning"
        name = f"{self.source.name} ({'accuracy' if self.source.classify else 'R²'})"
        scores = [number(mean(self.scores[contender]), ".3f") for contender in CONTENDERS]
        seconds = [number(mean(self.seconds[contender]), ".1f") for contender in CONTENDERS]
        return [name, kind, f"{self.num_rows}", *scores, f"{self.margin:+.3f}", *seconds]


def main(argv: list[str]) -> None:
    arguments = parse(argv)
    chosen = [TABLES[name] for name in arguments.only or TABLES]
    if arguments.kind:
        chosen = [source for source in chosen if source.is_unseen == (arguments.kind == "unseen")]
    is_whole = not (arguments.only or arguments.kind or arguments.flags)
    results = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
        trainer(render(Path(temporary), "tabular_regression")) as train,
    ):
        for source in sorted(chosen, key=lambda source: not source.is_unseen):
            results.append(measure(source, train, arguments.splits, arguments.flags.split()))
            print(" | ".join(results[-1].row()), flush=True)
            if is_whole:  # after each, so that a run that is stopped has what it measured
                write("tables", TITLE, about(), machine_line(), summary(results))
    print(f"\n{summary(results)}")


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments that all subjects have, and --kind."""
    arguments = parser("tables", __doc__, list(TABLES))
    arguments.add_argument("--kind", choices=["tuning", "unseen"], help="only tables of this kind")
    return arguments.parse_args(argv)


def measure(source: Source, train: Train, splits: int, flags: list[str]) -> Result:
    """Let all contenders learn the same rows."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when scikit-learn is imported, below
    frame = load(source)
    result = Result(source, len(frame))
    for seed in range(splits):
        parts = split(frame, source, seed)
        result.add("ours", *ours(parts, source, train, flags))
        for name, make in (("linear", make_linear), ("trees", make_trees)):
            result.add(name, *baseline(parts, source, make))
    return result


def split(frame: pd.DataFrame, source: Source, seed: int) -> dict[str, pd.DataFrame]:
    """Parts train, val and test; classes have the same shares in each."""
    from sklearn.model_selection import train_test_split

    def cut(rows: pd.DataFrame, share: float) -> list[pd.DataFrame]:
        labels = rows[source.target] if source.classify else None
        size = round(share * len(frame))
        halves: list[pd.DataFrame] = train_test_split(
            rows, test_size=size, random_state=seed, stratify=labels
        )
        return halves

    rest, test = cut(frame, TEST_SHARE)
    train, val = cut(rest, VAL_SHARE)
    return {"train": train, "val": val, "test": test}


def ours(
    parts: dict[str, pd.DataFrame], source: Source, train: Train, flags: list[str]
) -> tuple[float, float]:
    """The score of the rendered project with its defaults, and the seconds of its training."""
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts.items():
            part.to_csv(Path(folder) / f"{name}.csv", index=False)
        own = ["--data", folder, "--target", source.target]
        own += ["--objective", "classification"] if source.classify else []
        metrics, seconds = train(*own, *flags)
    return metrics["accuracy" if source.classify else "r2"], seconds


def baseline(
    parts: dict[str, pd.DataFrame], source: Source, make: Callable[..., Any]
) -> tuple[float, float]:
    """The score of a model of scikit-learn, and the seconds of its fit."""
    known = pd.concat([parts["train"], parts["val"]])
    known_inputs, test_inputs = (
        rows.drop(columns=source.target) for rows in (known, parts["test"])
    )
    is_number = known_inputs.dtypes.map(pd.api.types.is_numeric_dtype)
    names = is_number.index
    model = make(source.classify, list(names[is_number]), list(names[~is_number]))
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the linear model may not converge: that is its default
        model.fit(known_inputs, known[source.target])
        score = model.score(test_inputs, parts["test"][source.target])
    return float(score), time.process_time() - began


def make_linear(classify: bool, numbers: list[str], texts: list[str]) -> Any:
    """Ridge or logistic regression with the usual preprocessing."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    filled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((filled, numbers), (one_hot, texts))
    model = LogisticRegression(max_iter=1000) if classify else RidgeCV(np.logspace(-2, 3, 11))
    return make_pipeline(columns, model)


def make_trees(classify: bool, numbers: list[str], texts: list[str]) -> Any:
    """Gradient-boosted trees, which are told what is a category."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = make_column_transformer((codes, texts), ("passthrough", numbers))
    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    are_texts = [True] * len(texts) + [False] * len(numbers)
    return make_pipeline(columns, kind(categorical_features=are_texts, random_state=0))


def summary(results: list[Result]) -> str:
    """All lines, and how far ours is from the better baseline."""
    groups = {"all": results}
    groups["tuning"] = [result for result in results if not result.source.is_unseen]
    groups["unseen"] = [result for result in results if result.source.is_unseen]
    margins = {name: [item.margin for item in group] for name, group in groups.items() if group}
    slow = [result.source.name for result in results if result.is_slow]
    limit = "Longer than a minute and three times the trees"
    return "\n\n".join(
        [
            table(HEADER, [result.row() for result in results]),
            distribution(margins),
            f"{limit}: {', '.join(slow) or 'none'}.",
        ]
    )


def about() -> str:
    """What was compared, for readers of the results."""
    return "\n".join(line for line in (__doc__ or "").splitlines()[5:]).strip()
