"""What a tracker of experiments must do, and TensorBoard."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .files import read_text

Row = Mapping[str, Any]
Values = tuple[int, dict[str, float]]  # a step, and values by name
SECONDS = 10  # a tracker that takes longer to answer is down


class Tracker(ABC):
    """A run in a tracker, which is asked what it has: no step is missing there, or is twice.

    When it is down, all methods may raise anything.
    """

    place: str
    """Where people look at it."""

    def __init__(self, directory: Path, identity: str) -> None:
        self.directory, self.known = directory, set[tuple[str, int]]()
        self.connect(identity)

    @abstractmethod
    def connect(self, identity: str) -> None:
        """Begin, or go on and find out which (name, step) are ``known``."""

    @abstractmethod
    def add(self, rows: Sequence[Values]) -> None:
        """Send values."""

    @abstractmethod
    def add_files(self, step: int) -> None:
        """Send the figures, the report and the hyperparameters of the run."""

    @abstractmethod
    def close(self, status: str) -> None:
        """The run has ended: FINISHED, FAILED or KILLED."""

    def has(self, name: str, step: int) -> bool:
        """Whether it has this value."""
        return (name, step) in self.known

    def feed(self, rows: Sequence[Row]) -> None:
        """Send the numbers that it does not have; JSON's null is one that is not finite."""
        missing = [(row["step"], self._missing(row)) for row in rows]
        self.add([(step, values) for step, values in missing if values])
        self.known |= {(name, step) for step, values in missing for name in values}

    def _missing(self, row: Row) -> dict[str, float]:
        numbers = {name: v for name, v in row.items() if v is not None and name != "step"}
        return {name: v for name, v in numbers.items() if not self.has(name, row["step"])}

    def documents(self) -> list[Path]:
        """Files of the run that people read."""
        names = ("hyperparameters.toml", "environment.json", "report.html")
        return [path for path in map(self.directory.joinpath, names) if path.exists()]

    def figures(self) -> list[Path]:
        """Pictures of the run."""
        return sorted(self.directory.glob("figures/*.png"))


class TensorBoard(Tracker):
    """Event files in the run's directory."""

    def connect(self, identity: str) -> None:
        folder = self.directory / "tensorboard"
        self.place = f"tensorboard --logdir {self.directory.parent}"
        reading = import_module("tensorboard.backend.event_processing.event_accumulator")
        if folder.exists():
            events = reading.EventAccumulator(str(folder), {"scalars": 0, "images": 0})
            events.Reload()
            read = {"scalars": events.Scalars, "images": events.Images, "tensors": events.Tensors}
            for kind, values in read.items():
                for name in events.Tags()[kind]:
                    self.known |= {(name, value.step) for value in values(name)}
        self.writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))

    def add(self, rows: Sequence[Values]) -> None:
        for step, values in rows:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def add_files(self, step: int) -> None:
        from matplotlib.image import imread

        for path in self.documents():
            if not self.has(f"{path.name}/text_summary", step):
                is_page = path.suffix == ".html"  # which TensorBoard cannot show
                text = str(path.resolve()) if is_page else read_text(path)
                self.writer.add_text(path.name, text.replace("\n", "  \n"), step)
        for path in self.figures():
            if not self.has(path.stem, step):
                self.writer.add_image(path.stem, imread(path), step, dataformats="HWC")

    def close(self, status: str) -> None:
        self.writer.close()
