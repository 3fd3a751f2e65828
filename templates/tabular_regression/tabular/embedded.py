"""The tables that come with scikit-learn, in their original units."""

from collections.abc import Iterable

import pandas as pd

from ..engine.files import packaged_file
from .table_files import Table

DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "progression"]
NUCLEUS = [
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness"),
    *("concavity", "concave points", "symmetry", "fractal dimension"),
]
BREAST_CANCER = [f"{kind} {name}" for kind in ("mean", "error", "worst") for name in NUCLEUS]


def diabetes(text_columns: Iterable[str] = ()) -> Table:
    """442 patients; the target is the last column (Efron et al. 2004, Least Angle Regression)."""
    inputs, target = map(packaged_file, ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"))
    dtypes = dict.fromkeys(text_columns, str)
    frame = pd.read_csv(inputs, sep=" ", names=DIABETES[:-1], dtype=dtypes)
    frame[DIABETES[-1]] = pd.read_csv(target, header=None)
    return Table("the diabetes data", frame.set_axis(range(1, len(frame) + 1)))


def breast_cancer() -> Table:
    """569 tumors; the target is the last column (Street, Wolberg and Mangasarian 1993)."""
    path = packaged_file("breast_cancer.csv")
    frame = pd.read_csv(path, header=0, names=[*BREAST_CANCER, "diagnosis"])
    frame["diagnosis"] = frame["diagnosis"].map({0: "malignant", 1: "benign"})
    return Table("the breast cancer data", frame.set_axis(range(1, len(frame) + 1)))
