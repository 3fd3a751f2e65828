"""What takes longer to find in texts: the same one twice."""

from collections.abc import Mapping

from ..engine.data_report import DataReport
from .texts import Texts


def note_duplicates(splits: Mapping[str, Texts], report: DataReport) -> None:
    """Say which texts are in two splits, and which are there with another class."""
    import pandas as pd  # half a second, for which training need not wait

    from .table_splits import hash_rows, note_equal_samples, note_other_targets

    frames = {
        split: pd.DataFrame({"text": source.texts}, index=source.places)
        for split, source in splits.items()
    }
    note_equal_samples(frames, "text", report)
    hashes = {split: hash_rows(frame) for split, frame in frames.items()}
    targets = {
        split: pd.Series(source.labels, index=source.places) for split, source in splits.items()
    }
    note_other_targets(hashes, targets, "text", report)
