"""A run's exported model behind HTTP: ``python -m PACKAGE serve RUN``."""

import argparse
import os
import subprocess
import sys

from ..engine.errors import UserError
from ..engine.run_directory import find_run
from ..engine.serving import PACKAGES, parse_options
from .arguments import program, require_extra


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = vars(parse_options(program("serve"), argv, add_arguments))
    run, quantized = arguments.pop("run"), arguments.pop("quantized")
    folder = find_run(run) / "export"
    model = folder / ("model.int8.onnx" if quantized else "model.onnx")
    if not model.is_file() or not (folder / "server").is_dir():
        flag = " --quantize int8" if quantized else ""
        raise UserError(f"There is no server in {folder}. Type `{program('export')} {run}{flag}`.")
    require_extra("serve", PACKAGES)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    command = [sys.executable, str(folder / "server"), f"--model={model}", *flags]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(sys.executable, command)  # it takes the place of this process, so signals reach it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and which of its files."""
    parser.add_argument("run", metavar="RUN", help="name or directory of the run, or latest")
    parser.add_argument("--quantized", action="store_true", help="serve model.int8.onnx")
