"""Compares the rendered project with what users would pick instead, and writes down what it finds.

    make bench
    make bench ARGS="--only tiny,cnn --repeats 7"
    make bench ARGS="--only tiny --contenders bare,ours"
    make bench ARGS=--quick

A whole run writes benchmarks/results/ and the table in README.md; a part of it, or a quick one,
writes benchmarks/results/part/ only. Let nothing else run meanwhile.
"""

import argparse
import datetime
import json
import os
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from . import measures, tables
from .arena import compete
from .plan import BATCH, CONTENDERS, MATCHES, Match
from .projects import TEMPLATE, prepare, render

RESULTS = TEMPLATE / "benchmarks" / "results"
PACKAGES = ("torch", "torchvision", "lightning", "pytorch-ignite", "accelerate")
QUICK = ("tiny", "cnn", "jpeg", "start", "generation")
BEGIN, END = "<!-- table of make bench -->", "<!-- end of it -->"


def main() -> None:
    arguments = parse()
    names = arguments.only or (QUICK if arguments.quick else (*MATCHES, *tables.MEASURES))
    whole = not (arguments.only or arguments.contenders or arguments.quick)
    output = arguments.output or (RESULTS if whole else RESULTS / "part")
    results: tables.Results = {"machine": machine(arguments.repeats), "matches": {}, "measures": {}}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        for name in names:
            print(f"\n{name}\n", flush=True)
            if name in MATCHES:
                found = measure_match(MATCHES[name], Path(temporary), arguments)
                results["matches"][name] = found
                print(tables.match_table(found), *tables.failures(found), sep="\n", flush=True)
            else:
                found = measure(name, Path(temporary), arguments)
                results["measures"][name] = found
                print(tables.MEASURES[name][1](found), flush=True)
            save(results, output)
    if results["matches"]:
        print(f"\nBars\n\n{tables.bars_table(results['matches'])}\n")
    show(results, output)
    if whole:
        write_into(TEMPLATE / "README.md", tables.readme(results))
    print(f"Written: {output}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    known = (*MATCHES, *tables.MEASURES)
    parser.add_argument(
        "--only", type=partial(some_of, known), help=f"some of {', '.join(known)}, with commas"
    )
    parser.add_argument(
        "--contenders",
        type=partial(some_of, tuple(CONTENDERS)),
        help="some of them, with commas; bare always takes part",
    )
    parser.add_argument("--repeats", type=int, default=None, help="timed epochs of each (5)")
    parser.add_argument("--quick", action="store_true", help="a smoke run on an eighth of the data")
    parser.add_argument("--install", action="store_true", help="time the installation too")
    parser.add_argument("--output", type=Path, help="folder for the results")
    arguments = parser.parse_args()
    if arguments.repeats is None:
        arguments.repeats = 2 if arguments.quick else 5
    if arguments.repeats < 1:
        parser.error("--repeats must be 1 or more")
    return arguments


def some_of(known: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The names in a text with commas."""
    names = tuple(text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name!r}, only {', '.join(known)}")
    return names


def measure_match(match: Match, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let the contenders of a match train in turn."""
    if arguments.contenders:
        match = match.only({"bare", *arguments.contenders})
    project = render(folder, match.task)
    data = prepare(folder, project, 0.125 if arguments.quick else 1, [match.workload])
    return compete(match, project, data, arguments.repeats)


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> Any:
    """One of the further measurements."""
    more: dict[str, Any] = {
        "phases": {"install": arguments.install},
        "costs": {"repeats": arguments.repeats},
    }
    function: Callable[..., Any] = getattr(measures, name)
    return function(folder, arguments.quick, **more.get(name, {}))


def machine(repeats: int) -> dict[str, Any]:
    """Where, when and with what it is measured."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": f"{datetime.date.today()}",
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
        "batch": BATCH,
        "repeats": repeats,
    }


def cpu() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def save(results: tables.Results, folder: Path) -> None:
    """Write results.json, with everything raw, while more is to come."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(results, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(content + "\n", encoding="utf-8")


def show(results: tables.Results, folder: Path) -> None:
    """Write results.md and the picture."""
    (folder / "results.md").write_text(tables.markdown(results), encoding="utf-8")
    if results["matches"]:
        from .picture import draw  # only now: the children's memory begins with this process's

        draw(results, folder / "results.png")


def write_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks of a file."""
    before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
