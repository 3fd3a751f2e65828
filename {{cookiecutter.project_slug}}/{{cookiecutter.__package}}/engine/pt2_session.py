"""Runs model.pt2 for the check of export: ``python pt2_session.py model.pt2 NAMES OF OUTPUTS``.

Like ``onnx_session.py`` it reads lines from standard input, each the name of an .npz file with
inputs, and replaces that file by one with the outputs.
"""

import sys
from pathlib import Path

import numpy as np
import torch


@torch.inference_mode()
def main() -> None:
    """Answer every line of standard input."""
    module, names = torch.export.load(sys.argv[1]).module(), sys.argv[2:]
    for line in sys.stdin:
        path = line.rstrip("\n")
        with np.load(path) as arrays:
            inputs = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        outputs = module(**inputs)
        several = outputs if isinstance(outputs, tuple | list) else (outputs,)
        arrays = {name: value.numpy() for name, value in zip(names, several, strict=True)}
        np.savez(path, **arrays)
        foreign = {Path(__file__).resolve().parent.parent.name} & sys.modules.keys()
        print(f"not alone: {foreign}" if foreign else "done", flush=True)


if __name__ == "__main__":
    main()
