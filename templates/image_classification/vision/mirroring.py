"""Whether training images may be mirrored: letters and arrows may not, most photos may."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..engine.data import BatchDataset
from ..engine.data_report import DataReport
from .threads import try_all

NUM_IMAGES = 512  # that are tried
SIDE, PATCH, NUM_PATCHES = 32, 7, 96  # of these images; pixels, pixels, number
NUM_FOLDS = 5
OPINIONS = {
    "harmless": "that seems harmless",
    "harmful": "that seems harmful",
    "unknown": "it is unclear whether that is harmless",
}
RIDGE = 0.3  # strength of the regularization, for features of variance 1


def decide_mirroring(samples: BatchDataset, pretrained: bool, report: DataReport) -> bool:
    """Whether to mirror training images; the report says why.

    From scratch they are mirrored if a trial showed that it is harmless. With pretrained weights,
    which were made for photos, they are unless it showed that it is harmful.

    Args:
        samples: pairs (image (C, H, W) uint8, class number).
        pretrained: whether the model has pretrained weights.
        report: gets a sentence.
    """
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), NUM_IMAGES)).astype(int).tolist()
    # Damaged images are left out here; training and check-data name them all.
    pairs, _ = try_all(lambda index: samples[index][:2], chosen, "mirroring")
    if not pairs:
        return False
    labels = torch.tensor([int(label) for _, label in pairs])
    plain, mirrored = recognize(torch.stack([shrink(image) for image, _ in pairs]), labels)
    verdict = judge(count_pairs(labels, plain), count_pairs(labels, mirrored))
    is_mirrored = verdict == "harmless" or (verdict == "unknown" and pretrained)
    rates = [f"{(found == labels).float().mean():.0%}" for found in (plain, mirrored)]
    report.note(
        f"Training images are {'' if is_mirrored else 'not '}mirrored ({OPINIONS[verdict]}): a "
        f"simple classifier recognized {rates[0]} of {len(labels)} images, and {rates[1]} of their "
        f"mirror images. Type --mirror {'no' if is_mirrored else 'yes'} to change that."
    )
    return is_mirrored


def judge(plain: Tensor, mirrored: Tensor) -> str:
    """What the classes found in images and in their mirror images say about mirroring.

    harmful: mirrored, a class looks more like another one. harmless: no class does, and the
    classifier tells them apart well enough to notice. Otherwise unknown.

    Args:
        plain: (C, C), how many images of each class (row) were found to be of each (column).
        mirrored: the same for their mirror images.
    """
    own, other = own_and_other(mirrored)
    if (other - own > 3 * (other + own).sqrt()).any():  # by chance in one of a thousand cases
        return "harmful"
    plain_own, plain_other = own_and_other(plain)
    is_noticed = plain_own >= 2 * plain_other
    is_absent = plain.sum(1) == 0
    # Had mirroring exchanged two classes that are noticed, it would be half of the other at most.
    is_kept = own > 0.75 * other
    return "harmless" if (is_absent | is_noticed & is_kept).all() else "unknown"


def own_and_other(counts: Tensor) -> tuple[Tensor, Tensor]:
    """How often each class was found to be itself, and the other class that it was most: (C,)."""
    own = counts.diag()
    return own, (counts - own.diag()).amax(1)


def count_pairs(labels: Tensor, found: Tensor) -> Tensor:
    """(C, C) float: how many images of a class (row) were found to be of a class (column)."""
    num_classes = int(labels.max()) + 1
    counts = torch.bincount(labels * num_classes + found, minlength=num_classes**2)
    return counts.view(num_classes, num_classes).float()


def recognize(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The classes that a simple classifier finds in images, and in their mirror images: (N,) each.

    It has learned from the other images as they are. It is a ridge regression on how much an image
    resembles patches of others, and where (Coates, Lee and Ng 2011,
    https://proceedings.mlr.press/v15/coates11a.html).

    Args:
        images: (N, C, SIDE, SIDE).
        labels: (N,) numbers of classes.
    """
    generator = torch.Generator().manual_seed(0)
    images = standardize(images)
    patches = standardize(cut_patches(images, generator)) / PATCH
    views = torch.stack([features(images, patches), features(images.flip(3), patches)])
    views = (views - views[0].mean(0)) / (views[0].std(0) + 1e-6)
    targets, found = F.one_hot(labels).float(), torch.zeros(2, len(labels), dtype=torch.int64)
    fold = torch.randperm(len(labels), generator=generator) % NUM_FOLDS
    for number in fold.unique():
        inside, outside = fold != number, fold == number
        scores = ridge(views[0, inside], targets[inside], views[:, outside])
        found[:, outside] = scores.argmax(2)
    return found[0], found[1]


def shrink(image: Tensor) -> Tensor:
    """(C, H, W) uint8 to (C, SIDE, SIDE) in [0, 1]."""
    resized = F.interpolate(image[None] / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
    return resized[0]


def standardize(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with mean 0 and std 1 each, but for flat ones."""
    centered: Tensor = images - images.mean((1, 2, 3), keepdim=True)
    return centered / (centered.std((1, 2, 3), keepdim=True) + 1e-2)


def cut_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """(NUM_PATCHES, C, PATCH, PATCH) from random places of random images, half of them mirrored."""
    size = (NUM_PATCHES, 1, 1, 1)
    number = torch.randint(len(images), size, generator=generator)
    y, x = (torch.randint(SIDE - PATCH + 1, size, generator=generator) for _ in range(2))
    channel = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    row, column = torch.arange(PATCH).view(1, 1, -1, 1), torch.arange(PATCH).view(1, 1, 1, -1)
    patches = images[number, channel, y + row, x + column]
    patches[::2] = patches[::2].flip(3)
    return patches


def features(images: Tensor, patches: Tensor) -> Tensor:
    """How much nine regions of an image resemble each patch, and where it does most: (N, F)."""
    parts = []
    for part in images.split(64):  # of all at once, the maps would take much memory
        maps = F.conv2d(part, patches).relu_()
        pooled = (F.adaptive_avg_pool2d(maps, 3), F.adaptive_max_pool2d(maps, 1))
        parts.append(torch.cat([values.flatten(1) for values in pooled], dim=1))
    return torch.cat(parts)


def ridge(inputs: Tensor, outputs: Tensor, queries: Tensor) -> Tensor:
    """The answers of a ridge regression, in its dual form: it has fewer rows than columns."""
    strength = RIDGE * inputs.shape[1] * torch.eye(len(inputs))
    mean = outputs.mean(0)
    weights: Tensor = torch.linalg.solve(inputs @ inputs.T + strength, outputs - mean)
    return queries @ inputs.T @ weights + mean
