"""What evaluate says of the test set beside its metrics: evaluation.json, and the terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .calibration import calibration_error, choose_thresholds, judge_threshold
from .conformal import find_margin, judge_margin
from .data import Data
from .errors import UserError
from .evaluation import Criterion, Predictions
from .intervals import (
    affordable_count,
    find_subgroups,
    make_scorer,
    metric_intervals,
    score_subgroups,
    values_of_test,
)

NUM_WORST = 20
MOST_IN_SUBGROUPS = 200  # resamples of each


def judge(
    criterion: Criterion,
    outputs: Predictions,
    data: Data,
    val_outputs: Predictions,
    *,
    groups: np.ndarray | None,
    by: str | None,
    subgroups: dict[str, np.ndarray],
    count: int | None,
    temperature: float | None,
) -> dict[str, Any]:
    """The part of evaluation.json that needs the outputs of each sample.

    Args:
        criterion: makes the metrics.
        outputs: of ``evaluate`` for the test set.
        data: what they are from.
        val_outputs: for the validation set, which chooses thresholds; without temperature.
        groups: (N,) of the test samples, if there are groups.
        by: what subgroups have in common.
        subgroups: the indices of the test samples in each; see ``subgroups_by``.
        count: of resamples; None: as many as there is time for.
        temperature: of the model, if it has one.
    """
    score, num_samples = make_scorer(criterion, outputs), len(data.test)
    if count is None:
        count = affordable_count(score, num_samples)
    bootstrap = {"resamples": count, "samples": num_samples}
    if groups is not None:
        bootstrap["groups"] = len(np.unique(groups))
    intervals = metric_intervals(score, num_samples, count, groups)
    found: dict[str, Any] = {"intervals": intervals, "bootstrap": bootstrap}
    if subgroups:
        inner_count = min(count, MOST_IN_SUBGROUPS)
        rows = score_subgroups(score, subgroups, inner_count, groups)
        found["subgroups"] = {"by": by, "resamples": inner_count, "rows": rows}
    if "logits" in outputs:
        found |= judge_probabilities(outputs, val_outputs, data.info.classes, temperature)
    margin = find_margin(val_outputs)
    if margin is not None:
        found["prediction_intervals"] = judge_margin(outputs, margin)
    return found | {"worst": find_worst(outputs, data)}


def subgroups_by(data: Data, by: str | None) -> dict[str, np.ndarray]:
    """The indices of the test samples that have the same value; empty without ``by``.

    Raises:
        UserError: there is no such column, the paths do not match, or all have the same value.
    """
    if by is None:
        return {}
    subgroups = find_subgroups(values_of_test(data, by, "--by"))
    if len(subgroups) < 2:
        raise UserError(f"All test samples have the same {by}. Type another --by.")
    return subgroups


def judge_probabilities(
    outputs: Predictions, val_outputs: Predictions, classes: list[str], temperature: float | None
) -> dict[str, Any]:
    """How far the probabilities of classes can be believed; of two classes, thresholds too."""
    logits, target = outputs["logits"], outputs["target"]
    calibration = {"ece": calibration_error(logits, target)}
    if temperature is not None:
        before = calibration_error(logits * temperature, target)
        calibration |= {"temperature": temperature, "ece_without_temperature": before}
    if len(classes) != 2 or "logits" not in val_outputs:
        return {"calibration": calibration}
    chosen = choose_thresholds(val_outputs["logits"] / (temperature or 1), val_outputs["target"])
    rows = [{"rule": r} | judge_threshold(logits, target, value) for r, value in chosen.items()]
    return {"calibration": calibration, "thresholds": {"class": classes[1], "rows": rows}}


def find_worst(outputs: Predictions, data: Data) -> list[dict[str, Any]]:
    """The test samples with the highest loss."""
    rows = []
    for i in np.argsort(-outputs["loss"], kind="stable")[:NUM_WORST].tolist():
        row = {"sample": data.test.describe(i), "loss": float(outputs["loss"][i])}
        if "logits" in outputs:
            numbers = {"true": outputs["target"][i], "predicted": outputs["logits"][i].argmax()}
            row |= {name: data.info.classes[int(number)] for name, number in numbers.items()}
        elif "prediction" in outputs:
            row |= {"true": float(outputs["target"][i])}
            row |= {"predicted": float(outputs["prediction"][i])}
        rows.append(row)
    return rows


def metrics_of(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in evaluation.json, or in a row of subgroups: numbers at its top."""
    return {name: value for name, value in evaluation.items() if isinstance(value, float)}


def describe(evaluation: Mapping[str, Any]) -> list[str]:
    """What the terminal shows, as lines."""
    lines = [f"Test set: {describe_bootstrap(evaluation)}"]
    width = max(map(len, metrics_of(evaluation)))
    for name, value in metrics_of(evaluation).items():
        lines.append(f"  {name:<{width}}  {value:.4f}  {write_interval(evaluation, name)}".rstrip())
    subgroups = evaluation.get("subgroups", {"rows": []})
    lines += [describe_subgroups(evaluation)] if subgroups["rows"] else []
    for row in subgroups["rows"]:
        listed = "  ".join(f"{name} {value:.4f}" for name, value in metrics_of(row).items())
        lines.append(f"{subgroups['by']} = {row['value']}: {row['samples']:,} samples  {listed}")
    if "calibration" in evaluation:
        lines.append(describe_calibration(evaluation["calibration"]))
    if "prediction_intervals" in evaluation:
        lines.append(describe_margin(evaluation["prediction_intervals"]))
    for row in evaluation.get("thresholds", {"rows": []})["rows"]:
        listed = "  ".join(f"{name} {value:.4f}" for name, value in metrics_of(row).items())
        lines.append(f"{evaluation['thresholds']['class']} ({row['rule']}): {listed}")
    return lines


def write_interval(evaluation: Mapping[str, Any], name: str, digits: int = 4) -> str:
    """The interval of a metric as text; empty if it has none."""
    ends = evaluation.get("intervals", {}).get(name)
    return f"({ends[0]:.{digits}g} to {ends[1]:.{digits}g})" if ends else ""


def describe_bootstrap(evaluation: Mapping[str, Any]) -> str:
    """How the intervals were made, and where they say less than they seem to.

    Empty for an evaluation.json without intervals, of an older version.
    """
    if "bootstrap" not in evaluation:
        return ""
    about = evaluation["bootstrap"]
    samples, count = f"{about['samples']:,} samples", about["resamples"]
    units = f"{about['groups']:,} groups ({samples})" if "groups" in about else samples
    if not count:
        return f"{samples}. No intervals, which may take long; --resamples 200 makes them."
    text = f"{units}; the 95 % intervals are from {count:,} resamples of them."
    number = about.get("groups", about["samples"])
    if number < 30:
        text += " These are few, so the intervals may be too narrow."
    if any(low == high for low, high in evaluation["intervals"].values()):
        text += (
            " Where an interval has no width, this test set has no example of the contrary: up to "
            f"{min(1.0, 3 / number):.1%} of all samples may still be one."
        )
    return text


def describe_subgroups(evaluation: Mapping[str, Any]) -> str:
    """How the intervals of subgroups were made, and which of them are not shown."""
    subgroups, total = evaluation["subgroups"], evaluation["bootstrap"]["samples"]
    shown, rows = sum(row["samples"] for row in subgroups["rows"]), len(subgroups["rows"])
    text = f"Subgroups by {subgroups['by']}"
    if subgroups.get("resamples"):
        text += f", with intervals from {subgroups['resamples']:,} resamples"
    if shown < total:
        text += f". Only the largest {rows} are shown; the others have {total - shown:,} samples"
    return f"{text}."


def describe_margin(intervals: Mapping[str, float]) -> str:
    """How wide the intervals of predict are, and how many samples lie inside; empty without."""
    if not intervals:
        return ""
    return (
        f"{100 * intervals['level']:.0f} % intervals of predictions: ± {intervals['margin']:.4g}; "
        f"{intervals['inside']:.1%} of the test samples lie inside."
    )


def describe_calibration(calibration: Mapping[str, float]) -> str:
    """The calibration error, and what the temperature did to it; empty without one."""
    if not calibration:
        return ""
    text = f"Calibration error (ECE): {calibration['ece']:.4f}"
    if "temperature" in calibration:
        before = calibration["ece_without_temperature"]
        text += f" with the temperature {calibration['temperature']:.3f}, {before:.4f} without"
    return f"{text}."
