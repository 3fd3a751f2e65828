"""Images, class folders and masks as people have them are read right, or it is said why not."""

import importlib
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Render
from PIL import Image, features

SIDE = 32  # pixels of the square pictures
RED, BLUE = (220, 40, 40), (40, 40, 220)
Array = np.ndarray
Package = SimpleNamespace


def load(render: Render, folder: Path, task: str, name: str) -> Iterator[Package]:
    """The parts of a rendered project of its own name that these tests call."""
    project = render(folder, task=task, project_name=name)
    sys.path.insert(0, str(project))
    modules = {
        part: importlib.import_module(f"{name}.{part}")
        for part in (
            *("hyperparameters", "loaders", "engine.errors", "engine.splits", "engine.data"),
            *("vision.images", "vision.decoding", "vision.headers", "vision.inspection"),
        )
    }
    yield SimpleNamespace(
        **{key: value for module in modules.values() for key, value in vars(module).items()}
    )
    sys.path.remove(str(project))


@pytest.fixture(scope="session")
def images(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    yield from load(render, tmp_path_factory.mktemp("i"), "image_classification", "datapictures")


@pytest.fixture(scope="session")
def masks(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    yield from load(render, tmp_path_factory.mktemp("m"), "semantic_segmentation", "datamasks")


@pytest.fixture(scope="session")
def texts(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    project = render(
        tmp_path_factory.mktemp("t"), task="text_classification", project_name="datatexts"
    )
    sys.path.insert(0, str(project))
    modules = [
        importlib.import_module(f"datatexts.{part}") for part in ("hyperparameters", "loaders")
    ]
    yield SimpleNamespace(**{k: v for module in modules for k, v in vars(module).items()})
    sys.path.remove(str(project))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(number: int, color: Sequence[int] = RED, side: int = SIDE) -> Image.Image:
    """A colored square somewhere on gray noise; another for each number."""
    random = np.random.default_rng([number, *color])
    pixels = random.integers(90, 130, (side, side, 3), np.uint8)
    y, x = random.integers(0, side // 2, 2)
    pixels[y : y + side // 2, x : x + side // 2] = color
    return Image.fromarray(pixels)


def fill(
    folder: str | Path,
    count: int = 10,
    color: Sequence[int] = RED,
    suffix: str = ".png",
    start: int = 0,
) -> Path:
    """Write pictures into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        picture(number, color).save(folder / f"{number}{suffix}")
    return folder


def two_classes(root: str | Path, count: int = 10, **options: Any) -> Path:
    fill(Path(root) / "cat", count, RED, **options)
    fill(Path(root) / "dog", count, BLUE, **options)
    return Path(root)


def read(package: Package, root: str | Path = "data", **changes: Any) -> Any:
    """The data as they are, without augmentation."""
    chosen = {"data": Path(root), "augment": "none", "image_size": SIDE} | changes
    return package.make_data(package.Hyperparameters(**chosen))


def pixels_of(data: Any) -> dict[str, Array]:
    """Each image (H, W, 3) as the model sees it, by the name of its file without suffix."""
    found = {}
    for split in (data.train, data.val, data.test):
        for index in range(len(split)):
            name = "/".join(Path(split.describe(index)).with_suffix("").parts[-2:])
            found[name] = split[index][0].numpy().transpose(1, 2, 0).astype(int)
    return found


def notes(data: Any) -> str:
    return "\n".join(data.report.notes)


def sizes(data: Any) -> list[int]:
    return [len(data.train), len(data.val), len(data.test)]


def complaint(package: Package, root: str | Path = "data", **changes: Any) -> str:
    with pytest.raises(package.UserError) as error:
        read(package, root, **changes)
    return str(error.value)


# ---------------------------------------------------------------- pixel types

RAMP = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)  # 0 ... 1023
Save = Callable[[Array, Path], None]


def save_png(values: Array, path: Path) -> None:
    Image.fromarray(values.astype(np.uint16)).save(path.with_suffix(".png"))


def save_tiff(kind: str, **tags: Any) -> Save:
    def save(values: Array, path: Path) -> None:
        mode = None
        if kind == ">u2":
            mode = "I;16B"
        image = Image.fromarray(values.astype(kind if mode is None else "<u2"))
        if mode:
            image = Image.frombytes(mode, image.size, values.astype(kind).tobytes())
        image.save(path.with_suffix(".tif"), **tags)

    return save


def save_pgm(values: Array, path: Path) -> None:
    header = f"P5 {SIDE} {SIDE} 1023\n".encode()
    path.with_suffix(".pgm").write_bytes(header + values.astype(">u2").tobytes())


def write_png(path: Path, values: Array, kind: int) -> None:
    """A PNG with 16 bits per value; kind 2 is RGB, 4 gray with alpha, 6 RGB with alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def save_rgb16(values: Array, path: Path) -> None:
    write_png(path.with_suffix(".png"), np.repeat(values[..., None], 3, axis=2), 2)


def save_la16(values: Array, path: Path) -> None:
    pixels = np.stack([values, np.full_like(values, 65535)], axis=2)
    write_png(path.with_suffix(".png"), pixels, 4)


def save_rgb16_tiff(values: Array, path: Path) -> None:
    write_tiff(path.with_suffix(".tif"), 3, 16, values)


WIDE: dict[str, tuple[Save, Callable[[Array], Array], float, float]] = {
    # how it is saved, what is saved, and which values become 0 and 255
    "12 bits in 16-bit PNG": (save_png, lambda ramp: ramp * 4, 0, 4095),
    "10 bits in 16-bit PNG": (save_png, lambda ramp: ramp, 0, 1023),
    "8 bits in 16-bit PNG": (save_png, lambda ramp: ramp // 4, 0, 255),
    "all 16 bits": (save_png, lambda ramp: ramp * 64, 0, 65535),
    "16 bits, few of them used": (save_png, lambda ramp: 29000 + ramp, 29000, 30023),
    "12 bits in 16-bit PNG, colors": (save_rgb16, lambda ramp: ramp * 4, 0, 4095),
    "12 bits in 16-bit PNG, gray with alpha": (save_la16, lambda ramp: ramp * 4, 0, 4095),
    "12 bits in 16-bit TIFF, colors": (save_rgb16_tiff, lambda ramp: ramp * 4, 0, 4095),
    "16-bit TIFF": (save_tiff("<u2"), lambda ramp: ramp * 4, 0, 4095),
    "16-bit TIFF, big-endian": (save_tiff(">u2"), lambda ramp: ramp * 4, 0, 4095),
    "TIFF that declares 11 bits": (
        *(save_tiff("<u2", tiffinfo={281: (2047,)}), lambda ramp: ramp // 2, 0, 2047),
    ),
    "TIFF that declares its own maximum": (
        *(save_tiff("<u2", tiffinfo={281: (1000,)}), lambda ramp: ramp, 0, 1023),
    ),
    "32-bit TIFF": (save_tiff("<i4"), lambda ramp: ramp * 1000, 0, 2**20 - 1),
    "signed TIFF, as of a CT": (save_tiff("<i4"), lambda ramp: ramp - 500, -500, 523),
    "fractions from 0 to 1": (save_tiff("<f4"), lambda ramp: ramp / 2046, 0, 1),
    "other fractions": (save_tiff("<f4"), lambda ramp: ramp * 2 - 7.5, -7.5, 2038.5),
    "PGM that declares 10 bits": (save_pgm, lambda ramp: ramp // 2, 0, 1023),
}


@pytest.mark.parametrize("name", WIDE)
def test_images_with_more_than_8_bits_are_scaled_by_one_range(name: str, images: Package) -> None:
    save, make, low, high = WIDE[name]
    wanted = {}
    for label, ramp in (("dark", RAMP // 2), ("whole", RAMP), ("light", RAMP[::-1])):
        Path("data", label).mkdir(parents=True)
        for number in range(6):
            values = make(np.roll(ramp, number, axis=1))
            save(values, Path("data", label, str(number)))
            wanted[f"{label}/{number}"] = (values - low) / (high - low) * 255
    data = read(images)
    found = pixels_of(data)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert np.abs(found[key] - values[..., None]).max() <= 0.51, key
    assert "More than 8 bits" in notes(data) or "more than 8 bits" in notes(data)
    declared = "declares 1" in name
    assert data.info.pixel_range == (None if declared else [low, high])


def test_the_range_of_pixels_is_that_of_the_training_images(images: Package) -> None:
    for split, high in (("train", 900), ("test", 3000)):
        for label in ("a", "b"):
            Path("data", split, label).mkdir(parents=True)
            for number in range(6):
                save_png(
                    RAMP.clip(max=high - 1) + (high > 1000) * 2000,
                    Path("data", split, label, str(number)),
                )
    data = read(images)
    assert data.info.pixel_range == [0, 1023]
    assert all(data.test[i][0].min() == 255 for i in range(2))
    assert "24 of 24 images have more than 8 bits" in notes(data)
    assert "12 of 12 images of test have values beyond that range" in notes(data)


def test_images_of_8_and_of_16_bits_may_be_mixed(images: Package) -> None:
    two_classes("data", 8)
    for number in range(6):
        save_png(RAMP, Path("data/cat", f"deep{number}"))
    found = pixels_of(read(images))
    assert np.abs(found["cat/deep3"][..., 0] - RAMP * 255 / 1023).max() <= 0.51
    assert (found["cat/3"] == np.asarray(picture(3))).all()


def test_numbers_that_are_none_become_black(images: Package) -> None:
    for label in ("a", "b"):
        Path("data", label).mkdir(parents=True)
        for number in range(6):
            values = (RAMP / 1023).astype(np.float32)
            values[0, 0] = np.nan
            Image.fromarray(values).save(f"data/{label}/{number}.tif")
    data = read(images)
    assert data.info.pixel_range == [0, 1]
    assert data.train[0][0][:, 0, 0].tolist() == [0, 0, 0]


def test_a_deep_image_without_a_range_is_refused(images: Package) -> None:
    save_png(RAMP, Path("one"))
    with pytest.raises(images.UserError, match=r"one\.png has more than 8 bits"):
        images.read_image(Path("one.png"))


def write_tiff(path: Path, channels: int, bits: int, values: Array) -> None:
    """An uncompressed TIFF whose channels are all equal."""
    height, width = values.shape
    pixels = np.repeat(values[..., None], channels, axis=2).astype(f"<u{bits // 8}").tobytes()
    place = 8 + 2 + 10 * 12 + 4
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, place), (259, 3, 1, 1)),
        *((262, 3, 1, 2 if channels == 3 else 1), (273, 4, 1, place + 2 * channels)),
        *((277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels)), (284, 3, 1, 1)),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    depths = struct.pack(f"<{channels}H", *[bits] * channels)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 10) + entries + b"\0\0\0\0" + depths + pixels)


# ------------------------------------------------------------ transparency

DRAWING = np.zeros((SIDE, SIDE, 4), np.uint8)  # black, transparent but for a square
DRAWING[8:20, 8:20, 3] = 255
ON_WHITE = np.where(DRAWING[..., 3:] == 255, 0, 255).repeat(3, axis=2)


def rgba() -> Image.Image:
    return Image.fromarray(DRAWING)


def palette(**options: Any) -> Image.Image:
    image = Image.fromarray((DRAWING[..., 3] == 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 9, 9, 9])
    return image


ALPHA: dict[str, tuple[Callable[[], Image.Image], str, dict[str, Any]]] = {
    "RGBA PNG": (rgba, ".png", {}),
    "gray with alpha": (lambda: rgba().convert("LA"), ".png", {}),
    "palette with a transparent position": (palette, ".png", {"transparency": 1}),
    "palette with alpha": (palette, ".png", {"transparency": b"\xff\x00"}),
    "gray with a transparent number": (
        lambda: Image.fromarray(np.where(DRAWING[..., 3] == 0, 7, 0).astype(np.uint8)),
        ".png",
        {"transparency": 7},
    ),
    "RGB with a transparent color": (
        lambda: Image.fromarray(np.where(DRAWING[..., 3:] == 0, 7, [0, 0, 0]).astype(np.uint8)),
        ".png",
        {"transparency": (7, 7, 7)},
    ),
    "WebP": (rgba, ".webp", {"lossless": True, "exact": True}),
    "GIF": (palette, ".gif", {"transparency": 1}),
    "TIFF": (rgba, ".tif", {}),
    "gray TIFF": (lambda: rgba().convert("LA"), ".tif", {}),
    "a PNG named .jpg": (rgba, ".jpg", {"format": "PNG"}),
}


@pytest.mark.parametrize("name", ALPHA)
def test_what_is_transparent_lies_on_white(name: str, images: Package) -> None:
    make, suffix, options = ALPHA[name]
    for label in ("a", "b"):
        Path("data", label).mkdir(parents=True)
        for number in range(5):
            make().save(Path("data", label, f"{number}{suffix}"), **options)
    data = read(images)
    assert all((found == ON_WHITE).all() for found in pixels_of(data).values())
    assert "Transparency is laid on white: 10 of 10 images" in notes(data)


def test_half_transparent_pixels_are_mixed_with_white(images: Package) -> None:
    Image.new("RGBA", (4, 4), (100, 0, 200, 128)).save("half.png")
    found = images.read_image(Path("half.png")).numpy()[:, 0, 0].astype(int)
    assert np.abs(found - [177, 127, 227]).max() <= 1


def test_opaque_images_with_alpha_are_as_without(images: Package) -> None:
    picture(1).convert("RGBA").save("a.png")
    picture(1).save("b.png")
    assert (images.read_image(Path("a.png")) == images.read_image(Path("b.png"))).all()


def test_a_transparent_number_of_16_bits_is_white(images: Package) -> None:
    Image.fromarray(RAMP.astype(np.uint16)).save("a.png", transparency=5)
    found = images.read_image(Path("a.png"), None, (0, 1023)).numpy()[0].ravel()
    assert found[5] == 255 and found[4] == 1


def test_12_bit_colors_with_alpha_are_scaled_and_laid_on_white(images: Package) -> None:
    values = np.repeat(RAMP[..., None] * 4, 4, axis=2)
    values[..., 3] = 65535
    values[0, :, 3] = 0
    write_png(Path("a.png"), values, 6)
    found = images.read_image(Path("a.png"), None, (0, 4095)).numpy()
    assert (found[:, 0] == 255).all()
    assert np.abs(found[0, 1:] - values[1:, :, 0] * 255 / 4095).max() <= 0.51


# ---------------------------------------------------------- color spaces, orientation

SPACES = {
    "CMYK": (".jpg", 6),
    "YCbCr": (".tif", 6),
    "CMYK of TIFF": (".tif", 2),
    "1": (".png", 0),
    "P": (".png", 0),
    "L": (".jpg", 6),
}


@pytest.mark.parametrize("name", SPACES)
def test_other_color_spaces_become_rgb(name: str, images: Package) -> None:
    suffix, tolerance = SPACES[name]
    mode = name.partition(" ")[0]
    image = Image.new("RGB", (16, 16), (200, 60, 30)).convert(mode)
    image.save(f"a{suffix}")
    wanted = np.asarray(image.convert("RGB")).astype(int)
    found = images.read_image(Path(f"a{suffix}")).numpy().transpose(1, 2, 0)
    assert np.abs(found - wanted).max() <= tolerance


def test_lab_becomes_rgb(images: Package) -> None:
    Image.new("LAB", (4, 4), (255, 128, 128)).save("white.tif")
    assert images.read_image(Path("white.tif")).min() > 250


TURNS: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}
LOSSLESS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".tif": {},
    ".webp": {"lossless": True},
    ".jpg": {"quality": 95, "subsampling": 0},
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("turn", TURNS)
def test_size_and_pixels_follow_the_orientation(
    suffix: str, turn: int, mode: str, images: Package
) -> None:
    pixels = np.full((24, 40, 3), 30, np.uint8)
    pixels[:8, :16] = 230
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).convert(mode).save(f"a{suffix}", exif=exif, **LOSSLESS[suffix])
    wanted = TURNS[turn](pixels).astype(int)
    found = images.read_image(Path(f"a{suffix}")).numpy().transpose(1, 2, 0)
    assert images.image_size(Path(f"a{suffix}")) == wanted.shape[1::-1] == found.shape[1::-1]
    assert np.abs(found - wanted).max() <= (12 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_images_follow_their_orientation_too(suffix: str, images: Package) -> None:
    exif, path = Image.Exif(), Path(f"a{suffix}")
    exif[0x0112] = 6
    Image.fromarray(RAMP[:16].astype(np.uint16)).save(path, exif=exif)
    found = images.read_image(path, None, (0, 1023)).numpy()[0]
    wanted = np.rot90(RAMP[:16], -1) * 255 / 1023
    assert found.shape == wanted.shape == images.image_size(path)[::-1]
    assert np.abs(found - wanted).max() <= 0.51


# ------------------------------------------------------------ damage, suffixes

UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "five channels": (lambda p: write_tiff(p, 5, 8, RAMP[:8, :8] % 256), "5 channels of 8 bits"),
    "an empty file": (lambda p: p.write_bytes(b""), "it is empty"),
    "a page of the web": (lambda p: p.write_text("<!doctype html><p>404"), "HTML"),
    "HEIC with another suffix": (
        *(lambda p: p.write_bytes(b"\0\0\0\x18ftypheic" + bytes(50)), "HEIC.*Convert it to JPEG"),
    ),
    "a cut file": (
        *(lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "truncated"),
    ),
    "no image": (lambda p: p.write_bytes(bytes(range(256))), "its format is unknown"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_files_that_cannot_be_used_are_named_all_at_once(name: str, images: Package) -> None:
    damage, words = UNUSABLE[name]
    two_classes("data", 12)
    for path in ("data/cat/3.png", "data/dog/5.png", "data/dog/7.png"):
        damage(Path(path))
    data = read(images)
    with pytest.raises(images.UserError, match=f"3 of 24 images cannot be used.*{words}") as error:
        data.inspect()
    assert all(f"{path} " in str(error.value) for path in ("cat/3.png", "dog/5.png", "dog/7.png"))
    assert ("not supported" in str(error.value)) == (
        name in ("five channels", "HEIC with another suffix")
    )
    assert len(data.report.values["width in pixels"]["train"]) > 10


@pytest.mark.parametrize("augment", ["none", "auto"])  # auto tries what mirroring would change
def test_filling_the_cache_names_all_damaged_images(augment: str, images: Package) -> None:
    two_classes("data", 12)
    for number in range(12):
        Path(f"data/cat/{number}.png").write_bytes(b"damaged")
    data = read(images, augment=augment)
    with pytest.raises(images.UserError, match=r"8 of 16 images cannot be used.*And 5 more"):
        data.caches[0].fill()
    assert not list(Path(".cache/images").iterdir())


def test_all_suffixes_of_pictures_that_pillow_opens_are_read(images: Package) -> None:
    Image.init()
    no_pictures = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
    opened = {
        suffix
        for suffix, name in Image.registered_extensions().items()
        if name in Image.OPEN and name not in no_pictures
    }
    assert opened | {".mpo"} == images.SUFFIXES


def test_unusual_suffixes_are_read_and_others_counted(images: Package) -> None:
    two_classes("data", 6, suffix=".jpg")
    kinds = {".jfif": "JPEG", ".jpe": "JPEG", ".ppm": "PPM", ".JPG": "JPEG", ".bmp": "BMP"}
    kinds |= {".jp2": "JPEG2000", ".tga": "TGA", ".pgm": "PPM", ".Tiff": "TIFF", ".PNG": "PNG"}
    if features.check("avif"):
        kinds[".avif"] = "AVIF"
    for number, (suffix, kind) in enumerate(kinds.items()):
        picture(100 + number, BLUE).save(f"data/dog/other{number}{suffix}", format=kind)
    for number, suffix in enumerate([".JPG_large", ".JPG_large", ".heic", ""]):
        picture(200 + number, BLUE).save(f"data/dog/left{number}{suffix}", format="JPEG")
    data = read(images)
    assert sum(sizes(data)) == 12 + len(kinds)
    assert sum(split["dog"] for split in data.report.classes.values()) == 6 + len(kinds)
    assert "4 files (2 .JPG_large, 1 .heic, 1 no suffix)" in notes(data)
    assert "convert these files to JPEG" in notes(data)


def test_a_class_whose_images_cannot_be_read_is_refused(images: Package) -> None:
    two_classes("data", 6)
    for number in range(6):
        Path("data/fox").mkdir(exist_ok=True)
        Path(f"data/fox/{number}.heic").write_bytes(b"x")
    assert "fox" in complaint(images) and "6 .heic" in complaint(images)


def test_of_an_animation_the_first_picture_is_read_and_that_is_said(images: Package) -> None:
    two_classes("data", 6)
    frames = [Image.new("L", (SIDE, SIDE), shade) for shade in (10, 200)]
    for suffix in (".gif", ".tif", ".webp", ".png"):
        first, *others = frames if suffix != ".webp" else [frame.convert("RGB") for frame in frames]
        first.save(f"data/cat/moving{suffix}", save_all=True, append_images=others)
    data = read(images)
    assert "Only the first picture is read of those in a file: 4 of 16 images" in notes(data)
    assert pixels_of(data)["cat/moving"].max() < 14


# --------------------------------------------------------------- class folders

SPLIT_NAMES = [
    {"train": "Training", "test": "Testing"},
    {"train": "training_set", "test": "test_set"},
    {"train": "train", "val": "dev", "test": "Test"},
    {"train": "Train", "val": "Validation", "test": "Test"},
    {"train": "train", "val": "valid"},
    {"train": "TRAIN", "val": "VAL", "test": "TEST"},
    {"train": "train2017", "val": "val2017"},
]


@pytest.mark.parametrize("names", SPLIT_NAMES, ids=lambda names: "-".join(names.values()))
def test_folders_of_splits_are_used_whatever_their_names(
    names: dict[str, str], images: Package
) -> None:
    counts = {"train": 12, "val": 5, "test": 6}
    for split, name in names.items():
        two_classes(Path("data", name), counts[split], start=100 * len(split) + len(name))
    data = read(images)
    assert data.info.classes == ["cat", "dog"]
    for split in ("val", "test"):
        found = data.splits[split]
        folders = {Path(found.describe(i)).parts[-3] for i in range(len(found))}
        assert folders == {names.get(split, names["train"])}
        assert split not in names or len(found) == 2 * counts[split]
    assert sum(sizes(data)) == sum(2 * counts[split] for split in names)
    assert data.report.classes["test"] == {"cat": sizes(data)[2] // 2, "dog": sizes(data)[2] // 2}


@pytest.mark.parametrize("name", ["test", "test1", "unsup", "unlabeled", "Testing", "val"])
def test_unlabeled_images_beside_the_classes_are_left_aside(name: str, images: Package) -> None:
    fill(two_classes("data") / name)
    data = read(images)
    assert data.info.classes == ["cat", "dog"] and sum(sizes(data)) == 20
    assert f"data/{name}" in notes(data) and "Left aside" in notes(data)


def test_a_test_folder_without_classes_is_left_aside_and_a_test_split_made(images: Package) -> None:
    two_classes("data/train", 10)
    fill("data/test", 7)
    fill("data/train/unsup", 5)
    data = read(images)
    assert sizes(data) == [12, 4, 4] and data.info.classes == ["cat", "dog"]
    assert "data/test" in notes(data) and "unsup" in notes(data)


def test_a_test_folder_with_the_same_classes_beside_them_is_the_test_set(images: Package) -> None:
    two_classes("data", 10)
    two_classes("data/test", 4, start=50)
    data = read(images)
    assert sizes(data) == [16, 4, 8] and data.info.classes == ["cat", "dog"]


def test_an_archive_within_an_archive_is_unpacked(images: Package) -> None:
    two_classes("data/archive/train/train", 8)
    two_classes("data/archive/test/test", 4, start=50)
    data = read(images)
    assert sizes(data)[2] == 8 and sum(sizes(data)) == 24 and data.info.classes == ["cat", "dog"]
    assert "read from data/archive" in notes(data)


REFUSED = {
    "no train": (["valid/cat", "valid/dog", "test/cat", "test/dog"], "no folder train"),
    "a class called train": (["car", "bus", "train"], "If train is a class too, rename it"),
    "classes in test only": (
        *(["train/cat", "train/dog", "test/cat", "test/dog", "test/fox", "test/owl"],),
        "2 of 4 classes: fox, owl",
    ),
    "other capitals": (
        ["train/Cat", "train/Dog", "test/cat", "test/Dog"],
        "'Cat' is meant by 'cat'",
    ),
    "splits by other names": (["seg_train/a", "seg_train/b", "seg_test/a"], "look like splits"),
    "classes and splits in one name": (["train_cat", "train_dog", "test_cat"], "look like splits"),
    "splits inside classes": (["cat/train", "cat/test", "dog/train"], "splits above the classes"),
    "two test folders": (["train/a", "train/b", "test/a", "Testing/a"], "of the same split (test)"),
    "a folder around": (["all/cat", "all/dog"], "do you mean --data data/all"),
    "one class": (["cat"], "at least two are needed"),
    "no class in train": (["train"], "no folders of the classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_folders_that_can_be_misunderstood_are_refused(name: str, images: Package) -> None:
    folders, words = REFUSED[name]
    for number, folder in enumerate(folders):
        fill(Path("data", folder), 4, start=10 * number)
    assert words in complaint(images)


def test_hidden_and_foreign_files_are_left_out_at_any_depth(images: Package) -> None:
    two_classes("data", 6)
    for hidden in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "deep/.cache"):
        fill(Path("data/cat", hidden), 3, start=50)
        fill(Path("data", hidden, "fox"), 3, start=60)
    for path in ("data/cat/._0.png", "data/dog/.DS_Store", "data/dog/Thumbs.db"):
        Path(path).write_bytes(b"x")
    data = read(images)
    assert sum(sizes(data)) == 12 and data.info.classes == ["cat", "dog"]
    assert ".ipynb_checkpoints" in notes(data) and "Thumbs" not in notes(data)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_to_folders_are_followed_once(images: Package) -> None:
    two_classes("data", 6)
    fill("elsewhere/more", 4, start=20)
    Path("data/cat/more").symlink_to(Path("elsewhere").absolute())
    Path("data/cat/again").symlink_to(Path("elsewhere/more").absolute())
    Path("data/cat/loop").symlink_to(Path("data").absolute())
    Path("data/cat/other").symlink_to(Path("data/dog").absolute())
    Path("data/dog/lost.png").symlink_to("nowhere.png")
    data = read(images)
    assert {
        name: sum(n[name] for n in data.report.classes.values()) for name in ("cat", "dog")
    } == {
        "cat": 10,
        "dog": 6,
    }
    assert "links that lead nowhere: data/dog/lost.png" in notes(data)
    assert "3 paths that are links to folders that are read anyway" in notes(data)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_splits_and_classes_may_be_links(images: Package) -> None:
    two_classes("store/v2", 8)
    Path("data/train").mkdir(parents=True)
    for name in ("cat", "dog"):
        Path("data/train", name).symlink_to(Path("store/v2", name).absolute())
    two_classes("other", 3, start=70)
    Path("data/test").symlink_to(Path("other").absolute())
    data = read(images)
    assert (sum(sizes(data)), sizes(data)[2]) == (22, 6)


def test_what_stands_beside_the_classes_is_said(images: Package) -> None:
    two_classes("data/train", 10)
    fill("data", 3)
    fill("data/train", 2)
    fill("data/extra", 2)
    Path("data/train/none").mkdir()
    data = read(images)
    assert sum(sizes(data)) == 20
    assert "3 images in data, for example 0.png" in notes(data)
    assert "2 images in data/train" in notes(data)
    assert "data/extra" in notes(data) and "empty: 1 of 3 class folders: data/train/none" in notes(
        data
    )


def test_names_of_classes_that_differ_in_capitals_only_are_said(images: Package) -> None:
    for number, name in enumerate(("cat", "Cat", "dog")):
        fill(Path("data", name), 6, start=10 * number)
    if len(list(Path("data").iterdir())) == 3:  # not on a Mac
        assert "'Cat', 'cat' differ in capitals" in notes(read(images))


def test_a_class_called_train_is_a_class_where_all_splits_have_it(images: Package) -> None:
    for split, count in (("train", 8), ("test", 4)):
        for number, name in enumerate(("bus", "train", "car")):
            fill(Path("data", split, name), count, start=20 * number + 10 * (count == 4))
    data = read(images)
    assert data.info.classes == ["bus", "car", "train"] and "it is a class" in notes(data)


def test_classes_that_a_split_has_not_are_said(images: Package) -> None:
    for number, name in enumerate(("cat", "dog", "fox")):
        fill(Path("data/train", name), 8, start=20 * number)
    fill("data/val/cat", 4, start=100)
    assert "val has no sample of 2 of 3 classes: dog, fox" in notes(read(images))


def test_images_of_a_group_stay_in_one_split(images: Package) -> None:
    for number, name in enumerate(("cat", "dog")):
        for patient in range(12):
            folder = fill(Path("data", name, f"p{patient}"), 2, start=100 * number + 2 * patient)
            for path in folder.iterdir():
                path.rename(path.with_stem(f"patient{patient}_{path.stem}"))
    for group_by in ("folder", r"patient(\d+)"):
        data = read(images, group_by=group_by)
        groups = [
            {
                Path(split.describe(i)).parent
                if group_by == "folder"
                else split.describe(i).split("patient")[1].split("_")[0]
                for i in range(len(split))
            }
            for split in data.splits.values()
        ]
        assert sum(sizes(data)) == 48 and min(sizes(data)) > 0
        assert len(set.union(*groups)) == sum(map(len, groups))
    assert "matches nothing in 48 of 48 paths" in complaint(images, group_by="visit")
    for name in ("cat", "dog"):
        for path in Path("data", name).glob("*/*.png"):
            path.rename(Path("data", name, path.name))
    assert "too few for" in complaint(images, group_by="folder")


# ------------------------------------------------------------------- inspection


def test_check_data_finds_duplicates_blanks_and_sizes(images: Package) -> None:
    two_classes("data/train", 10)
    two_classes("data/test", 4, start=50)
    for source, copy in (("train/cat/0", "test/cat/copy"), ("train/cat/1", "train/dog/copy")):
        Path(f"data/{copy}.png").write_bytes(Path(f"data/{source}.png").read_bytes())
    picture(2).save("data/test/cat/near.jpg", quality=90)
    for number in range(2):
        Image.new("RGB", (64, 40), (number, 9, 9)).save(f"data/train/dog/blank{number}.png")
    data = read(images)
    assert data.report.values == {}
    data.inspect()
    said = notes(data)
    assert "The same file in different splits, so that the metrics are too good: 1 group" in said
    assert "train/cat/0.png = data/test/cat/copy.png" in said
    assert "The same file with different classes: 1 group" in said
    assert "near.jpg" in said.partition("Nearly the same in different splits")[2]
    assert "Of one color only: 2 of 33 images: " in said
    widths = data.report.values["width in pixels"]
    assert sorted(np.concatenate([*widths.values()]).tolist()) == [32] * 31 + [64] * 2
    heights = data.report.values["height in pixels"]["train"].tolist()
    assert heights.count(40) == sum(
        "blank" in data.train.describe(i) for i in range(len(data.train))
    )
    json.dumps(data.to_json())


def test_different_drawings_are_no_near_duplicates(images: Package) -> None:
    random = np.random.default_rng(0)
    thumbnails = random.integers(0, 256, (300, 8, 8, 3), np.uint8)
    assert images.find_near(thumbnails) == []
    brighter = (thumbnails[:1] * 0.8 + 20).astype(np.uint8)
    assert images.find_near(np.concatenate([thumbnails, brighter])) == [(0, 300)]


# ------------------------------------------------------------------------ texts


def test_folders_of_texts_are_read_as_folders_of_images_are(texts: Package) -> None:
    for split, count in (("train", 12), ("test", 6)):
        for name in ("pos", "neg"):
            folder = Path("data", split, name)
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.txt").write_text(f"{name} {split} {number}", encoding="utf-8")
    for hidden in ("unsup", ".ipynb_checkpoints"):
        Path("data/train", hidden).mkdir()
        Path("data/train", hidden, "0.txt").write_text("nothing", encoding="utf-8")
    Path("data/train/urls.txt").write_text("x", encoding="utf-8")
    Path("data/train/pos/readme.md").write_text("x", encoding="utf-8")
    data = texts.make_data(texts.Hyperparameters(data=Path("data")))
    assert data.info.classes == ["neg", "pos"] and len(data.test) == 12
    assert len(data.train) + len(data.val) == 24
    assert data.report.classes["test"] == {"neg": 6, "pos": 6}
    assert "unsup" in notes(data) and "1 .md" in notes(data) and "urls.txt" in notes(data)


# ------------------------------------------------------------------------ masks

NUM_MASKED = 12


def shapes(number: int, num_classes: int = 2) -> Array:
    """(32, 32): a block of each class but 0 on the ground 0."""
    random = np.random.default_rng(number)
    numbers = np.zeros((SIDE, SIDE), np.uint8)
    for place in range(1, num_classes):
        x, y = 16 * np.array([place % 2, place // 2 % 2]) + random.integers(0, 4, 2)
        numbers[y : y + 9, x : x + 9] = place
    return numbers


def write_masks(
    save: Callable[[Array, Path], object],
    num_classes: int = 2,
    image: str = "data/images/{}",
    mask: str = "data/masks/{}",
    count: int = NUM_MASKED,
    start: int = 0,
) -> None:
    """Images with masks that ``save`` writes; the path that it gets has no suffix."""
    for number in range(start, start + count):
        for pattern in (image, mask):
            Path(pattern.format(number)).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(image.format(number) + ".jpg")
        save(shapes(number, num_classes), Path(mask.format(number)))


def save_numbers(*values: int, kind: Any = np.uint8, suffix: str = ".png") -> Save:
    """Other numbers in the place of 0, 1, ..."""
    return lambda shape, path: Image.fromarray(np.array(values, kind)[shape]).save(
        f"{path}{suffix}"
    )


def masks_of(data: Any) -> dict[int, Array]:
    """The mask of each image, by the number in the name of the file."""
    return {
        int("".join(filter(str.isdigit, Path(split.describe(i)).stem))): split[i][1].numpy()
        for split in data.splits.values()
        for i in range(len(split))
    }


def assert_masks(data: Any, num_classes: int, count: int = NUM_MASKED) -> None:
    found = masks_of(data)
    assert len(found) == count == sum(sizes(data))
    for number, mask in found.items():
        assert (mask == shapes(number, num_classes)).all(), number


NUMBERS = {
    "0, 1": ((0, 1), ["0", "1"]),
    "1, 2, 3": ((1, 2, 3), ["1", "2", "3"]),
    "gaps": ((0, 3, 7), ["0", "3", "7"]),
    "0, 255": ((0, 255), ["0", "255"]),
    "grays": ((0, 128, 255), ["0", "128", "255"]),
    "four grays": ((0, 85, 170, 255), ["0", "85", "170", "255"]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_numbers_that_masks_have_are_the_classes(name: str, masks: Package) -> None:
    values, classes = NUMBERS[name]
    write_masks(save_numbers(*values), len(values))
    data = read(masks)
    assert data.info.classes == classes
    assert_masks(data, len(values))
    assert f"{classes[-1]} (" in notes(data) and data.report.classes["train"].keys() == set(classes)
    assert data.report.classes["test"][classes[0]] == len(data.test)


def test_255_beside_small_numbers_is_ignored_and_that_is_said(masks: Package) -> None:
    write_masks(save_numbers(0, 1, 2, 255), 4)
    data = read(masks)
    assert data.info.classes == ["0", "1", "2"] and "255 is ignored (" in notes(data)
    assert {255} < set(np.unique(masks_of(data)[0]).tolist()) <= {0, 1, 2, 255}


def test_numbers_in_a_few_pixels_are_no_classes(masks: Package) -> None:
    def save(shape: Array, path: Path) -> None:
        shape[0, 0] = 77 if path.name == "3" else shape[0, 0]
        save_numbers(*range(100))(shape, path)

    write_masks(save)
    data = read(masks)
    assert data.info.classes == ["0", "1"] and "77 are ignored" in notes(data)
    assert masks_of(data)[3][0, 0] == 255


def smooth(shape: Array) -> Image.Image:
    """0 and 255 with smoothed edges."""
    large = Image.fromarray(shape * np.uint8(255)).resize((4 * SIDE, 4 * SIDE), 0)
    moved = large.transform(large.size, Image.Transform.AFFINE, (1, 0, 2.5, 0, 1, 1.5))
    return moved.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_smoothed_edges_of_two_classes_are_snapped_and_that_is_said(
    suffix: str, masks: Package
) -> None:
    write_masks(lambda shape, path: smooth(shape).save(f"{path}{suffix}"))
    data = read(masks)
    assert data.info.classes == ["0", "255"]
    assert ("smoothed" if suffix == ".png" else "JPEG") in notes(data)
    for number, mask in masks_of(data).items():
        exact = np.asarray(smooth(shapes(number))).astype(int)
        is_clear = np.abs(exact - 127.5) > 40
        assert (mask == (exact > 127))[is_clear].all() and mask.max() == 1


def test_jpeg_masks_of_two_classes_are_read(masks: Package) -> None:
    write_masks(save_numbers(0, 255, suffix=".jpeg"))
    data = read(masks)
    assert_masks(data, 2)
    assert "saved as JPEG" in notes(data)


@pytest.mark.parametrize("name", ["smoothed", "JPEG"])
def test_smoothed_masks_of_more_classes_are_refused(name: str, masks: Package) -> None:
    def save(shape: Array, path: Path) -> None:
        image = Image.fromarray((shape * 60).astype(np.uint8))
        if name == "JPEG":
            image.save(f"{path}.jpg", quality=80)
        else:
            image.resize((50, 50), 2).resize((SIDE, SIDE), 2).save(f"{path}.png")

    write_masks(save, 4)
    assert "Save them as PNG, without smoothing" in complaint(masks)


def save_palette(*colors: Sequence[int]) -> Save:
    def save(shape: Array, path: Path) -> None:
        image = Image.fromarray(shape, "P")
        image.putpalette([value for color in colors for value in color])
        image.save(f"{path}.png")

    return save


def save_mode(mode: str, *values: int, suffix: str = ".png") -> Save:
    def save(shape: Array, path: Path) -> None:
        Image.fromarray(np.array(values, np.uint8)[shape]).convert(mode).save(f"{path}{suffix}")

    return save


def save_alpha(shape: Array, path: Path) -> None:
    pixels = np.stack([np.full_like(shape, 255), shape * 255], axis=2)
    Image.fromarray(pixels).save(f"{path}.png")


def save_ground_hidden(shape: Array, path: Path) -> None:
    pixels = np.stack([shape * 200 + 20, (shape > 0) * np.uint8(255)], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(f"{path}.png")


KINDS: dict[str, tuple[Save, int, list[str]]] = {
    "palette of colors": (save_palette((0, 0, 0), (128, 0, 0), (0, 128, 0)), 3, ["0", "1", "2"]),
    "palette of grays": (save_palette((0,) * 3, (127,) * 3, (254,) * 3), 3, ["0", "127", "254"]),
    "palette of one color": (save_palette((0, 0, 0), (0, 0, 0)), 2, ["0", "1"]),
    "black and white": (save_mode("1", 0, 255), 2, ["0", "1"]),
    "RGB that is gray": (save_mode("RGB", 0, 1, 2), 3, ["0", "1", "2"]),
    "gray with alpha": (save_mode("LA", 0, 5), 2, ["0", "5"]),
    "RGBA that is gray": (save_mode("RGBA", 0, 255), 2, ["0", "255"]),
    "the mask is the alpha": (save_alpha, 2, ["0", "255"]),
    "a hidden ground": (save_ground_hidden, 2, ["0", "220"]),
    "16 bits": (save_numbers(0, 1, 2, kind=np.uint16), 3, ["0", "1", "2"]),
    "16 bits, large numbers": (
        save_numbers(0, 1000, 2000, kind=np.uint16),
        3,
        ["0", "1000", "2000"],
    ),
    "32-bit TIFF": (save_numbers(0, 1, 2, kind=np.int32, suffix=".tif"), 3, ["0", "1", "2"]),
    "whole fractions": (save_numbers(0, 1, 2, kind=np.float32, suffix=".tiff"), 3, ["0", "1", "2"]),
    "GIF": (save_mode("P", 0, 255, suffix=".gif"), 2, ["0", "255"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_masks_of_many_kinds_are_read(name: str, masks: Package) -> None:
    save, num_classes, classes = KINDS[name]
    write_masks(save, num_classes)
    data = read(masks)
    assert data.info.classes == classes
    assert_masks(data, num_classes)


def test_palettes_that_differ_are_refused(masks: Package) -> None:
    def save(shape: Array, path: Path) -> None:
        colors = [(0, 0, 0), (255, 0, 0)][:: 1 if int(path.name) % 2 else -1]
        save_palette(*colors)(shape if int(path.name) % 2 else 1 - shape, path)

    write_masks(save)
    assert "The palettes of the masks differ" in complaint(masks)
    Path("data/classes.json").write_text('{"ground": [0, 0, 0], "red": [255, 0, 0]}')
    assert_masks(read(masks), 2)


def test_colored_masks_without_classes_are_refused_with_their_colors(masks: Package) -> None:
    write_masks(
        lambda shape, path: Image.fromarray(
            shape[..., None] * np.array([255, 9, 0], np.uint8)
        ).save(f"{path}.png")
    )
    assert "12 of 12 masks cannot be used" in complaint(masks)
    assert "2 colors, most often [0, 0, 0], [255, 9, 0]" in complaint(masks)


def test_masks_of_another_size_are_named_all_at_once(masks: Package) -> None:
    write_masks(save_numbers(0, 1))
    for number in (2, 5, 7):
        Image.new("L", (8, 9), 1).save(f"data/masks/{number}.png")
    assert "3 of 12 masks cannot be used" in complaint(masks)
    assert "2.png has 8 × 9 pixels, but its image" in complaint(masks)
    Path("data/classes.json").write_text('["ground", "thing"]')
    data = read(masks)  # now no mask is read before the first epoch
    with pytest.raises(masks.UserError, match="3 of 12 images with their masks cannot be used"):
        data.inspect()
    assert data.report.classes["train"]["ground"] > 0


LAYOUTS = {
    "beside": ("data/images/{}", "data/masks/{}"),
    "same names with _mask": ("data/images/{}", "data/masks/{}_mask"),
    "same folder": ("data/{}", "data/{}_mask"),
    "same folder, _seg": ("data/all/{}", "data/all/{}_seg"),
    "prefixes": ("data/img/img_{}", "data/mask/mask_{}"),
    "prefixes without a mark": ("data/imgs/image{}", "data/labels/label{}"),
    "_sat and _mask": ("data/{}_sat", "data/{}_mask"),
    "capitals": ("data/Images/{}", "data/Masks/{}"),
    "annotations": ("data/image/{}", "data/annotations/{}"),
    "ground truth": ("data/images/{}", "data/ground_truth/{}_gt"),
    "VOC": ("data/JPEGImages/{}", "data/SegmentationClass/{}"),
    "subfolders": ("data/images/a/{}", "data/masks/a/{}"),
    "above": ("data/a/images/{}", "data/a/masks/{}"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_images_and_masks_are_found_in_many_layouts(name: str, masks: Package) -> None:
    image, mask = LAYOUTS[name]
    write_masks(save_numbers(0, 1), image=image, mask=mask)
    data = read(masks)
    assert data.info.classes == ["0", "1"]
    assert_masks(data, 2)


SPLIT_LAYOUTS = {
    "below": ("data/images/{split}/{{}}", "data/masks/{split}/{{}}"),
    "above": ("data/{split}/images/{{}}", "data/{split}/masks/{{}}"),
    "in one name": ("data/{split}_images/{{}}", "data/{split}_masks/{{}}"),
    "masks beside splits": ("data/{split}/{{}}", "data/{split}_masks/{{}}_mask"),
    "annot": ("data/{split}/{{}}", "data/{split}annot/{{}}"),
    "masks in one folder": ("data/images/{split}/{{}}", "data/masks/{{}}"),
}


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Test"), ("train", "val")])
@pytest.mark.parametrize("layout", SPLIT_LAYOUTS)
def test_masks_in_splits_are_found(layout: str, names: tuple[str, str], masks: Package) -> None:
    image, mask = SPLIT_LAYOUTS[layout]
    for number, name in enumerate(names):
        paths = image.format(split=name), mask.format(split=name)
        write_masks(save_numbers(0, 1), 2, *paths, count=8, start=8 * number)
    data = read(masks)
    assert_masks(data, 2, 16)
    second = data.splits["val" if names[1] == "val" else "test"]
    assert {int(Path(second.describe(i)).stem) for i in range(len(second))} == set(range(8, 16))


def test_images_without_masks_and_masks_without_images_are_named(masks: Package) -> None:
    write_masks(save_numbers(0, 1))
    for number in range(4):
        Path(f"data/masks/{number}.png").unlink()
    Path("data/images/11.jpg").unlink()
    said = complaint(masks)
    assert "no mask for 4 of 11 images, for example data/images/0.jpg" in said
    assert "no image for 1 of 8 masks: data/masks/11.png" in said


def test_test_images_without_masks_are_left_aside(masks: Package) -> None:
    write_masks(save_numbers(0, 1), image="data/train/images/{}", mask="data/train/masks/{}")
    fill("data/test/images", 3)
    data = read(masks)
    assert_masks(data, 2)
    assert "test has 3 images, but no masks" in notes(data)


def test_hidden_files_and_files_of_others_are_left_out_of_masks(masks: Package) -> None:
    write_masks(save_numbers(0, 1))
    fill("data/masks/.ipynb_checkpoints", 2)
    Path("data/masks/._3.png").write_bytes(b"x")
    Path("data/masks/3.xml").write_text("x")
    fill("data/previews", 2)
    data = read(masks)
    assert_masks(data, 2)
    assert "1 .xml" in notes(data) and "previews" in notes(data)


def test_masks_of_deep_and_transparent_images(masks: Package) -> None:
    write_masks(save_numbers(0, 1))
    for number in range(12):
        Path(f"data/images/{number}.jpg").unlink()
        save_png((RAMP * 4 + number) % 4096, Path(f"data/images/{number}"))
    data = read(masks)
    assert data.info.pixel_range == [0, 4095] and "more than 8 bits" in notes(data)
    image, mask = data.train[0]
    number = int(Path(data.train.describe(0)).stem)
    wanted = (RAMP * 4 + number) % 4096 * 255 / 4095
    assert (
        np.abs(image[0].numpy() - wanted).max() <= 0.51 and (mask.numpy() == shapes(number)).all()
    )


def test_masked_images_of_a_group_stay_in_one_split(masks: Package) -> None:
    write_masks(save_numbers(0, 1), image="data/images/p{0}", mask="data/masks/p{0}", count=24)
    data = read(masks, group_by=r"p(\d)\d?\.jpg")
    found = [
        {Path(split.describe(i)).stem[1] for i in range(len(split))}
        for split in data.splits.values()
    ]
    assert sum(map(len, found)) == len(set.union(*found)) and all(found)


def test_turned_images_fit_their_masks(masks: Package) -> None:
    write_masks(save_numbers(0, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, suffix in enumerate([".tif", ".jpg", ".png"]):
        Path(f"data/images/{number}.jpg").unlink()
        pixels = np.repeat(np.repeat(shapes(number)[:16:2, ::2] * np.uint8(200), 2, 0), 2, 1)
        Image.fromarray(pixels).save(f"data/images/{number}{suffix}", exif=exif)
        mask = (np.rot90(pixels, -1) > 99).astype(np.uint8)
        Image.fromarray(mask).save(f"data/masks/{number}.png")
    data = read(masks)
    assert sum(sizes(data)) == NUM_MASKED
    for split in data.splits.values():
        for index in range(len(split)):
            if Path(split.describe(index)).stem in "012":
                image, mask = split[index]
                assert ((image[0] > 99) == (mask == 1))[mask < 255].all()
