"""Step 2, the images: the embedded digits or a folder of yours, their splits and augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import v2

from .errors import UserError
from .hyperparameters import Hyperparameters
from .loaders import Data, packaged_file, split
from .models import Preprocessing, preprocessing

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
NAMES_OF_PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}
Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Images:
    """Images with their classes.

    A sample is (image: (C, H, W) uint8, or float in [0, 1] when it was mixed; class: its number,
    or a probability for every class when it was mixed).
    """

    labels: Sequence[int]
    read: Callable[[int], Tensor]
    name: Callable[[int], str]
    transform: Transform
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int | Tensor]:
        if self.mix is None:
            return self._single(index)
        # The partner follows from the sample's own seed, not from its neighbours in the batch.
        partner = int(torch.randint(len(self), ()))
        (first, label), (second, other) = self._single(index), self._single(partner)
        images, labels = self.mix(torch.stack([first, second]) / 255, torch.tensor([label, other]))
        return images[0], labels[0]

    def _single(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.read(index)), self.labels[index]

    def describe(self, index: int) -> str:
        """The file of an image, or its place among the digits."""
        return self.name(index)


def make_data(settings: Hyperparameters) -> Data:
    """Training, validation and test images as ``settings`` ask for them."""
    wanted = preprocessing(settings)
    if settings.data is None:
        parts, facts = _digits(settings, wanted)
    else:
        parts, facts = _folder(settings, settings.data, wanted)
    parts["train"] = replace(
        parts["train"],
        transform=_augmentation(settings, facts["image_size"]),
        mix=_mixing(settings, len(facts["classes"])),
    )
    return Data(
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        facts=facts,
        in_memory=settings.data is None,
    )


def _digits(
    settings: Hyperparameters, wanted: Preprocessing | None
) -> tuple[dict[str, Images], dict[str, Any]]:
    """The optical recognition of handwritten digits data (Alpaydin and Kaynak, UCI, 1998)."""
    table = np.loadtxt(packaged_file("digits.csv.gz"), delimiter=",", dtype=np.uint8)
    images = torch.from_numpy(table[:, :64]).view(-1, 1, 8, 8)
    images = (images.float() * (255 / 16)).round().to(torch.uint8)  # the file has 17 grey levels
    labels = table[:, 64].tolist()
    size = settings.image_size or (wanted.crop_size if wanted else 8)
    transform = _composed([] if size == 8 else [v2.Resize(size, antialias=True)])

    def part(indices: list[int]) -> Images:
        return Images(
            labels=[labels[index] for index in indices],
            read=lambda position: images[indices[position]],
            name=lambda position: f"digit {indices[position]}",
            transform=transform,
        )

    parts = {name: part(indices) for name, indices in split(len(labels), settings, labels).items()}
    classes = [str(digit) for digit in range(10)]
    return parts, {"classes": classes, "channels": 1} | _statistics(parts["train"], size, wanted)


def _folder(
    settings: Hyperparameters, root: Path, wanted: Preprocessing | None
) -> tuple[dict[str, Images], dict[str, Any]]:
    """Images of a folder with one folder a class, below train/, val/ and test/ where they exist."""
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of image folders.")
    folders = {part: _first_folder(root, names) for part, names in NAMES_OF_PARTS.items()}
    if folders["train"] is None:
        folders = {"train": root, "val": None, "test": None}
    files = {part: _list_images(folder) for part, folder in folders.items() if folder is not None}
    classes = sorted(files["train"])
    for part, found in files.items():
        for name in set(found) - set(classes):
            raise UserError(
                f"{folders[part]} has the class {name!r}, which {folders['train']} has not. "
                "Give every class a folder of training images."
            )
    pairs = {
        part: [(file, classes.index(name)) for name, group in found.items() for file in group]
        for part, found in files.items()
    }
    pairs |= _missing_parts(pairs, settings, classes)
    size = settings.image_size or (wanted.crop_size if wanted else 64)
    parts = {part: _image_files(found, _fitting(size, wanted)) for part, found in pairs.items()}
    return parts, {"classes": classes, "channels": 3} | _statistics(parts["train"], size, wanted)


def _first_folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _list_images(folder: Path) -> dict[str, list[Path]]:
    """The image files of every class folder, in a fixed order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        raise UserError(
            f"{folder} has {len(classes)} class folder(s); at least two are needed. "
            "Put the images of each class into a folder with the name of the class."
        )
    found = {}
    for path in classes:
        found[path.name] = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not found[path.name]:
            raise UserError(f"{path} has no images ({', '.join(sorted(SUFFIXES))}). Remove it.")
    return found


def _missing_parts(
    pairs: dict[str, list[tuple[Path, int]]], settings: Hyperparameters, classes: list[str]
) -> dict[str, list[tuple[Path, int]]]:
    """The training images again, less those split off for the parts that have no folder."""
    missing = tuple(part for part in ("val", "test") if part not in pairs)
    labels = [label for _, label in pairs["train"]]
    for number, name in enumerate(classes):
        if missing and labels.count(number) <= len(missing):
            raise UserError(
                f"The class {name!r} has {labels.count(number)} image(s), too few to be split into "
                f"train, {' and '.join(missing)}. Add images, or leave out the class."
            )
    indices = split(len(labels), settings, labels, parts=missing)
    return {part: [pairs["train"][index] for index in found] for part, found in indices.items()}


def _image_files(pairs: list[tuple[Path, int]], transform: Transform) -> Images:
    return Images(
        labels=[label for _, label in pairs],
        read=lambda index: read_image(pairs[index][0]),
        name=lambda index: str(pairs[index][0]),
        transform=transform,
    )


def read_image(path: Path) -> Tensor:
    """(3, H, W) uint8.

    Raises:
        UserError: the file is not an image that can be read.
    """
    try:
        with Image.open(path) as file:
            pixels = np.array(ImageOps.exif_transpose(file).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path} is not an image that can be read ({error}). Repair or remove the file."
        ) from None
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _fitting(size: int, wanted: Preprocessing | None) -> Transform:
    """Resize and crop as the pretrained weights were evaluated, or cut the middle square."""
    longer = round(size * wanted.resize_size / wanted.crop_size) if wanted else size
    return _composed([v2.Resize(longer, antialias=True), v2.CenterCrop(size)])


def _composed(steps: list[Any]) -> Transform:
    transform: Transform = v2.Compose(steps) if steps else v2.Identity()
    return transform


def _augmentation(settings: Hyperparameters, size: int) -> Transform:
    """The random transformation of a training image to (C, size, size)."""
    kind = settings.augment
    if kind == "auto":
        kind = "shift" if settings.data is None else "crop"
    whole: list[Any] = []
    if settings.data is not None or size != 8:
        whole = [v2.Resize(size, antialias=True), v2.CenterCrop(size)]
    zoom = [
        v2.RandomResizedCrop(size, scale=(0.35, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    steps: dict[str, list[Any]] = {
        "none": whole,
        "shift": [*whole, v2.RandomCrop(size, padding=max(1, size // 8), padding_mode="edge")],
        "crop": zoom,
        "strong": [*zoom, v2.TrivialAugmentWide()],
    }
    return _composed(steps[kind])


def _mixing(
    settings: Hyperparameters, num_classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Mixup, cutmix, one of both at random, or None."""
    choices: list[Any] = []
    if settings.mixup_alpha:
        choices.append(v2.MixUp(alpha=settings.mixup_alpha, num_classes=num_classes))
    if settings.cutmix_alpha:
        choices.append(v2.CutMix(alpha=settings.cutmix_alpha, num_classes=num_classes))
    return v2.RandomChoice(choices) if choices else None


def _statistics(train: Images, size: int, wanted: Preprocessing | None) -> dict[str, Any]:
    """What the model's normalisation needs: those of the pretrained weights, else of the images."""
    if wanted is not None and wanted.mean:
        return {"image_size": size, "mean": wanted.mean, "std": wanted.std}
    step = max(1, len(train) // 256)  # 256 images tell the mean and spread well enough
    pixels = torch.cat([train[i][0].flatten(1) for i in range(0, len(train), step)], dim=1) / 255
    std = pixels.std(dim=1).clamp(min=1e-3)
    return {"image_size": size, "mean": pixels.mean(dim=1).tolist(), "std": std.tolist()}
