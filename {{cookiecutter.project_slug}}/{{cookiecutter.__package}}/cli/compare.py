"""Runs side by side: ``python -m PACKAGE compare RUN RUN...``."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..engine.errors import UserError, join_errors
from ..engine.files import read_arrays
from ..engine.run_directory import find_run
from ..engine.run_records import RunRecord, differing_values, read_record
from ..engine.settings import Count
from .arguments import load_settings, program
from .report import noted, read_json
from .runs import HEAD, print_table, table_rows

if TYPE_CHECKING:  # --help takes no torch
    from ..criterion import Criterion
    from ..engine.comparison import Group, Scores
    from ..engine.evaluation import Predictions

MAX_CURVES = 14
CURVES = "The single runs of a row are thin lines, and their mean is a thick one."
PREDICTIONS = {"test": "test_predictions.npz", "validation": "predictions.npz"}
SPLIT = ["data", "val_fraction", "test_fraction", "split_seed", "fold", "group_by", "group_column"]
"""Hyperparameters that decide which samples are in the validation set."""


@dataclass(frozen=True)
class CompareArguments:
    """Compare runs with the first of them: hyperparameters, metrics with intervals, curves.

    Runs that differ only in the seed or in the fold are shown as mean and spread.
    """

    run: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Names or directories of the runs, or latest."""
    output: Path = Path("compare.html")
    """The page with everything."""
    resamples: Count | None = None
    """Of the bootstrap. None: 1,000, or fewer where they take long."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = tyro.cli(CompareArguments, prog=program("compare"), args=argv)
    directories = find_runs(arguments.run)
    if len(directories) < 2:
        raise UserError("There is nothing to compare. Type the names of two or more runs.")
    if not arguments.output.parent.is_dir():
        raise UserError(f"There is no folder {arguments.output.parent}. Type another --output.")
    from ..engine.comparison import group_records

    notes = list[str]()
    records = [read_compared(directory, notes) for directory in directories]
    groups = group_records(records)
    split, scores = score_records(records, arguments.resamples, notes)
    results = result_table(groups, scores)
    compared = difference_table(groups, scores, notes)
    write_comparison(arguments.output, groups, notes, split, results=results, differences=compared)
    print(*notes, f"On the {split} set:", "", sep="\n")
    print_table(results)
    if len(compared) > 1:
        print()
        print_table(compared)
    print(f"Page: {arguments.output}")
    return 0


def find_runs(names: Sequence[str]) -> list[Path]:
    """The directories of the runs, each once.

    Raises:
        UserError: some do not exist.
    """
    found, errors = dict[Path, None](), list[UserError]()
    for name in names:
        try:
            found[find_run(name).resolve()] = None
        except UserError as error:
            errors.append(error)
    if errors:
        raise join_errors(errors, len(names), "runs")
    return list(found)


def read_compared(directory: Path, notes: list[str]) -> RunRecord:
    """The record of a run with the commit of its code among its values."""
    record = read_record(directory)
    notes += [f"{record.name}: {problem}" for problem in record.problems]
    environment = noted(notes, "", read_json, directory / "environment.json") or {}
    commit = {"commit": str(environment.get("git_commit") or "none")[:8]}
    return dataclasses.replace(record, values=record.values | commit)


def score_records(
    records: Sequence[RunRecord], count: int | None, notes: list[str]
) -> tuple[str, dict[Path, "Scores"]]:
    """On which split runs are compared, and the scores of those that were judged on it."""
    from ..engine.comparison import score_runs

    split = choose_split(records, notes)
    judged = {r.directory: noted(notes, "", read_judged, r, split) for r in records}
    known = {directory: each for directory, each in judged.items() if each is not None}
    criteria, outputs = [each[0] for each in known.values()], [each[1] for each in known.values()]
    scores = score_runs(criteria, outputs, count) if known else []
    return split, dict(zip(known, scores, strict=True))


def choose_split(records: Sequence[RunRecord], notes: list[str]) -> str:
    """The test set, if all runs that have a model were evaluated."""
    missing = [
        record.name
        for record in records
        if (record.directory / PREDICTIONS["validation"]).exists()
        and not is_evaluated(record, notes)
    ]
    if not missing:
        return "test"
    notes.append(
        f"Compared on the validation set, because {len(missing)} of {len(records)} runs were not "
        f"evaluated on the test set, or found a better epoch since: {', '.join(missing[:5])}. The "
        "best epochs were chosen on the "
        f"validation set, so its metrics look a little too good. Type: {program('evaluate')} "
        f"{missing[0]}"
    )
    return "validation"


def is_evaluated(record: RunRecord, notes: list[str]) -> bool:
    """Whether its best model was judged on the test set, and not one before it."""
    evaluation = noted(notes, "", read_json, record.directory / "evaluation.json") or {}
    is_best = evaluation.get("epoch") in (None, record.best_row.get("epoch"))
    return is_best and (record.directory / PREDICTIONS["test"]).exists()


def read_judged(record: RunRecord, split: str) -> "tuple[Criterion, Predictions]":
    """The criterion of a run, and what it gave for each sample of the split.

    Raises:
        UserError: a file is damaged, or there is no best model yet.
    """
    import numpy as np

    from ..criterion import Criterion
    from ..loaders import DataInfo

    path = record.directory / PREDICTIONS[split]
    if not path.exists():
        raise UserError(f"{record.name} has no metrics yet.")
    outputs = read_arrays(path)
    if split == "validation":  # whose samples are not named in the file
        outputs["place"] = np.array([str(record.values.get(name)) for name in SPLIT])
    hparams = load_settings(record.directory).hparams
    try:
        info = DataInfo(**read_json(record.directory / "data.json")["info"])
    except (KeyError, TypeError):
        raise UserError(f"{record.name} has no data.json that this code understands.") from None
    return Criterion(hparams, info), outputs


def result_table(groups: Sequence["Group"], scores: Mapping[Path, "Scores"]) -> list[list[str]]:
    """A row for each group: the hyperparameters that differ, then the metrics."""
    values = differing_values([record for group in groups for record in group.records])
    metrics = list(dict.fromkeys(name for each in scores.values() for name in each.values))
    rows = [["run", *values, *metrics]]
    for group in groups:
        mine = {name: [r.values.get(name) for r in group.records] for name in values}
        texts = [", ".join(dict.fromkeys(map(str, each))) for each in mine.values()]
        judged = scores_of(group, scores)
        found = [[s.values[name] for s in judged if name in s.values] for name in metrics]
        rows.append([group.name, *texts, *map(mean_and_spread, found)])
    return rows


def scores_of(group: "Group", scores: Mapping[Path, "Scores"]) -> list["Scores"]:
    """The scores of those of its runs that have some."""
    return [scores[r.directory] for r in group.records if r.directory in scores]


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean and the standard deviation of the values of several runs."""
    if len(values) < 2:
        return f"{values[0]:.4g}" if values else "-"
    return f"{statistics.fmean(values):.4g} ± {statistics.stdev(values):.2g}"


def difference_table(
    groups: Sequence["Group"], scores: Mapping[Path, "Scores"], notes: list[str]
) -> list[list[str]]:
    """A row for each metric of each group but the first, with which it is compared."""
    from ..criterion import Criterion
    from ..engine.comparison import differences

    judged = [scores_of(group, scores) for group in groups]
    rows = [["run", "metric", f"minus {groups[0].name}", "95 % interval", "result"]]
    for group, mine in zip(groups[1:], judged[1:], strict=True):
        if not mine or not judged[0]:
            continue
        found = differences(mine, judged[0])
        if not found:
            notes.append(
                f"{group.name} and {groups[0].name} were not judged on the same samples (other "
                "data, another --split-seed or --fold), so their difference is not shown."
            )
        for name, each in found.items():
            ends = f"{each.low:+.4g} to {each.high:+.4g}"
            verdict = each.judge(name in Criterion.LOWER_IS_BETTER)
            rows.append([group.name, name, f"{each.value:+.4g}", ends, verdict])
    return rows


def write_comparison(
    path: Path, groups: Sequence["Group"], notes: Sequence[str], split: str, **tables: Any
) -> None:
    """Write the page."""
    from ..report.compared_curves import draw_compared_curves
    from ..report.page import picture, write_page
    from ..report.style import style, to_png

    records = [record for group in groups for record in group.records]
    curves = [(group.name, [r.rows for r in group.records if r.rows]) for group in groups]
    shown = [(name, runs) for name, runs in curves if runs][:MAX_CURVES]
    more = f" The first {len(shown)} of {len(curves)} rows." if len(shown) < len(curves) else ""
    pictures = []
    if shown:
        with style():
            png = to_png(draw_compared_curves(shown))
        pictures = [picture("learning_curves", png, CURVES + more)]
    write_page(
        path,
        "compare.html.jinja",
        f"Comparison of {len(records)} runs",
        {"results": "Results", "runs": "Every run"},
        pictures,
        notes=notes,
        split=split,
        runs=[HEAD, *table_rows(records)],
        **tables,
    )
