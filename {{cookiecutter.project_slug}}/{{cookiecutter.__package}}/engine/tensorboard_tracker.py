"""TensorBoard: event files in the run's directory."""

from importlib import import_module

from .files import read_text
from .tracker import Tracker


class TensorBoard(Tracker):
    """``tensorboard --logdir runs`` compares all runs."""

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

    def add(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def add_files(self, step: int) -> None:
        from matplotlib.image import imread

        for path in self.files():
            if path.suffix == ".png" and not self.has(path.stem, step):
                self.writer.add_image(path.stem, imread(path), step, dataformats="HWC")
            elif path.suffix != ".png" and not self.has(f"{path.name}/text_summary", step):
                is_page = path.suffix == ".html"  # which TensorBoard cannot show
                text = str(path.resolve()) if is_page else read_text(path)
                self.writer.add_text(path.name, text.replace("\n", "  \n"), step)

    def close(self, status: str) -> None:
        self.writer.close()
