"""Small sets of image files, made from what packages ship: scikit-learn, scikit-image, matplotlib.

A set is a folder with train/, val/ and test/, and in each of them one folder per class. Train and
test never share a digit, a face, or a part of a picture; what is drawn is drawn anew.

Which sets the defaults were chosen on was decided before: see ``SETS``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from .common import package_folder

Random = np.random.Generator
Draw = Callable[[str, int, Random], Image.Image]
"""(split, class, random numbers) -> an image."""

SPLITS = ("train", "val", "test")
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
LETTER_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif"),
    *("DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono-BoldOblique"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10", "cmb10"),
)
SYMBOLS = "★☂☎♞☁♥☺✈♣☀"  # mirrored, each is still itself
HUES = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink")
SHAPES = ("circle", "cross", "hexagon", "moon", "ring", "square", "star", "triangle")


@dataclass(frozen=True)
class ImageSet:
    """How a set is made; ``counts`` are the images of each class in train, val and test."""

    classes: Sequence[str]
    counts: tuple[int, int, int]
    draw: Draw
    mirrors: bool
    """Whether a mirrored image still belongs to its class."""
    use: str
    """tuned: the defaults were chosen on it. trial: what --mirror auto decides was looked at, no
    accuracy. unseen: neither, before the table was made."""
    suffix: str = ".png"


def write_set(images: ImageSet, folder: Path) -> None:
    """Write the files of a set, the same ones every time."""
    for split, count in zip(SPLITS, images.counts, strict=True):
        for number, name in enumerate(images.classes):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                random = np.random.default_rng([SPLITS.index(split), number, index])
                images.draw(split, number, random).save(place / f"{index:04}{images.suffix}")


def digits(size: int, *, dark: bool = False) -> Draw:
    """Scikit-learn's digits, enlarged; ``dark``: dark ones on a light ground with grain."""
    table = load_digits()

    def draw(split: str, number: int, random: Random) -> Image.Image:
        members = np.flatnonzero(table.target == number)
        rest = np.arange(len(members)) % 5
        own = {"train": rest < 2, "val": rest == 2, "test": rest > 2}[split]
        ink = table.images[random.choice(members[own])] * (255 / 16)
        image = Image.fromarray(ink.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        if not dark:
            return image
        pixels = 230 - 0.8 * np.asarray(image, dtype=float) + random.normal(0, 12, (size, size))
        return to_image(pixels)

    return draw


def letters(size: int, characters: str, fonts: Sequence[str]) -> Draw:
    """Characters in many fonts, a little turned and moved, some light on dark."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        font = fonts[int(random.integers(len(fonts)))]
        scale = size * random.uniform(0.55, 0.85)
        mask = stamp(characters[number], font, scale, (size, size), random, turn=8, move=0.08)
        ink, ground = random.permutation([random.uniform(0, 90), random.uniform(150, 255)])
        return to_image(ground + (ink - ground) * mask + random.normal(0, 8, mask.shape))

    return draw


def symbols_on_pictures(size: int, characters: str, names: Sequence[str]) -> Draw:
    """A large bright or dark symbol somewhere on a part of a picture, mirrored or not."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        ground = part_of(
            names[int(random.integers(len(names)))], split, size / 2, size, random, "RGB"
        )
        scale = size * random.uniform(0.35, 0.65)
        mask = stamp(
            characters[number], "DejaVuSans", scale, (size, size), random, turn=20, move=0.2
        )
        if random.random() < 0.5:
            mask = mask[:, ::-1]
        pixels, ink = np.asarray(ground, dtype=float), random.uniform(0, 255, 3)
        return to_image(pixels + (ink - pixels) * 0.9 * mask[..., None])

    return draw


def arrows(size: int) -> Draw:
    """Arrows in four directions, of several colors, sizes and places."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        scale = size * random.uniform(0.5, 0.9)
        mask = stamp("←→↑↓"[number], "DejaVuSans", scale, (size, size), random, turn=15, move=0.15)
        ground, ink = random.uniform(0, 255, (2, 3))
        ink = np.where(abs(ink - ground).max() > 60, ink, 255 - ground)
        noise = random.normal(0, 12, (size, size, 1))
        return to_image(ground + (ink - ground) * mask[..., None] + noise)

    return draw


def parts(names: Sequence[str], extent: float, size: int, mode: str) -> Draw:
    """The class is the picture from which a part of ``extent`` pixels was taken."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        side = extent * random.uniform(0.8, 1.2)
        return part_of(names[number], split, side, size, random, mode)

    return draw


def spirals(size: int) -> Draw:
    """Spirals with one arm or two, to the left or to the right; mirrored, they turn around."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        image = Image.new("L", (2 * size, 2 * size))
        pen, scale = ImageDraw.Draw(image), size * random.uniform(0.5, 0.8)
        x, y = (size * (1 + random.uniform(-0.2, 0.2)) for _ in range(2))
        start, sign = random.uniform(0, 2 * math.pi), 1 if number % 2 else -1
        turns = np.linspace(0.1, 1, 60)
        for arm in range(1 + number // 2):
            angles = start + math.pi * arm + sign * 3.2 * math.pi * turns
            points = zip(
                x + scale * turns * np.cos(angles), y + scale * turns * np.sin(angles), strict=True
            )
            pen.line(list(points), fill=255, width=round(size * random.uniform(0.05, 0.1)))
        mask = np.asarray(image.resize((size, size)), dtype=float)[..., None] / 255
        ground, ink = random.uniform(0, 110, 3), random.uniform(140, 255, 3)
        return to_image(ground + (ink - ground) * mask + random.normal(0, 15, (size, size, 1)))

    return draw


def faces(split: str, number: int, random: Random) -> Image.Image:
    """Faces (Labeled Faces in the Wild) and other parts of photos, 25 x 25 pixels."""
    own = {"train": range(0, 50), "val": range(50, 60), "test": range(60, 100)}[split]
    pixels = load_faces()[100 * number + own[random.integers(len(own))]]
    return to_image(255 * pixels + random.normal(0, 4, pixels.shape))


@cache
def load_faces() -> np.ndarray:
    """(200, 25, 25) in [0, 1]: a hundred faces, and a hundred images without one."""
    found: np.ndarray = np.load(package_folder("skimage") / "data" / "lfw_subset.npy")
    return found


def colors(size: int) -> Draw:
    """Patches of a hue with changing light."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        hue = [0, 18, 42, 85, 128, 165, 195, 230][number] + random.uniform(-6, 6)
        coarse = Image.fromarray(random.integers(90, 255, (3, 3), dtype=np.uint8))
        light = coarse.resize((size, size))
        planes = [np.full((size, size), hue % 256), np.full((size, size), random.uniform(110, 255))]
        planes.append(np.asarray(light) + random.normal(0, 10, (size, size)))
        pixels = np.stack(planes, axis=2).clip(0, 255).astype(np.uint8)
        return Image.fromarray(pixels, mode="HSV").convert("RGB")

    return draw


def shapes(size: int) -> Draw:
    """A shape of any color, size and turn on a ground of blurred noise."""

    def draw(split: str, number: int, random: Random) -> Image.Image:
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        ground = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
        mask = shape_mask(SHAPES[number], size, random)[..., None]
        pixels = ground + (random.uniform(0, 255, 3) - ground) * 0.85 * mask
        return to_image(pixels + random.normal(0, 12, (size, size, 1)))

    return draw


def shape_mask(
    shape: str, size: int, random: Random, smallest: float = 0.4, largest: float = 0.8
) -> np.ndarray:
    """(size, size) in [0, 1]: where the shape is, whose diameter is a share of the size."""
    canvas = Image.new("L", (2 * size, 2 * size))
    pen, radius = ImageDraw.Draw(canvas), size * random.uniform(smallest, largest)
    x, y = (random.uniform(radius * 0.8, 2 * size - radius * 0.8) for _ in range(2))
    turn = random.uniform(0, 2 * math.pi)

    def polygon(radii: np.ndarray) -> None:
        angles = turn + 2 * math.pi * np.arange(len(radii)) / len(radii)
        points = zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True)
        pen.polygon(list(points), fill=255)

    def disk(x: float, y: float, radius: float, fill: int = 255) -> None:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    corners = {"square": 4, "triangle": 3, "hexagon": 6}
    if shape in corners:
        polygon(np.full(corners[shape], radius))
    elif shape == "star":
        polygon(np.tile([radius, 0.45 * radius], 5))
    elif shape == "cross":
        for angle in (turn, turn + math.pi / 2):
            dx, dy = radius * math.cos(angle), radius * math.sin(angle)
            pen.line((x - dx, y - dy, x + dx, y + dy), fill=255, width=round(0.5 * radius))
    else:
        disk(x, y, radius)
        if shape == "ring":
            disk(x, y, 0.55 * radius, fill=0)
        if shape == "moon":
            disk(x + 0.5 * radius * math.cos(turn), y + 0.5 * radius * math.sin(turn), radius, 0)
    return np.asarray(canvas.resize((size, size)), dtype=float) / 255


def stamp(
    character: str,
    font: str,
    scale: float,
    size: tuple[int, int],
    random: Random,
    *,
    turn: float,
    move: float,
) -> np.ndarray:
    """(H, W) in [0, 1]: a character near the middle, turned by degrees, moved by shares."""
    image = Image.new("L", size)
    x, y = (side * (0.5 + random.uniform(-move, move)) for side in size)
    typeface = ImageFont.truetype(str(FONTS / f"{font}.ttf"), round(scale))
    ImageDraw.Draw(image).text((x, y), character, fill=255, font=typeface, anchor="mm")
    turned = image.rotate(random.uniform(-turn, turn), Image.Resampling.BILINEAR, center=(x, y))
    return np.asarray(turned, dtype=float) / 255


def part_of(
    name: str, split: str, extent: float, size: int, random: Random, mode: str
) -> Image.Image:
    """A part of a picture, resized; the columns of a picture belong to its splits in turn."""
    picture = read_picture(name, mode)
    pitch = min(extent * 1.25, picture.height, picture.width / 5)  # of the columns
    extent = min(extent, pitch)
    columns = int(picture.width // pitch)
    own = {"train": (0, 2), "val": (3,), "test": (1, 4)}[split]
    chosen = [column for column in range(columns) if column % 5 in own]
    left = random.choice(chosen) * pitch + random.uniform(0, pitch - extent)
    top = random.uniform(0, picture.height - extent)
    box = (left, top, left + extent, top + extent)
    return picture.resize((size, size), Image.Resampling.BICUBIC, box=box)


@cache
def read_picture(name: str, mode: str) -> Image.Image:
    """A picture of scikit-image, scikit-learn or matplotlib."""
    folders = (
        package_folder("skimage") / "data",
        package_folder("sklearn") / "datasets" / "images",
        Path(matplotlib.get_data_path()) / "sample_data",
    )
    with Image.open(next(path / name for path in folders if (path / name).exists())) as file:
        return file.convert(mode)


def to_image(pixels: np.ndarray) -> Image.Image:
    """(H, W) or (H, W, 3), from 0 to 255, to an image."""
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


TEXTURES = ("brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png")
PICTURES = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "motorcycle_left.png")
OTHERS = ("china.jpg", "flower.jpg", "grace_hopper.jpg", "retina.jpg", "rocket.jpg")
LATIN, GREEK = "abcdefghijklmnopqrstuvwxyz", "αβγδεζηθικλμνξπρστυφχψω"
GREEK_FONTS = tuple(font for font in LETTER_FONTS if not font.startswith("cm"))
ARROWS, SPIRALS = ("left", "right", "up", "down"), ("left", "right", "two-left", "two-right")


def stems(names: Sequence[str]) -> list[str]:
    """Names of files as names of classes."""
    return [Path(name).stem for name in names]


def numbered(count: int) -> list[str]:
    """Names of classes: 0, 1, 2, ..."""
    return [str(number) for number in range(count)]


SETS = {
    "digits-28": ImageSet(numbered(10), (60, 12, 70), digits(28), False, "tuned"),
    "letters-28": ImageSet(
        numbered(26), (24, 5, 40), letters(28, LATIN, LETTER_FONTS), False, "tuned"
    ),
    "pictures-64": ImageSet(
        stems(PICTURES), (80, 20, 120), parts(PICTURES, 80, 64, "RGB"), True, "tuned"
    ),
    "symbols-224": ImageSet(
        numbered(10),
        (35, 8, 60),
        symbols_on_pictures(224, SYMBOLS, PICTURES),
        True,
        "tuned",
        ".jpg",
    ),
    "faces-25": ImageSet(("face", "other"), (80, 20, 300), faces, True, "unseen"),
    "greek-40": ImageSet(
        numbered(23), (18, 4, 35), letters(40, GREEK, GREEK_FONTS), False, "unseen"
    ),
    "spirals-64": ImageSet(SPIRALS, (80, 15, 180), spirals(64), False, "unseen"),
    "arrows-32": ImageSet(ARROWS, (90, 20, 200), arrows(32), False, "trial"),
    "colors-28": ImageSet(HUES, (30, 10, 80), colors(28), True, "trial"),
    "pictures-224": ImageSet(
        stems(OTHERS), (45, 10, 100), parts(OTHERS, 110, 224, "RGB"), True, "trial", ".jpg"
    ),
    "digits-48": ImageSet(numbered(10), (50, 12, 70), digits(48, dark=True), False, "trial"),
    "shapes-64": ImageSet(SHAPES, (50, 10, 80), shapes(64), True, "trial"),
    "textures-64": ImageSet(
        stems(TEXTURES), (60, 15, 120), parts(TEXTURES, 60, 64, "L"), True, "tuned"
    ),
}
