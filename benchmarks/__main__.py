"""Compares the rendered project with what users would pick instead, and writes down what it finds.

    make bench
    make bench ARGS="--only tiny,cnn --repeats 7"
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from .arena import compete
from .plan import MATCHES
from .projects import prepare, render

def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--only", default="tiny")
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--share", type=float, default=1)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as f:
        for name in a.only.split(","):
            m = MATCHES[name]
            project = render(Path(f), m.task)
            data = prepare(Path(f), project, a.share, [m.workload])
            r = compete(m, project, data, a.repeats)
            for c, v in r.items():
                print(c, {k: x for k, x in v.items() if k != "rounds"}, [round(x["seconds"]/x["steps"]*1000,3) for x in v["rounds"]])

if __name__ == "__main__":
    main()
