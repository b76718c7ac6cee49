"""Screen pages: pictures in full screen, viewers, browsers and chats; desktops; documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.simulation.colour import Random
from trueshot.simulation.procedural.text import Ink, random_ink
from trueshot.simulation.staging.content import Content
from trueshot.simulation.staging.geometry import Box
from trueshot.simulation.staging.sheet import BLACK, WHITE, Sheet, fitted

_HAND = ("phone", "tablet")


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that a display shows.

    Args:
        kind: One of `KINDS`.
        seed: Seed of the words, icons and colours.
        contents: Pictures on the page; the first is the main one.
        shape: Width divided by height of the main picture.
        dark: Whether the text is light on a dark background.
        wide: Width of the page in units; ordinary text is 14 units high.
        handheld: Whether the page is for a phone or a tablet.
    """

    kind: str
    seed: int
    contents: tuple[Content, ...]
    shape: float
    dark: bool
    wide: float
    handheld: bool

    def draw(self, height: int, width: int) -> Image.Image:
        """Draw the page at (height, width) pixels, RGB."""
        random = np.random.default_rng(self.seed)
        sheet = Sheet(height, width, self.wide, _ground(random, dark=self.dark))
        KINDS[self.kind](self, sheet, random)
        return sheet.image

    def subject(self, aspect: float) -> Box:
        """Return the main picture's box in shares of a page; `aspect` is its width per height."""
        tall = self.wide / aspect
        left, top, right, bottom = _SUBJECTS.get(self.kind, _whole)(self, tall)
        return left / self.wide, top / tall, right / self.wide, bottom / tall

    @property
    def ink(self) -> Ink:
        """Colour of the text."""
        return (228, 228, 230) if self.dark else (32, 33, 36)


def _ground(random: Random, *, dark: bool) -> Ink:
    level = int(random.choice([0, 18, 30, 40])) if dark else int(random.choice([255, 250, 242]))
    return level, level, min(255, level + int(random.integers(0, 5)))


def _whole(page: Page, tall: float) -> Box:
    return 0.0, 0.0, page.wide, tall


def _bars(page: Page) -> tuple[float, float]:
    """Return the heights of a viewer's bars above and below the picture."""
    return (72.0, 96.0) if page.handheld else (44.0, 84.0)


def _viewed(page: Page, tall: float) -> Box:
    top, bottom = _bars(page)
    return fitted((0, top, page.wide, tall - bottom), page.shape)


def _filmed(page: Page, tall: float) -> Box:
    return fitted((0, 0, page.wide, tall), page.shape)


def _windowed(page: Page, tall: float) -> Box:
    spare = np.random.default_rng([page.seed, 1]).uniform(0.03, 0.25, 4)
    left, right = spare[0] * page.wide, (1 - spare[1]) * page.wide
    return left, 40 + spare[2] * tall, right, (1 - spare[3]) * (tall - 48)


def _browsed(page: Page, tall: float) -> Box:
    chance = np.random.default_rng([page.seed, 1])
    if page.handheld:
        top = 110 + chance.uniform(0, 120)
        return 16.0, top, page.wide - 16, min(top + (page.wide - 32) / page.shape, tall - 60)
    left = page.wide * chance.uniform(0.05, 0.3)
    right = left + page.wide * chance.uniform(0.35, 0.6)
    top = 150 + chance.uniform(0, 60)
    return left, top, right, min(top + (right - left) / page.shape, tall - 20)


def _chatted(page: Page, tall: float) -> Box:
    chance = np.random.default_rng([page.seed, 1])
    wide = min(page.wide * 0.7, 420)
    left = 14.0 if chance.random() < 0.5 else page.wide - wide - 14
    top = 100 + chance.uniform(0.05, 0.3) * tall
    return left, top, left + wide, min(top + wide / page.shape, tall - 80)


def _clock(random: Random) -> list[str]:
    return [f"{random.integers(1, 24)}:{random.integers(60):02d}"]


def _status(page: Page, sheet: Sheet, random: Random, ink: Ink) -> None:
    """Draw the status bar at the top of a handheld page: time, icons, battery."""
    if page.handheld:
        sheet.say(_clock(random), 22, 7, 13, ink)
        for step in range(int(random.integers(2, 5))):
            sheet.icon(random, page.wide - 60 - 18 * step, 14, 5, ink)
        sheet.box((page.wide - 46, 9, page.wide - 22, 20), ink, 3)


def _navigation(page: Page, sheet: Sheet, random: Random, ink: Ink) -> None:
    """Draw the navigation bar at the bottom of a handheld page: three icons or a gesture bar."""
    if not page.handheld:
        return
    y = sheet.tall - 14
    if random.random() < 0.5:
        sheet.box((page.wide * 0.34, y - 2, page.wide * 0.66, y + 3), ink, 2)
        return
    for share in (0.25, 0.5, 0.75):
        sheet.icon(random, page.wide * share, y - 4, 7, ink)


def _taskbar(page: Page, sheet: Sheet, random: Random) -> None:
    """Draw a taskbar along the lower edge of most pages that are not handheld."""
    if page.handheld or random.random() < 0.2:
        return
    fill = (26, 27, 32) if random.random() < 0.5 else (238, 240, 245)
    ink = WHITE if fill[0] < 100 else (40, 40, 48)
    top = sheet.tall - 44
    sheet.box((0, top, page.wide, sheet.tall), fill)
    start = page.wide / 2 - 220 if random.random() < 0.6 else 12
    for step in range(int(random.integers(6, 12))):
        colour = random_ink(random, 30, 240)
        x = start + 44 * step
        sheet.box((x, top + 10, x + 24, top + 34), colour, 5)
    sheet.say(_clock(random), page.wide - 70, top + 6, 12, ink)
    sheet.say(["12.06.2026"], page.wide - 84, top + 23, 12, ink)


def _full(page: Page, sheet: Sheet, random: Random) -> None:
    sheet.picture(page.contents[0], (0, 0, page.wide, sheet.tall))
    if page.handheld and random.random() < 0.4:
        _status(page, sheet, random, WHITE)


def _viewer(page: Page, sheet: Sheet, random: Random) -> None:
    ink = page.ink
    _, bottom = _bars(page)
    sheet.picture(page.contents[0], _viewed(page, sheet.tall))
    _status(page, sheet, random, ink)
    if page.handheld:
        sheet.icon(random, 24, 48, 8, ink)
        if random.random() < 0.6:
            sheet.text(random, 48, 36, 15, ink, 2, menu=True)
            sheet.text(random, 48, 54, 11, ink, 3)
        sheet.icon(random, page.wide - 24, 48, 7, ink)
        count = int(random.integers(3, 7))
        for step in range(count):
            x = page.wide * (step + 0.5) / count
            sheet.icon(random, x, sheet.tall - bottom + 36, 9, ink)
            if random.random() < 0.5:
                sheet.text(random, x - 18, sheet.tall - bottom + 50, 9, ink, 1, menu=True)
        _navigation(page, sheet, random, ink)
        return
    sheet.text(random, 14, 12, 13, ink, 2, menu=True)
    for step in range(3):
        sheet.icon(random, page.wide - 24 - 46 * step, 20, 6, ink)
    for step in range(int(random.integers(4, 9))):
        sheet.icon(random, page.wide * 0.36 + 44 * step, sheet.tall - bottom + 20, 8, ink)
    _taskbar(page, sheet, random)


def _video(page: Page, sheet: Sheet, random: Random) -> None:
    sheet.box((0, 0, page.wide, sheet.tall), BLACK)
    box = _filmed(page, sheet.tall)
    sheet.picture(page.contents[0], box)
    if random.random() < 0.45:
        y, x = box[3] - 0.14 * (box[3] - box[1]), page.wide / 2
        size = page.wide / 38
        sheet.text(random, x - 6 * size, y, size, WHITE, int(random.integers(3, 6)))
    if random.random() < 0.5:
        y, done = sheet.tall - 50, random.uniform(0.05, 0.95) * page.wide
        sheet.box((16, y, page.wide - 16, y + 4), (120, 120, 120))
        sheet.box((16, y, done, y + 4), (230, 30, 40))
        sheet.disc(done, y + 2, 7, (230, 30, 40))
        for step in range(4):
            sheet.icon(random, 32 + 44 * step, y + 24, 8, WHITE)


def _desktop(page: Page, sheet: Sheet, random: Random) -> None:
    sheet.picture(page.contents[-1], (0, 0, page.wide, sheet.tall))
    for row in range(int(random.integers(0, 8))):
        for column in range(int(random.integers(1, 3))):
            x, y = 24 + 84 * column, 20 + 92 * row
            colour = random_ink(random, 30, 250)
            sheet.box((x, y, x + 44, y + 44), colour, 8)
            sheet.text(random, x - 6, y + 50, 12, WHITE, 1, menu=True)
    if random.random() < 0.75:
        box = _windowed(page, sheet.tall)
        left, top, right, bottom = box
        sheet.box((left - 2, top - 34, right + 2, bottom + 2), sheet.ground, 8)
        sheet.text(random, left + 12, top - 25, 13, page.ink, 3, menu=True)
        for step in range(3):
            sheet.icon(random, right - 18 - 40 * step, top - 17, 6, page.ink)
        sheet.picture(page.contents[0], box)
    _taskbar(page, sheet, random)


def _browser(page: Page, sheet: Sheet, random: Random) -> None:
    ink, wide = page.ink, page.wide
    faint: Ink = (70, 71, 76) if page.dark else (222, 225, 230)
    bar = 0.0
    if page.handheld:
        _status(page, sheet, random, ink)
        sheet.box((12, 36, wide - 60, 74), faint, 18)
        sheet.text(random, 30, 47, 14, ink, 2)
        bar = 84
    else:
        sheet.box((0, 0, wide, 40), faint)
        for step in range(int(random.integers(1, 7))):
            x = 10 + 200 * step
            sheet.box((x, 6, x + 190, 40), sheet.ground if step == 0 else faint, 8)
            sheet.text(random, x + 30, 15, 12, ink, 2, menu=True)
        sheet.box((120, 48, wide - 200, 78), faint, 15)
        sheet.text(random, 140, 56, 14, ink, 2)
        for step in range(3):
            sheet.icon(random, 24 + 34 * step, 63, 7, ink)
        bar = 90
    left, top, right, bottom = _browsed(page, sheet.tall)
    if top - bar > 30:
        sheet.text(random, left, bar + 8, 22, ink, 4)
    sheet.picture(page.contents[0], (left, top, right, bottom), 6)
    sheet.paragraph(random, (left, bottom + 14, right, sheet.tall - 10), 15, ink)
    if not page.handheld:
        y = top
        for content in page.contents[1:]:
            sheet.picture(content, (right + 30, y, min(right + 250, wide - 20), y + 130), 6)
            sheet.paragraph(
                random, (right + 30, y + 138, min(right + 250, wide - 20), y + 175), 13, ink
            )
            y += 190
        _taskbar(page, sheet, random)
    else:
        _navigation(page, sheet, random, ink)


def _chat(page: Page, sheet: Sheet, random: Random) -> None:
    ink = page.ink
    head: Ink = (
        (31, 44, 52) if page.dark else ((7, 94, 84) if random.random() < 0.5 else (245, 245, 247))
    )
    wall: Ink = (11, 20, 26) if page.dark else (236, 229, 221)
    mine: Ink = (0, 92, 75) if page.dark else (217, 253, 211)
    other: Ink = (32, 44, 51) if page.dark else WHITE
    sheet.box((0, 0, page.wide, sheet.tall), wall)
    left, top, right, bottom = _chatted(page, sheet.tall)
    y = top - 12
    while y > 90:  # earlier messages
        high = float(random.uniform(30, 70))
        own = random.random() < 0.5
        x = page.wide * random.uniform(0.3, 0.5) if own else 12.0
        end = page.wide - 12 if own else page.wide * random.uniform(0.5, 0.75)
        sheet.box((x, y - high, end, y), mine if own else other, 9)
        sheet.paragraph(random, (x + 10, y - high + 6, end - 10, y - 4), 14, ink)
        y -= high + 8
    sheet.box((left - 4, top - 4, right + 4, bottom + 22), mine if left > 20 else other, 9)
    sheet.picture(page.contents[0], (left, top, right, bottom), 6)
    if bottom + 120 < sheet.tall:
        sheet.box((12, bottom + 34, page.wide * 0.6, bottom + 74), other, 9)
        sheet.paragraph(random, (22, bottom + 40, page.wide * 0.58, bottom + 72), 14, ink)
    sheet.box((0, 0, page.wide, 84), head)
    tone = WHITE if head[0] < 100 else BLACK
    _status(page, sheet, random, tone)
    sheet.disc(56, 56, 18, (150, 160, 170))
    sheet.text(random, 84, 42, 16, tone, 2, menu=True)
    for step in range(3):
        sheet.icon(random, page.wide - 24 - 44 * step, 56, 8, tone)
    sheet.box((8, sheet.tall - 62, page.wide - 60, sheet.tall - 22), other, 20)
    sheet.disc(page.wide - 30, sheet.tall - 42, 21, (0, 168, 132))


def _grid(page: Page, sheet: Sheet, random: Random) -> None:
    columns = int(random.integers(3, 5)) if page.handheld else int(random.integers(4, 8))
    side, top = page.wide / columns, 84.0
    _status(page, sheet, random, page.ink)
    sheet.text(random, 20, 44, 20, page.ink, 1, menu=True)
    for row in range(int(sheet.tall / side) + 1):
        for column in range(columns):
            content = page.contents[int(random.integers(len(page.contents)))]
            x, y = column * side, top + row * side
            sheet.picture(content, (x + 1, y + 1, x + side - 1, y + side - 1))
    _navigation(page, sheet, random, page.ink)
    _taskbar(page, sheet, random)


def _document(page: Page, sheet: Sheet, random: Random) -> None:
    around: Ink = (82, 86, 89) if page.dark else (232, 234, 237)
    sheet.box((0, 0, page.wide, sheet.tall), around)
    wide = page.wide if page.handheld else min(page.wide, 820)
    left = (page.wide - wide) / 2
    top = 84.0 if page.handheld else 60.0
    paper(sheet, random, (left, top, left + wide, sheet.tall), wide / 820)
    sheet.box((0, 0, page.wide, top - 8), (50, 54, 57) if page.dark else WHITE)
    _status(page, sheet, random, page.ink)
    sheet.text(random, 20, top - 36, 15, page.ink, 4, menu=True)
    _taskbar(page, sheet, random)


def paper(sheet: Sheet, random: Random, box: Box, size: float) -> None:
    """Draw a sheet of text with headings, paragraphs and tables; `size` scales the letters."""
    left, top, right, bottom = box
    ink: Ink = (25, 25, 30)
    sheet.box(box, (253, 253, 252))
    left, right, y = left + 70 * size, right - 70 * size, top + 60 * size
    while y < bottom - 40 * size:
        kind = random.random()
        if kind < 0.2:
            sheet.text(random, left, y, 26 * size, ink, 3)
            y += 46 * size
        elif kind < 0.8:
            high = float(random.uniform(60, 220)) * size
            sheet.paragraph(
                random, (left, y, right, min(y + high, bottom - 30 * size)), 16 * size, ink
            )
            y += high + 16 * size
        else:
            rows, columns = int(random.integers(3, 8)), int(random.integers(3, 6))
            head = random_ink(random, 60, 230)
            sheet.box((left, y, right, y + 30 * size), head)
            for row in range(rows):
                for column in range(columns):
                    x = left + (right - left) * column / columns
                    sheet.text(random, x + 6 * size, y + (30 * row + 7) * size, 14 * size, ink, 1)
                line = y + 30 * (row + 1) * size
                sheet.line([(left, line), (right, line)], (120, 120, 120), size)
            y += (30 * rows + 24) * size


def _editor(page: Page, sheet: Sheet, random: Random) -> None:
    ground: Ink = (12, 12, 14) if random.random() < 0.5 else (30, 30, 34)
    sheet.box((0, 0, page.wide, sheet.tall), ground)
    inks: list[Ink] = [
        (212, 212, 212),
        (86, 156, 214),
        (206, 145, 120),
        (78, 201, 176),
        (106, 153, 85),
    ]
    left = 0.0
    if random.random() < 0.5:
        left = page.wide * 0.17
        sheet.box((0, 0, left, sheet.tall), (37, 37, 40))
        for row in range(int(random.integers(5, 25))):
            sheet.text(random, 18, 44 + 22 * row, 13, inks[0], 1, menu=True)
    y, indent = 44.0, 0
    while y < sheet.tall - 50:
        indent = int(np.clip(indent + random.integers(-1, 2), 0, 6))
        x = left + 60 + 26 * indent
        for _ in range(int(random.integers(0, 5))):
            x = sheet.text(
                random, x, y, 14, inks[int(random.integers(5))], int(random.integers(1, 3))
            )
        y += 21
    sheet.box((0, 0, page.wide, 34), (50, 50, 52))
    sheet.text(random, 20, 9, 13, inks[0], 5, menu=True)
    _taskbar(page, sheet, random)


def _home(page: Page, sheet: Sheet, random: Random) -> None:
    sheet.picture(page.contents[0], (0, 0, page.wide, sheet.tall))
    _status(page, sheet, random, WHITE)
    size = page.wide / 6
    sheet.say(_clock(random), page.wide / 2 - 1.3 * size, 90, size, WHITE)
    if random.random() < 0.5:
        step = page.wide / 4
        for row in range(int(random.integers(1, 5))):
            for column in range(4):
                x, y = (column + 0.5) * step, sheet.tall - 110 - 100 * row
                colour = random_ink(random, 20, 255)
                sheet.box((x - 27, y - 27, x + 27, y + 27), colour, 13)
                sheet.icon(random, x, y, 13, WHITE)
                sheet.text(random, x - 22, y + 33, 11, WHITE, 1, menu=True)
    else:
        for row in range(int(random.integers(1, 5))):
            y = 240 + 92 * row
            sheet.box((14, y, page.wide - 14, y + 82), (240, 240, 244), 16)
            sheet.disc(40, y + 40, 14, (90, 120, 220))
            sheet.paragraph(random, (66, y + 14, page.wide - 40, y + 76), 14, (40, 40, 44))
    _navigation(page, sheet, random, WHITE)


KINDS: dict[str, Callable[[Page, Sheet, Random], None]] = {
    "full": _full,
    "viewer": _viewer,
    "video": _video,
    "desktop": _desktop,
    "browser": _browser,
    "chat": _chat,
    "grid": _grid,
    "document": _document,
    "editor": _editor,
    "home": _home,
}

_SUBJECTS: dict[str, Callable[[Page, float], Box]] = {
    "viewer": _viewed,
    "video": _filmed,
    "desktop": _windowed,
    "browser": _browsed,
    "chat": _chatted,
}

# Probability of each kind of page, by kind of device.
SHARES: dict[str, dict[str, float]] = {
    "phone": {
        "full": 0.2,
        "viewer": 0.4,
        "chat": 0.1,
        "browser": 0.1,
        "grid": 0.03,
        "document": 0.07,
        "home": 0.1,
    },
    "tablet": {"full": 0.35, "viewer": 0.35, "browser": 0.15, "document": 0.1, "home": 0.05},
    "laptop": {
        "full": 0.25,
        "viewer": 0.25,
        "video": 0.1,
        "desktop": 0.1,
        "browser": 0.15,
        "document": 0.07,
        "editor": 0.06,
        "grid": 0.02,
    },
    "monitor": {
        "full": 0.3,
        "viewer": 0.2,
        "video": 0.12,
        "desktop": 0.1,
        "browser": 0.13,
        "document": 0.06,
        "editor": 0.06,
        "grid": 0.03,
    },
    "television": {"full": 0.5, "video": 0.5},
}


def draw_page(random: Random, device: str, contents: tuple[Content, ...], *, upright: bool) -> Page:
    """Draw a page of a kind that this kind of device shows."""
    shares = SHARES[device]
    kind = str(random.choice(list(shares), p=list(shares.values())))
    handheld = device in _HAND
    wide = {
        "phone": 380.0,
        "tablet": 800.0,
        "laptop": 1440.0,
        "monitor": 1920.0,
        "television": 1280.0,
    }[device]
    if handheld and not upright:
        wide *= 2.1 if device == "phone" else 1.4
        if kind not in ("full", "viewer"):
            kind = "video"
    shapes = [0.75, 0.5625, 1.0, 1.3333, 1.7778] if upright else [0.75, 1.3333, 1.5, 1.7778]
    return Page(
        kind=kind,
        seed=int(random.integers(2**31)),
        contents=contents,
        shape=float(random.choice(shapes)),
        dark=bool(random.random() < (0.8 if kind == "viewer" else 0.4)),
        wide=wide * float(random.uniform(0.85, 1.2)),
        handheld=handheld,
    )
