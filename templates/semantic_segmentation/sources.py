"""Where images and masks come from: the digit scenes, or folders of your own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from .errors import UserError
from .hyperparameters import Hyperparameters
from .images import read_image
from .masks import SUFFIXES, Legend, make_legend, read_mask
from .pairs import find_pairs, pair_files, split_missing
from .scenes import CLASSES, Scenes, make_scenes


class Source(Protocol):
    """One part of the data, before any transformation."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Image (3, H, W) uint8, and mask (H, W) uint8: classes, 255 where there is none."""
        ...

    def describe(self, index: int) -> str:
        """Where the image is from, for messages and figures."""
        ...


@dataclass(frozen=True)
class SceneSource:
    """Scenes, which are held in memory."""

    scenes: Scenes

    def __len__(self) -> int:
        return len(self.scenes.images)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """See ``Source``."""
        return self.scenes.images[index], self.scenes.masks[index]

    def describe(self, index: int) -> str:
        """Its name."""
        return self.scenes.names[index]


@dataclass(frozen=True)
class Files:
    """Image files with their masks, read when they are needed."""

    pairs: list[tuple[Path, Path]]
    legend: Legend

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """See ``Source``.

        Raises:
            UserError: one of the files cannot be read, or they do not fit.
        """
        image_path, mask_path = self.pairs[index]
        image, mask = read_image(image_path), read_mask(mask_path, self.legend)
        if image.shape[1:] != mask.shape:
            sizes = [f"{shape[1]} × {shape[0]}" for shape in (mask.shape, image.shape[1:])]
            raise UserError(
                f"{mask_path} has {sizes[0]} pixels, but its image {image_path} has {sizes[1]}. "
                "Make them equal."
            )
        return image, mask

    def describe(self, index: int) -> str:
        """The path of the image."""
        return str(self.pairs[index][0])


def read_scenes(settings: Hyperparameters) -> tuple[dict[str, SceneSource], list[str]]:
    """The parts and the classes of the digit scenes."""
    parts = make_scenes(settings)
    return {part: SceneSource(scenes) for part, scenes in parts.items()}, ["ground", *CLASSES]


def read_folder(root: Path, settings: Hyperparameters) -> tuple[dict[str, Files], list[str]]:
    """The parts and the classes of a folder with the folders images and masks.

    Raises:
        UserError: there is no such folder, something in it is wrong, or too little to be split.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of images/, masks/.")
    folders = find_pairs(root, "masks")
    if not folders:
        raise UserError(f"{root} has no folder images. Put the images there, the masks in masks.")
    parts = {part: _pair(images, masks) for part, (images, masks) in folders.items()}
    legend = make_legend(root, [mask for pairs in parts.values() for _, mask in pairs])
    parts = split_missing(parts, settings)
    return {part: Files(pairs, legend) for part, pairs in parts.items()}, legend.names


def _pair(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Every image with its mask."""
    pairs = []
    for image, mask in pair_files(images, masks, SUFFIXES):
        if mask is None:
            wanted = (masks / image.relative_to(images)).with_suffix(".png")
            raise UserError(f"{image} has no mask {wanted}. Add the mask, or remove the image.")
        pairs.append((image, mask))
    return pairs
