"""Which files of a folder are images, which are masks, and which belong together."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..engine.data_report import DataReport, some
from ..engine.errors import UserError
from ..engine.splits import split_of
from .images import SUFFIXES
from .listing import FileFinder

IMAGE_WORDS = (
    *("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "photos", "photo"),
    *("pictures", "picture", "inputs", "input", "rgb", "sat"),
)
MASK_WORDS = (
    *("masks", "mask", "segmentationclass", "segmentations", "segmentation", "segs", "seg"),
    *("labels", "label", "annotations", "annotation", "annot", "targets", "target"),
    *("groundtruth", "gt", "gtfine", "trimaps", "trimap"),
)
"""If there are folders for several of them, the first one counts."""
OTHER_WORDS = ("data", "dir", "ground", "jpeg", "jpg", "png", "set", "tif", "tiff", "truth")


def _name_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """What a file's name is without one of the words: of mask_1, mask1, 1_mask and 1 it is 1."""
    word = f"(?:{'|'.join(words)})"
    return re.compile(
        rf"(?:{word}[ ._-]?(?=\d)|{word}[ ._-])?(.*?)(?:[ ._-]{word})?", re.IGNORECASE
    )


IMAGE_NAME, MASK_NAME = _name_pattern(IMAGE_WORDS), _name_pattern(MASK_WORDS)


class Pair(NamedTuple):
    """An image and its mask."""

    image: Path
    mask: Path


class Place(NamedTuple):
    """What the names of the folders on the way to a file say."""

    split: str | None
    role: str | None
    """A word for images or masks."""
    rest: tuple[str, ...]
    """Other names; an image and its mask have the same."""


Places = dict[Path, Place]
"""Of files."""


def find_pairs(root: Path, report: DataReport) -> dict[str, list[Pair]]:
    """The images with their masks in each split, at least in "train".

    Folders of splits may stand above or below those of images and masks, or be the same:
    train/images, images/train, train_images. A mask may stand beside its image: 1.jpg, 1_mask.png.
    A UserError if there are no images or masks, or some have no partner.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}. Type --data with a folder of images/, masks/.")
    finder = FileFinder(SUFFIXES, "images")
    files = finder.find([root])[root]
    finder.others = [path for path in finder.others if Path(path).name != "classes.json"]
    finder.add_notes(report)
    images, masks = _tell_apart(_find_places(root, files), report)
    if not images or not masks:
        raise UserError(
            f"{root} has no folder images or no folder masks with files in it. Put the images into "
            "images, and the masks with the same names into masks."
        )
    splits: dict[str, list[Pair]] = {}
    lonely: list[Path] = []
    for split, paths in _by_split(images, report).items():
        own = {path: place for path, place in masks.items() if place.split in (split, None)}
        splits[split], alone = _match({path: images[path] for path in paths}, own)
        lonely += alone
        if split != "train" and not splits[split]:
            report.note(f"Left aside: {split} has {len(paths):,} images, but no masks.")
            del splits[split], lonely[-len(alone) :]
    _refuse_lonely(lonely, images, masks, splits)
    return splits


def _find_places(root: Path, files: Iterable[Path]) -> Places:
    """The place of each file; what its folders say is found once for each folder."""
    folders: dict[Path, Place] = {}
    places = {}
    for path in files:
        if path.parent not in folders:
            folders[path.parent] = _parse(path.parent.relative_to(root).parts)
        places[path] = folders[path.parent]
    return places


def _parse(folders: Sequence[str]) -> Place:
    split, role, rest = None, None, list[str]()
    for name in folders:
        words = re.findall(r"[^\W_]+", re.sub(r"(?<=[^\W_])annot$", "_annot", name.lower()))
        roles = [word for word in words if word in IMAGE_WORDS or word in MASK_WORDS]
        others = [word for word in words if word not in roles and word not in OTHER_WORDS]
        named = split_of(name) or (split_of(others[0]) if len(others) == 1 else None)
        split, role = named or split, next(iter(roles), role)
        if {"ground", "truth"} <= set(words):
            role = "groundtruth"
        if others and not named:
            rest.append(" ".join(others))
    return Place(split, role, tuple(rest))


def _tell_apart(places: Places, report: DataReport) -> tuple[Places, Places]:
    """The images, and the masks."""
    roles = {place.role for place in places.values()}
    mask_role = next((word for word in MASK_WORDS if word in roles), None)
    if mask_role is None:
        return _tell_apart_by_name(places)
    masks = {path: place for path, place in places.items() if place.role == mask_role}
    image_roles = roles.intersection(IMAGE_WORDS) or {None}
    images = {path: place for path, place in places.items() if place.role in image_roles}
    others = [path for path in places if path not in masks and path not in images]
    problem = "Left aside, because by their folders they are neither images nor masks"
    report.note_some(problem, others, len(places), "file")
    return images, masks


def _tell_apart_by_name(places: Places) -> tuple[Places, Places]:
    """Images and masks in the same folders: a mask has the name of an image and more."""
    names = {(path.parent, path.stem.lower()) for path in places}
    masks = {}
    for path, place in places.items():
        name = _simplify(path.stem, MASK_NAME)
        if name != path.stem.lower() and any(
            (path.parent, other) in names for other in (name, f"{name}_sat", f"{name}_image")
        ):
            masks[path] = place
    return {path: place for path, place in places.items() if path not in masks}, masks


def _simplify(stem: str, pattern: re.Pattern[str]) -> str:
    """A name of a file in small letters, without the word that says what it is."""
    match = pattern.fullmatch(stem)
    return (match[1] if match else stem).lower()


def _by_split(images: Places, report: DataReport) -> dict[str, list[Path]]:
    """The images of each split; all are "train" if no folder is named like that."""
    splits: dict[str | None, list[Path]] = defaultdict(list)
    for path, place in images.items():
        splits[place.split].append(path)
    unlabeled, loose = splits.pop("unlabeled", []), splits.pop(None, [])
    if "train" not in splits and loose:
        splits["train"], loose = loose, []
    for paths, problem in ((unlabeled, "unlabeled by their folder"), (loose, "in no split")):
        report.note_some(f"Left aside, because they are {problem}", paths, len(images), "image")
    if "train" not in splits:
        names = " and ".join(name for name in splits if name)
        raise UserError(f"There are images of {names}, but no folder train. Add it.")
    order = ("train", "val", "test")
    return {split: splits[split] for split in order if split in splits}


def _match(images: Places, masks: Places) -> tuple[list[Pair], list[Path]]:
    """The images with their masks, and the images that have none.

    A UserError if two images or two masks have the same name.
    """
    exact, similar = defaultdict[object, list[Path]](list), defaultdict[object, list[Path]](list)
    for path, place in masks.items():
        exact[place.rest, path.stem].append(path)
    if any((place.rest, path.stem) not in exact for path, place in images.items()):
        for path, place in masks.items():
            similar[place.rest, _simplify(path.stem, MASK_NAME)].append(path)
    pairs, alone, taken = [], [], dict[Path, Path]()
    for path, place in images.items():
        found = exact.get((place.rest, path.stem)) or similar.get(
            (place.rest, _simplify(path.stem, IMAGE_NAME)), []
        )
        if not found:
            alone.append(path)
            continue
        if len(found) > 1:
            raise UserError(f"{found[0]} and {found[1]} are both masks of {path}. Remove one.")
        if found[0] in taken:
            raise UserError(
                f"{taken[found[0]]} and {path} have the same name, so the same mask. Rename one."
            )
        taken[found[0]] = path
        pairs.append(Pair(path, found[0]))
    return pairs, alone


def _refuse_lonely(
    lonely: Sequence[Path], images: Places, masks: Places, splits: Mapping[str, Sequence[Pair]]
) -> None:
    """Raises a UserError for images without masks, and for masks without images."""
    used = {pair.mask for pairs in splits.values() for pair in pairs}
    unused = [path for path in masks if path not in used]
    problems = []
    if lonely:
        problems.append(f"There is no mask for {some(lonely, len(images), 'image')}.")
    if unused:
        problems.append(f"There is no image for {some(unused, len(masks), 'mask')}.")
    if problems:
        raise UserError(" ".join(problems) + " Add what is missing, or remove the others.")
