"""Text in Pillow's built-in font: words, lines and paragraphs, drawn from cached word masks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trueshot.simulation.colour import Random

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


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
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


def size_near(size: float) -> int:
    """Return the available font size nearest to `size`, in pixels."""
    return int(_SIZES[np.abs(_SIZES - size).argmin()])


@lru_cache(maxsize=12_000)
def word_mask(word: str, size: int) -> Image.Image:
    """Render a word as coverage, 0 to 255, one line high; `size` is the font size in pixels."""
    font = _font(size)
    wide = max(1, int(font.getlength(word)) + 2)
    mask = Image.new("L", (wide, int(1.3 * size) + 1))
    ImageDraw.Draw(mask).text((0, 0), word, fill=255, font=font)
    return mask


def words(random: Random, count: int, numbers: float = 0.05) -> list[str]:
    """Draw random words; `numbers` is the share of numbers, dates and prices."""
    known = vocabulary()
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
        mask = word_mask(word, size)
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
            wide += word_mask(text[used], size).width - 1 + 0.26 * size
            if wide > right - left and used:
                break
            used += 1
        if -leading < top < canvas.height:
            write_line(canvas, (left, top), text[:used], size, ink)
        text, top, lines = text[used:], top + leading, lines - 1
    return top
