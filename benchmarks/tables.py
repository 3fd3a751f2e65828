"""Ratios of what was measured, the bars that they clear or do not, and all of it as Markdown."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from .plan import BARS, CONTENDERS, MATCHES, Bar

Result = dict[str, Any]
"""Of one contender: "rounds", "peak_mib", "quality"; or "error" (see ``arena.compete``)."""
Results = dict[str, Any]
"""Of all: "machine", "matches", "measures"."""

ABSENT = "–"


def seconds_per_step(result: Result, clock: str = "seconds") -> list[float]:
    """Of each repeat, without the first epoch; on the wall, or of the CPU ("cpu_seconds")."""
    return [item[clock] / item["steps"] for item in result["rounds"][1:]]


def samples_per_second(epochs: list[dict[str, float]]) -> float | None:
    """The median over some epochs; None if there are none."""
    rates = [item["samples"] / item["seconds"] for item in epochs]
    return median(rates) if rates else None


def time_ratios(result: Result, against: Result, clock: str = "seconds") -> list[float]:
    """Time per step against another contender's, each within the same repeat."""
    pairs = zip(seconds_per_step(result, clock), seconds_per_step(against, clock), strict=False)
    return [mine / other for mine, other in pairs]


def memory_ratios(result: Result, against: Result) -> list[float]:
    """Peak memory against another contender's, a single number if both are known."""
    mine, other = result.get("peak_mib"), against.get("peak_mib")
    return [mine / other] if mine and other else []


RATIOS: dict[str, Callable[[Result, Result], list[float]]] = {
    "time": time_ratios,
    "memory": memory_ratios,
}


def judged(bar: Bar, matches: dict[str, dict[str, Result]]) -> float | None:
    """The median of the ratio that a bar is about; None if it was not measured."""
    results = matches.get(bar.match, {})
    if bar.contender not in results or bar.against not in results:
        return None
    ratios = RATIOS[bar.quantity](results[bar.contender], results[bar.against])
    return median(ratios) if ratios else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; all columns but the first are numbers, aligned to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        right = (cell.rjust(width) for cell, width in others)
        return "| " + " | ".join([first[0].ljust(first[1]), *right]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def number(value: float | None, form: str = ",.0f") -> str:
    """A number, or a dash for what is not known."""
    return ABSENT if value is None else format(value, form)


def spread(ratios: list[float]) -> str:
    """From the least to the greatest."""
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ABSENT


def match_table(results: dict[str, Result], against: str = "bare") -> str:
    """The contenders of a match.

    Where the time of the CPU says something else than the clock, the machine was not quiet, or
    worker processes did a part.
    """
    rows = []
    base = results[against]
    for name, result in results.items():
        times, memory = time_ratios(result, base), memory_ratios(result, base)
        computed = time_ratios(result, base, "cpu_seconds")
        rows.append(
            [
                f"**{name}**" if name.startswith("ours") else name,
                number(samples_per_second(result["rounds"][1:])),
                number(samples_per_second(result["rounds"][:1])),
                number(median(times) if times else None, ".2f"),
                spread(times),
                number(median(computed) if computed else None, ".2f"),
                number(result.get("peak_mib")),
                number(memory[0] if memory else None, ".2f"),
                number(result.get("quality"), ".4f"),
            ]
        )
    header = ["contender", "samples/s", "in the first epoch", f"time ÷ {against}", "min to max"]
    header += [f"CPU time ÷ {against}", "peak MiB", f"memory ÷ {against}", "held-out"]
    return table(header, rows)


def failures(results: dict[str, Result]) -> list[str]:
    """Who failed, and the last line of what it said."""
    return [
        f"{name} failed: {result['error'].strip().splitlines()[-1]}"
        for name, result in results.items()
        if "error" in result
    ]


def bars_table(matches: dict[str, dict[str, Result]]) -> str:
    """Every bar that was measured, met or not."""
    rows = []
    for bar in BARS:
        ratio = judged(bar, matches)
        if ratio is not None:
            wanted = f"{'at least' if bar.at_least else 'at most'} {bar.limit:.2f}"
            what = f"{bar.match}: {bar.quantity} of {bar.contender} ÷ {bar.against}"
            rows.append([what, wanted, f"{ratio:.2f}", "met" if bar.is_met(ratio) else "not met"])
    return table(["bar", "wanted", "measured", ""], rows)


def growth_table(growth: dict[str, dict[str, Result]]) -> str:
    """Time of a step and memory as the data grows, in the last epoch of each."""
    rows = []
    for times, results in growth.items():
        for name, result in results.items():
            if "error" in result:
                continue
            last = result["rounds"][-1]
            step = f"{1e3 * last['seconds'] / last['steps']:.3f}"
            samples = f"{last['samples']:,}"
            rows.append([name, f"×{times}", samples, step, number(result.get("peak_mib"))])
    return table(["contender", "data", "samples", "ms a step", "peak MiB"], rows)


def seconds_table(rows: list[dict[str, Any]]) -> str:
    """What took how long: the median of some repeats."""
    return table(
        ["what", "seconds", "repeats"],
        [[row["what"], f"{median(row['seconds']):.2f}", f"{len(row['seconds'])}"] for row in rows],
    )


def quality_table(rows: list[dict[str, Any]]) -> str:
    """When the tasks reach what tests/promises.py states for them."""
    return table(
        ["task", "metric", "reached", "in epoch", "after seconds", "whole training"],
        [
            [
                row["task"],
                row["metric"],
                number(row["value"], ".4f"),
                f"{number(row['epoch'])} of {row['epochs']}",
                number(row["seconds"], ".1f"),
                f"{row['total']:.1f}",
            ]
            for row in rows
        ],
    )


MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "costs": (
        "What parts of ours cost (tiny)",
        lambda results: match_table(results, against="ours"),
    ),
    "growth": ("Growth with the size of the data (tiny)", growth_table),
    "quality": (
        "Time until validation first shows what the task promises, with every default",
        quality_table,
    ),
    "phases": ("From nothing to a trained model (image classification)", seconds_table),
    "start": ("Starting", seconds_table),
    "generation": ("Generating a project", seconds_table),
}


def markdown(results: Results) -> str:
    """Everything, as results.md has it."""
    parts = ["# Results of `make bench`", machine_line(results)]
    parts += ["## Bars", bars_table(results["matches"]), "## For the README", readme(results)]
    for name, match in results["matches"].items():
        parts += [f"## {name}: {MATCHES[name].title}", match_table(match), *failures(match)]
    for name, content in results["measures"].items():
        title, show = MEASURES[name]
        parts += [f"## {title}", show(content)]
    parts += ["## What each contender does beside the common work", *does(results)]
    return "\n\n".join(parts) + "\n"


def machine_line(results: Results) -> str:
    """Where, when and how it was measured."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['date']}, {machine['cpu']} ({machine['cores']} cores), {machine['system']}, "
        f"Python {machine['python']}, {versions}. Batch {machine['batch']}, one thread, one core; "
        f"{machine['repeats']} interleaved repeats after a first epoch; medians of the ratios "
        "within a repeat. Not timed: validation and what is saved at the end of an epoch."
    )


def does(results: Results) -> list[str]:
    """A line for each contender that took part."""
    there = {name for match in results["matches"].values() for name in match}
    return [f"- {name}: {item.does}." for name, item in CONTENDERS.items() if name in there]


def readme(results: Results) -> str:
    """The small table: time per step against bare, a column a match."""
    matches = results["matches"]
    names = [name for name in CONTENDERS if any(name in match for match in matches.values())]
    rows = []
    for name in names:
        row = [f"**{name}**" if name.startswith("ours") else name]
        for match in matches.values():
            times = time_ratios(match[name], match["bare"]) if name in match else []
            row.append(number(median(times) if times else None, ".2f"))
        rows.append(row)
    return table(["time per step ÷ bare", *matches], rows)
