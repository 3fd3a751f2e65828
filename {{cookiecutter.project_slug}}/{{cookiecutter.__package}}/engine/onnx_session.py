"""Runs an exported model: ``python onnx_session.py model.onnx``. Needs numpy and onnxruntime only.

As a program it reads lines from standard input, each the name of an .npz file with inputs, and
replaces that file by one with the outputs.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


class OnnxModel:
    """An ONNX file as a function of arrays, and what it knows of its data."""

    def __init__(self, path: Path | str, threads: int = 0) -> None:
        """Load the file; 0 threads are as many as there are cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.outputs = [output.name for output in self.session.get_outputs()]
        saved = self.session.get_modelmeta().custom_metadata_map
        self.metadata: dict[str, Any] = {name: json.loads(text) for name, text in saved.items()}

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name."""
        return dict(zip(self.outputs, self.session.run(None, inputs), strict=True))


def main() -> None:
    """Answer every line of standard input."""
    model = OnnxModel(sys.argv[1])
    for line in sys.stdin:
        path = line.rstrip("\n")
        with np.load(path) as inputs:
            outputs = model(**inputs)
        np.savez(path, **outputs)  # type: ignore[arg-type]
        foreign = {"torch"} & sys.modules.keys()
        print(f"not alone: {foreign}" if foreign else "done", flush=True)


if __name__ == "__main__":
    main()
