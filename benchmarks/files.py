"""The workload of JPEG files: photo-like images in class folders, and next to no model."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from .plan import BATCH, SEED

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The part of an image that is cut out: the rendered project's, so that all resize the same.
SCALE = (0.35, 1.0)


class Pooled(nn.Module):
    """Averages of 8×8 fields, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), normalized, to logits (N, 10)."""
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(images, 8).flatten(1))
        return logits


class Files:
    """Images of 256×256 in ``train/`` and ``val/``, a folder a class."""

    SIZE = 224

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self.num_steps = sum(1 for _ in (folder / "train").glob("*/*.jpg")) // BATCH

    def make_model(self) -> nn.Module:
        torch.manual_seed(SEED)
        return Pooled()

    def loader(self, style: str = "bare") -> DataLoader[Any]:
        from torchvision.datasets import ImageFolder

        transform = reference_transform() if style == "reference" else bare_transform()
        return DataLoader(
            ImageFolder(str(self.folder / "train"), transform),
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=self.workers,
        )

    def forward(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        images, classes = batch
        logits = model(images)
        return functional.cross_entropy(logits, classes), logits

    def count(self, outputs: Tensor, batch: Any) -> Tensor:
        right: Tensor = (outputs.detach().argmax(1) == batch[1]).sum()
        return right

    def quality(self, model: nn.Module, precision: str = "fp32") -> float | None:
        """The model is no good, and need not be."""
        return None


def bare_transform() -> Any:
    """As the pages of torchvision's transforms v2 advise."""
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(Files.SIZE, scale=SCALE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def reference_transform() -> Any:
    """As torchvision's reference scripts have it: transforms v1 on images of PIL."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.RandomResizedCrop(Files.SIZE, scale=SCALE),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
            transforms.Normalize(MEAN, STD),
        ]
    )


def make_files(folder: Path, share: float) -> None:
    """2,000 images to train with and 40 others, 20 to 40 kB each."""
    generator = torch.Generator().manual_seed(SEED)
    for part, number in (("train", max(4 * BATCH, round(2000 * share))), ("val", 40)):
        for index in range(number):
            path = folder / part / f"class {index % 10}" / f"{index:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_jpeg(path, generator)


def write_jpeg(path: Path, generator: torch.Generator) -> None:
    """Noise of all sizes, the finer the weaker, as in photographs."""
    from torchvision.io import encode_jpeg

    image = torch.full((1, 3, 2, 2), 0.5)
    for size in (4, 8, 16, 32, 64, 128, 256):
        noise = torch.randn(1, 3, size, size, generator=generator)
        image = functional.interpolate(image, (size, size), mode="bilinear")
        image += 0.4 * size**-0.4 * noise
    pixels = (image[0].clamp(0, 1) * 255).to(torch.uint8)
    path.write_bytes(encode_jpeg(pixels, quality=90).numpy().tobytes())
