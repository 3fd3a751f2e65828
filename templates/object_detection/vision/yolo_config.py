"""What stands beside YOLO's label files: data.yaml, names of classes, lists of images."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..engine.data_report import DataReport
from ..engine.errors import UserError
from ..engine.files import read_text
from ..engine.splits import split_of
from .image_files import ImageFiles, Texts, split_folder
from .images import SUFFIXES

CLASS_FILES = {"classes.txt", "predefined_classes.txt"}


@dataclass
class YoloConfig:
    """The names of the classes, and where the images of each split are."""

    source: Path | None = None
    """The file with the names."""
    names: dict[int, str] = field(default_factory=dict)
    """By the number of the class; empty if there are none."""
    splits: dict[str, list[str]] = field(default_factory=dict)
    """Folders or lists of images, as data.yaml names them."""
    has_keypoints: bool = False


def read_yolo_config(texts: Texts, report: DataReport) -> YoloConfig:
    """The content of data.yaml or another YAML file with names, or else of classes.txt.

    A UserError if a file is wrong, or several have other names.
    """
    yamls = sorted(texts[".yaml"] + texts[".yml"], key=_rank)
    contents = {path: content for path in yamls if (content := _load_yaml(path))}
    lists = [path for path in texts[".txt"] if path.name.lower() in CLASS_FILES]
    lists += texts[".names"] + texts[".labels"]
    source = next(iter(contents), None) or min(lists, key=_rank, default=None)
    aside = [path.name for path in (*contents, *lists) if path != source]
    if source in contents:
        config = _read_yaml(contents[source], source)
    elif source:
        names = [line.strip() for line in read_text(source).strip().splitlines()]
        config = YoloConfig(source, _check_names(dict(enumerate(names)), source))
        same = read_text(source).split()
        aside = [path.name for path in lists if read_text(path).split() != same]
    else:
        return YoloConfig()
    what = f"Left aside, as {source.name} has the names of the classes"
    num_files = len(contents) + len(lists)
    report.note_some(what, aside, num_files, "file with names", "files with names")
    return config


def _rank(path: Path) -> tuple[int, bool, str]:
    """Files nearer to the root come first, and data.yaml before others."""
    return len(path.parts), path.stem.lower() not in ("data", "dataset"), str(path)


def _load_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file that is about data; all values in it are texts."""
    try:
        content = yaml.load(read_text(path), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not valid YAML ({reason}).") from None
    is_data = isinstance(content, dict) and not {"names", "nc", "train"}.isdisjoint(content)
    return content if is_data else {}


def _read_yaml(content: dict[str, Any], path: Path) -> YoloConfig:
    """What data.yaml says."""
    names, count = content.get("names") or [], content.get("nc")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(str(number).isdecimal() for number in names):
        raise UserError(f"{path} must have the names of the classes: `names: [cat, dog]`.")
    if names and count is not None and str(count) != str(len(names)):
        raise UserError(f"{path} has nc: {count}, but {len(names)} names. Make them agree.")
    if names:
        names = _check_names({int(number): name for number, name in names.items()}, path)
    config = YoloConfig(path, names, has_keypoints="kpt_shape" in content)
    for key, value in content.items():
        if value and (split := split_of(key)) in ("train", "val", "test"):
            places = value if isinstance(value, list) else [value]
            config.splits[split] = [f"{content.get('path', '')}/{place}" for place in places]
    return config


def _check_names(names: dict[int, Any], path: Path) -> dict[int, str]:
    """The names, if there are some and each is there once."""
    texts = [name.strip() if isinstance(name, str) else "" for name in names.values()]
    if not texts or "" in texts or len(set(texts)) < len(texts):
        raise UserError(
            f"{path} has the classes {texts}, but there must be some, each with a name of its own."
        )
    return dict(zip(names, texts, strict=True))


def find_yolo_splits(
    config: YoloConfig, texts: list[Path], files: ImageFiles, report: DataReport
) -> list[tuple[Path, str]]:
    """Each image with its split: by data.yaml, by lists such as train.txt, or by its folders."""
    found = {split: _find_places(config, split, files, report) for split in config.splits}
    if not found.get("train"):
        lists = {path: _split_of_list(path) for path in texts}
        found = {s: files.read_list(path, s, report) for path, s in lists.items() if s}
    if not found.get("train"):
        return list(files.splits(report).items())
    for split in ("val", "test"):
        if split in found and set(found[split]) == set(found["train"]):
            report.note(f"The {split} images are those of train. Others are split off instead.")
            del found[split]
    return _add_rest(found, files, report)


def _find_places(
    config: YoloConfig, split: str, files: ImageFiles, report: DataReport
) -> list[Path]:
    """The images of a split in the folders and lists that data.yaml names."""
    found = list[Path]()
    for place in config.splits[split]:
        path = _locate(place, files.root)
        if path is None:
            report.note(f"{split} in {config.source} is not there and left aside: {place}.")
        elif path.is_dir():
            found += [image for image in files.paths if path in image.parents]
        else:
            found += files.read_list(path, split, report)
    return found


def _locate(place: str, root: Path) -> Path | None:
    """A folder or list below the root; folders that the path begins with may be elsewhere."""
    parts = [part for part in re.split(r"[/\\]+", place) if part not in ("", ".", "..")]
    if not parts:
        return root
    candidates = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in candidates if path.exists()), None)


def _split_of_list(path: Path) -> str | None:
    """The split of which a text file lists the images; None if it is no such list."""
    split = split_of(path.stem.replace("trainval", "train"))
    first = read_text(path).strip().partition("\n")[0] if split else ""
    return split if Path(first.strip()).suffix.lower() in SUFFIXES else None


def _add_rest(
    found: dict[str, list[Path]], files: ImageFiles, report: DataReport
) -> list[tuple[Path, str]]:
    """Each image with its split; folders named after a split that is not ``found`` are used too."""
    pairs = [(path, split) for split, paths in found.items() for path in paths]
    taken, aside = {path for path, _ in pairs}, list[str]()
    for path in files.paths:
        split, _ = split_folder(files.folders[path.parent])
        if path in taken:
            continue
        if split in ("val", "test") and split not in found:
            pairs.append((path, split))
        else:
            aside.append(path.name)
    report.note_some("Left aside, in no split", aside, len(files.paths), "image")
    return pairs
