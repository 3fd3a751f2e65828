"""The handwritten digits that come with scikit-learn."""

import numpy as np
import torch

from ..engine.files import packaged_file
from ..engine.splits import SplitSettings, split_indices
from .image_folder import LabeledImages


def read_digits(settings: SplitSettings) -> tuple[dict[str, LabeledImages], list[str]]:
    """1,797 images (1, 8, 8) in splits, and the classes (Alpaydin and Kaynak, UCI, 1998)."""
    table = np.loadtxt(packaged_file("digits.csv.gz"), delimiter=",", dtype=np.uint8)
    pixels = torch.from_numpy(table[:, :64]).view(-1, 1, 8, 8)
    pixels = (pixels.float() * (255 / 16)).round().to(torch.uint8)  # the file has values 0 to 16
    labels, splits = table[:, 64].tolist(), {}
    for name, indices in split_indices(len(labels), settings, labels).items():
        names = [f"digit {i}" for i in indices]
        splits[name] = LabeledImages(pixels[indices], [labels[i] for i in indices], names)
    return splits, [str(digit) for digit in range(10)]
