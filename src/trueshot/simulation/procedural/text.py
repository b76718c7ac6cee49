"""Text in the built-in font of Pillow: words, lines, and pages on paper, signs and screens."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trueshot.simulation.colour import Bytes, Linear, Random, between, decode_srgb
from trueshot.simulation.procedural.colours import blend, lit, palette
from trueshot.simulation.procedural.gradients import edge
from trueshot.simulation.procedural.noise import field

Ink = tuple[int, int, int]

_COMMON = (
    "the of and to in is that for it as was with be by on not he this are or his from at which "
    "but have an had they you were their one all we can her has there been if more when will "
    "would who so no said what up its about into than them only new some could time these two may "
    "then do first any my now such like our over man me even most made after also did many before "
    "must through back years where much your way well down should because each just those people "
    "how too little state good very make world still own see men work long get here between both "
    "life being under never day same another know while last might us great old year off come "
    "since against go came right used take three"
)
_LABELS = (
    "Open Save File Edit View Help Home Search Settings Share Login Total Price Name Status Date "
    "Report Messages Account Profile Orders Photos Cancel Monday March Today Insert Format Tools "
    "Window Inbox Sent Drafts Calendar Maps Camera Music Weather Notes Files Downloads "
    "Library History Bookmarks Terminal Mail Games Store Wallet Health Clock Contacts Updates"
)
_SIZES = np.unique((8 * 1.11 ** np.arange(32)).astype(int))  # few, so that cached masks get reused
_STARTS = "b br c ch cl d dr f fr g gl gr h j k l m n p pl pr qu r s sh sl sp st str t th tr v w z"
_MIDDLES = "a ai au e ea ee i ia ie o oa oo ou u y"
_ENDS = "b ck ct d g l ll m n nd ng nt p r rd rk rm rn rt s ss st t th x"
_LIGHT: tuple[tuple[Ink, Ink, Ink], ...] = (  # paper, ink, headings
    ((255, 255, 255), (20, 20, 20), (0, 0, 0)),
    ((255, 255, 255), (55, 60, 70), (20, 60, 140)),
    ((250, 246, 236), (60, 50, 40), (120, 30, 20)),
    ((244, 244, 246), (30, 30, 34), (10, 110, 90)),
)
_DARK: tuple[tuple[Ink, Ink, Ink], ...] = (
    ((30, 30, 30), (212, 212, 212), (86, 156, 214)),
    ((13, 17, 23), (201, 209, 217), (255, 255, 255)),
    ((0, 0, 0), (230, 230, 230), (255, 190, 60)),
    ((40, 42, 54), (248, 248, 242), (189, 147, 249)),
)


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[str, ...]:
    """Return common words, then invented ones, then numbers, dates and prices; always the same."""
    random = np.random.default_rng(5)
    parts = [part.split() for part in (_STARTS, _MIDDLES, _ENDS)]
    made = []
    for _ in range(250):
        syllables = ("".join(random.choice(part) for part in parts) for _ in range(2))
        word = "".join(list(syllables)[: random.integers(1, 3)])
        made.append(word.capitalize() if random.random() < 0.2 else word)
    numbers = [str(number) for number in random.integers(0, 10 ** random.integers(1, 6, 60))]
    dates = [
        f"{day:02d}.{month:02d}.{2000 + day}" for day, month in random.integers(1, 13, (20, 2))
    ]
    prices = [f"${price / 100:.2f}" for price in random.integers(99, 99999, 30)]
    marks = [f"{word}{mark}" for word, mark in zip(made, "...,,,;:!?%)" * 8, strict=False)]
    return (*_COMMON.split(), *made, *marks, *numbers, *dates, *prices)


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def random_ink(random: Random, low: int, high: int) -> Ink:
    """Draw a colour with levels from `low` to below `high`."""
    red, green, blue = (int(level) for level in random.integers(low, high, 3))
    return red, green, blue


def size_near(size: float) -> int:
    """Return the available font size nearest to `size`, in pixels."""
    return int(_SIZES[np.abs(_SIZES - size).argmin()])


@lru_cache(maxsize=12_000)
def _word_mask(word: str, size: int) -> Image.Image:
    """Render a word as coverage, 0 to 255, one line high; `size` is the font size in pixels."""
    font = _font(size)
    wide = max(1, int(font.getlength(word)) + 2)
    mask = Image.new("L", (wide, int(1.3 * size) + 1))
    ImageDraw.Draw(mask).text((0, 0), word, fill=255, font=font)
    return mask


def words(random: Random, count: int, numbers: float = 0.05) -> list[str]:
    """Draw random words; `numbers` is the share of numbers, dates and prices."""
    known = _vocabulary()
    first = len(known) - 110
    picks = np.where(
        random.random(count) < numbers,
        random.integers(first, len(known), count),
        (first * random.random(count) ** 2.5).astype(int),  # common words, being first, are likely
    )
    return [known[pick] for pick in picks]


def labels(random: Random, count: int) -> list[str]:
    """Draw distinct words that are typical of buttons and menus."""
    known = _LABELS.split()
    return [known[pick] for pick in random.permutation(len(known))[:count]]


def write_line(
    canvas: Image.Image, place: tuple[float, float], text: list[str], size: int, ink: Ink | int
) -> float:
    """Write words side by side.

    Args:
        canvas: Image of mode RGB or L.
        place: Left and top, in pixels; may lie outside the canvas.
        text: The words.
        size: Font size in pixels.
        ink: A colour, or a level for an L canvas.

    Returns:
        The right end of the line, in pixels.
    """
    x, y = place
    for word in text:
        mask = _word_mask(word, size)
        if x < canvas.width and x + mask.width > 0:
            canvas.paste(ink, (int(x), int(y)), mask)
        x += mask.width - 1 + 0.26 * size
    return x


def write_paragraph(
    random: Random,
    canvas: Image.Image,
    box: tuple[float, float, float, float],
    size: int,
    ink: Ink | int,
) -> float:
    """Fill a box with left-aligned random words; return the lower end of the text."""
    left, top, right, bottom = box
    right = max(right, left + size)
    leading = size * 1.4
    lines = max(0, int((bottom - top) / leading))
    text = words(random, int(lines * (right - left) / (2.4 * size)) + 2)
    while text and lines:
        used, wide = 0, 0.0
        while used < len(text):
            wide += _word_mask(text[used], size).width - 1 + 0.26 * size
            if wide > right - left and used:
                break
            used += 1
        if -leading < top < canvas.height:
            write_line(canvas, (left, top), text[:used], size, ink)
        text, top, lines = text[used:], top + leading, lines - 1
    return top


def text(random: Random, height: int, width: int) -> Linear:
    """Draw text from 5 pixels high to a fifth of the picture, dark on light or light on dark.

    Half of the pages are flat and straight, as on a screen. Half are printed on paper or painted
    on a sign, turned and unevenly lit.

    Returns:
        Linear light between 0 and 2, shape (h, w, 3).
    """
    return (_shown if random.random() < 0.5 else _printed)(random, height, width)


def _shown(random: Random, height: int, width: int) -> Linear:
    """Draw a document on a screen: sRGB colours, straight lines, no lighting."""
    dark = random.random() < 0.35
    themes = _DARK if dark else _LIGHT
    paper, ink, heading = themes[random.integers(len(themes))]
    canvas = Image.new("RGB", (2 * width, 2 * height), paper)
    size = size_near(2 * between(random, 8, 24))
    if dark and random.random() < 0.5:
        _code(random, canvas, size, ink)
    else:
        _document(random, canvas, size, ink, heading)
    light: Linear = decode_srgb(np.asarray(canvas.reduce(2)))
    return light


def _printed(random: Random, height: int, width: int) -> Linear:
    """Draw ink on paper or paint on a sign: turned, with paper grain, under uneven light."""
    side = int(1.42 * max(height, width)) + 4  # large enough for a turned window
    canvas = Image.new("L", (side, side))
    if random.random() < 0.7:
        _document(random, canvas, size_near(between(random, 8, 30)), 235, 255)
    else:
        _poster(random, canvas, size_near(between(random, 0.05, 0.2) * max(height, width)))
    angle = random.normal(0, 4) if random.random() < 0.6 else random.uniform(-180, 180)
    shares = _turned(canvas, height, width, angle)
    paper, ink = _paper_and_ink(random)
    light = blend(paper, ink, np.multiply(shares, np.float32(random.uniform(0.75, 1) / 255)))
    if random.random() < 0.4:  # the edge of the page, with the table beyond
        table = palette(random, 1)[0]
        light = blend(light, table, edge(random, height, width, 1.5) * np.float32(1))
    grain = np.float32(random.uniform(0.005, 0.04)) * field(random, height, width, 0.6)
    light *= (1 + grain)[..., None]
    return lit(random, light, falloff=0.6, mean=0.35)


def _paper_and_ink(random: Random) -> tuple[Linear, Linear]:
    if random.random() < 0.65:
        paper = np.array([0.8, 0.79, 0.75], np.float32) * np.float32(random.uniform(0.7, 1.1))
        return paper, np.full(3, random.uniform(0.02, 0.08), np.float32)
    colours = palette(random, 2, clusters=2)
    paler = colours[0] ** np.float32(0.3)
    return (paler, colours[1] * np.float32(0.15)) if random.random() < 0.6 else (colours[1], paler)


def _turned(page: Image.Image, height: int, width: int, angle: float) -> Bytes:
    """Cut the middle of a square page, turned by an angle in degrees: bytes of shape (h, w)."""
    turn = np.deg2rad(angle)
    cosine, sine, middle = float(np.cos(turn)), float(np.sin(turn)), page.width / 2
    x, y = width / 2, height / 2
    rows = (
        (cosine, sine, middle - cosine * x - sine * y),
        (-sine, cosine, middle + sine * x - cosine * y),
    )
    turned = page.transform(
        (width, height), Image.Transform.AFFINE, (*rows[0], *rows[1]), Image.Resampling.BICUBIC
    )
    return np.asarray(turned)


def _document(
    random: Random, canvas: Image.Image, size: int, ink: Ink | int, heading: Ink | int
) -> None:
    """Write headings and paragraphs in one or two columns, starting at a random line."""
    gap = int(random.integers(size, 4 * size))
    columns = 2 if size < canvas.width / 45 and random.random() < 0.4 else 1
    wide = (canvas.width - gap * (columns + 1)) / columns + random.uniform(0, 0.3) * canvas.width
    for column in range(columns):
        left = gap + column * (wide + gap) - random.uniform(0, 0.2) * canvas.width
        top = random.uniform(-20, 1) * size
        while top < canvas.height:
            if random.random() < 0.3:
                large = size_near(size * random.choice([1.25, 1.5, 2.0]))
                write_line(canvas, (left, top), words(random, 5), large, heading)
                top += 1.7 * large
            lines = int(random.integers(2, 9))
            box = (left, top, left + wide, top + 1.4 * size * lines + 1)
            top = write_paragraph(random, canvas, box, size, ink) + random.uniform(0.5, 1.2) * size


def _poster(random: Random, canvas: Image.Image, size: int) -> None:
    """Write a few large words, with a smaller line under each."""
    top = random.uniform(-0.5, 0.5) * size
    small = size_near(size * random.uniform(0.2, 0.5))
    while top < canvas.height:
        left = random.uniform(0, 0.25) * canvas.width
        large = [word.upper() for word in words(random, 6, 0.2)]
        write_line(canvas, (left, top), large, size, 255)
        write_line(canvas, (left, top + 1.3 * size), words(random, 30), small, 220)
        top += 1.5 * size + 1.6 * small


def _code(random: Random, canvas: Image.Image, size: int, ink: Ink) -> None:
    """Write a program in an editor: indented short lines, coloured words, line numbers."""
    colours = [ink, ink, (206, 145, 120), (86, 156, 214), (78, 201, 176), (106, 153, 85)]
    indent, number = 0, int(random.integers(1, 400))
    top = -random.random() * size
    while top < canvas.height:
        write_line(canvas, (0.3 * size, top), [str(number)], size, (110, 118, 129))
        left = 3.2 * size + indent * 1.8 * size
        for word in words(random, int(random.integers(0, 9)), 0.15):
            colour = colours[random.integers(len(colours))]
            left = write_line(canvas, (left, top), [word], size, colour)
        indent = int(np.clip(indent + random.integers(-1, 2), 0, 5))
        top, number = top + 1.5 * size, number + 1
