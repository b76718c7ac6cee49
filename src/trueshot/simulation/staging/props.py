"""Props that could be mistaken for a recapture: books, posters, signs, frames, windows, papers.

Also photographs on paper, which are recaptured media.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from trueshot.simulation.colour import Random, between
from trueshot.simulation.print import Print
from trueshot.simulation.procedural.text import Ink, random_ink
from trueshot.simulation.staging.content import Content
from trueshot.simulation.staging.geometry import parallel
from trueshot.simulation.staging.pages import paper
from trueshot.simulation.staging.parts import Part, Thing, flat, shaded
from trueshot.simulation.staging.sheet import BLACK, WHITE, Sheet


def _board(
    size: tuple[float, float],
    ground: Ink,
    seed: int,
    draw: Callable[[Sheet, Random], None],
    *,
    units: float = 100.0,
    rough: float = 0.02,
    gloss: float = 0.0,
    finest: float = 8.0,
    rises: float = 0.0,
) -> Part:
    """Return a slightly uneven part of this width and height, on which `draw` draws.

    Args:
        size: Width and height, in millimetres.
        ground: Colour of the background.
        seed: Seed of what `draw` draws and of the unevenness.
        draw: Function that draws on a sheet `units` wide.
        units: Width in units of `draw`.
        rough: Depth of the unevenness, as a share.
        gloss, finest, rises: As for `Part`.
    """

    def paint(tall: int, wide: int) -> Image.Image:
        sheet = Sheet(tall, wide, units, ground)
        draw(sheet, np.random.default_rng(seed))
        return shaded(sheet.image, seed, rough)

    box = (0.0, 0.0, *size)
    return Part(box=box, paint=paint, gloss=gloss, finest=finest, rises=rises)


def photo_print(random: Random, medium: Print, content: Content, *, landscape: bool) -> Thing:
    """Make a photograph on paper, with or without a border, sometimes above text on a sheet."""
    kinds = ["photo", "photo", "sheet", "poster"]
    kind = str(random.choice(kinds))
    short = {"photo": 100.0, "sheet": 210.0, "poster": 297.0}[kind]
    width, height = short, short * float(random.choice([1.333, 1.414, 1.5]))
    if landscape:
        width, height = height, width
    border = (
        float(random.choice([0.0, 0.04, 0.08])) * short
        if kind == "photo"
        else short * float(random.uniform(0.02, 0.15))
    )
    extra = float(random.choice([0.0, 0.3])) * height if kind == "sheet" else 0.0
    inner = (border, border, width - border, height - border - extra)
    seed = int(random.integers(2**31))

    def paint(tall: int, wide: int) -> Image.Image:
        sheet = Sheet(tall, wide, width, WHITE)
        sheet.picture(content, inner)
        if extra:
            draw = np.random.default_rng(seed)
            sheet.paragraph(
                draw, (border, inner[3] + 6, width - border, height - border), 4.5, BLACK
            )
        return sheet.image

    part = Part(
        box=(0.0, 0.0, width, height),
        paint=paint,
        gloss=float(random.choice([0.0, 0.005, 0.04])),
        finest=8.0,
        rises=1.0,
        sheet=medium,
        dots=width / 25.4 * float(random.uniform(85, 175)),
    )
    return flat(part, subject=inner, medium="print", name=medium.name)


def book(random: Random, content: Content) -> Thing:
    """Make a book whose cover has a title, areas of colour and sometimes a picture."""
    width = float(random.uniform(110, 210))
    height = width * float(random.uniform(1.25, 1.55))
    seed, ground = int(random.integers(2**31)), random_ink(random, 20, 240)
    edge = Part(
        box=(3.0, 3.0, width + 3, height + 3),
        paint=lambda tall, wide: Image.new("RGB", (wide, tall), (225, 220, 205)),
        finest=1.0,
        rises=14.0,
        plane=parallel(10.0),
    )
    gloss = float(random.choice([0.005, 0.03]))
    cover = _board((width, height), ground, seed, partial(_cover, content), gloss=gloss)
    return replace(flat(edge, cover), whole=(0, 0, width + 3, height + 3))


def _cover(content: Content, sheet: Sheet, random: Random) -> None:
    ink = WHITE if sum(sheet.ground) < 380 else BLACK
    tall = sheet.tall
    if random.random() < 0.45:
        top = float(random.uniform(0, 0.4)) * tall
        sheet.picture(
            content,
            (
                0 if random.random() < 0.5 else 12,
                top,
                100 if random.random() < 0.5 else 88,
                top + 0.5 * tall,
            ),
        )
    for _ in range(int(random.integers(1, 6))):
        x, y, size = (float(n) for n in random.uniform(0, 1, 3))
        if random.random() < 0.5:
            sheet.disc(100 * x, tall * y, 5 + 25 * size, random_ink(random, 20, 240))
        else:
            sheet.box(
                (100 * x - 30, tall * y, 100 * x + 30 * size, tall * y + 40 * size),
                random_ink(random, 20, 240),
                3,
            )
    y = tall * float(random.uniform(0.06, 0.3))
    for _ in range(int(random.integers(1, 4))):
        size = float(random.uniform(8, 16))
        sheet.text(random, 8, y, size, ink, 1, menu=True)
        y += 1.4 * size
    sheet.text(random, 8, 0.9 * tall, 6, ink, 2, menu=True)


def poster(random: Random, content: Content) -> Thing:
    """Make a poster, a notice or a sign with large words, sometimes with a picture."""
    width = float(random.uniform(200, 700))
    height = width * float(random.choice([0.4, 0.7, 1.0, 1.41, 1.5]))
    seed, ground = int(random.integers(2**31)), random_ink(random, 0, 256)
    picture = random.random() < 0.25

    def draw(sheet: Sheet, random: Random) -> None:
        ink = WHITE if sum(ground) < 380 else BLACK
        margin = float(random.choice([2, 5]))
        if random.random() < 0.5:
            sheet.box((margin, margin, 100 - margin, sheet.tall - margin), ink)
            sheet.box((margin + 1, margin + 1, 99 - margin, sheet.tall - margin - 1), ground)
        y = 4 + margin
        if picture:
            sheet.picture(content, (2 * margin, y, 100 - 2 * margin, y + 0.45 * sheet.tall))
            y += 0.48 * sheet.tall
        while y < sheet.tall - 8 - margin:
            size = float(random.choice([4, 7, 12, 20])) * min(1.0, sheet.tall / 80)
            colour = ink if random.random() < 0.7 else random_ink(random, 20, 240)
            sheet.text(random, 8, y, size, colour, 1 if size > 8 else 4, menu=True)
            y += 1.5 * size

    gloss = float(random.choice([0.0, 0.02]))
    return flat(_board((width, height), ground, seed, draw, gloss=gloss, finest=4.0, rises=3.0))


def framed(random: Random, content: Content) -> Thing:
    """Make a framed picture, behind glass or not, to hang on a wall as a small part of a room."""
    width = float(random.uniform(200, 700))
    height = width * float(random.choice([0.67, 0.75, 1.0, 1.33, 1.5]))
    rim, mat = (
        width * float(random.uniform(0.03, 0.1)),
        width * float(random.choice([0, 0.06, 0.15])),
    )
    wood, seed = random_ink(random, 10, 200), int(random.integers(2**31))
    inner = (rim + mat, rim + mat, width - rim - mat, height - rim - mat)

    def draw(sheet: Sheet, _: Random) -> None:
        light: Ink = tuple(min(255, level + 30) for level in wood)  # type: ignore[assignment]
        sheet.box((rim * 0.3, rim * 0.3, width - rim * 0.3, height - rim * 0.3), light)
        sheet.box((rim * 0.7, rim * 0.7, width - rim * 0.7, height - rim * 0.7), wood)
        sheet.box((rim, rim, width - rim, height - rim), (240, 236, 226))
        sheet.picture(content, inner)

    gloss, size = float(random.choice([0.0, 0.03])), (width, height)
    part = _board(size, wood, seed, draw, units=width, gloss=gloss, finest=3.0, rises=15.0)
    return flat(part, subject=inner)


def window(random: Random, content: Content) -> Thing:
    """Make a window or a glass door with bars, and a view behind it brighter than the room."""
    width = float(random.uniform(500, 1500))
    height = width * float(random.uniform(0.6, 1.8))
    rim, bar = 0.05 * width, 0.02 * width
    panes = int(random.integers(1, 4)), int(random.integers(1, 4))
    white = int(random.integers(60, 250))
    tone: Ink = (white, white, int(0.95 * white))
    blind = random.random() < 0.3

    def bars(tall: int, wide: int) -> Image.Image:
        mask = Sheet(tall, wide, width, BLACK)
        mask.box((0, 0, width, height), WHITE)
        for row in range(panes[0]):
            for column in range(panes[1]):
                left = rim + (width - 2 * rim) * column / panes[1] + bar / 2
                top = rim + (height - 2 * rim) * row / panes[0] + bar / 2
                right = rim + (width - 2 * rim) * (column + 1) / panes[1] - bar / 2
                bottom = rim + (height - 2 * rim) * (row + 1) / panes[0] - bar / 2
                mask.box((left, top, right, bottom), BLACK)
        if blind:
            for step in range(int(height / 28)):
                mask.box((rim, rim + 28 * step, width - rim, rim + 28 * step + 15), WHITE)
        image = Image.new("RGBA", (wide, tall), (*tone, 0))
        image.putalpha(mask.image.convert("L"))
        return image

    box = (0.0, 0.0, width, height)
    light = between(random, 1.0, 8.0)
    return flat(
        Part(box=box, paint=content.picture, emits=light, plane=parallel(60.0)),
        Part(box=box, paint=bars, gloss=0.01, finest=2.0),
    )


def papers(random: Random, content: Content) -> Thing:
    """Make a printed page, or lined paper with handwriting."""
    width, height = 210.0, 297.0
    seed, lined = int(random.integers(2**31)), random.random() < 0.4

    def draw(sheet: Sheet, random: Random) -> None:
        if lined:
            for row in range(int(height / 8)):
                sheet.line([(0, 8.0 * row), (width, 8.0 * row)], (150, 175, 215), 0.3)
            _handwriting(sheet, random)
        else:
            paper(sheet, random, (0, 0, width, height), width / 820)

    size, ground = (width, height), (246, 245, 240)
    return flat(_board(size, ground, seed, draw, units=width, rough=0.015, rises=1.0))


def _handwriting(sheet: Sheet, random: Random) -> None:
    """Draw wavy lines in blue or black as words of handwriting."""
    ink: Ink = (30, 40, 120) if random.random() < 0.6 else (30, 30, 34)
    for row in range(3, int(random.integers(8, 35))):
        x, y = 20.0, 8.0 * row - 1.5
        while x < sheet.wide * random.uniform(0.6, 0.95):
            count = int(random.integers(6, 26))
            steps = x + np.arange(count) * 0.9
            waves = y - 1.2 + 1.4 * np.sin(np.cumsum(random.uniform(0.6, 2.4, count)))
            sheet.line(list(zip(steps.tolist(), waves.tolist(), strict=True)), ink, 0.45)
            x = float(steps[-1]) + 3.5


def box_of_goods(random: Random, content: Content) -> Thing:
    """Make a small thing with words or buttons: a package, a card, a remote control."""
    width = float(random.uniform(45, 220))
    height = width * float(random.uniform(0.5, 3.2))
    seed, ground = int(random.integers(2**31)), random_ink(random, 15, 250)
    knobs = random.random() < 0.45

    def draw(sheet: Sheet, random: Random) -> None:
        if not knobs:
            _cover(content, sheet, random)
            return
        sheet.box((15, 8, 85, min(55, 0.2 * sheet.tall)), (120, 135, 120), 3)
        y, step = max(30, 0.28 * sheet.tall), 26
        while y < sheet.tall - 20:
            for x in (22, 50, 78):
                sheet.disc(x, y, 8, random_ink(random, 20, 240))
            y += step

    size = (width, height)
    return flat(_board(size, ground, seed, draw, rough=0.03, gloss=0.015, rises=20.0))


# Props of originals: the function that makes one, its probability, and how it is placed.
PROPS: dict[str, tuple[Callable[[Random, Content], Thing], float, str]] = {
    "book": (book, 0.2, "lying"),
    "poster": (poster, 0.15, "hanging"),
    "framed": (framed, 0.15, "hanging"),
    "window": (window, 0.2, "hanging"),
    "papers": (papers, 0.15, "lying"),
    "box": (box_of_goods, 0.15, "lying"),
}
