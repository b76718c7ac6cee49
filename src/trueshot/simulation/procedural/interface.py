"""Screen contents: application and web pages, desktops with windows, phone home screens.

They are drawn at twice the final size, so that corners and letters become smooth.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trueshot.simulation.colour import Linear, Random, between, decode_srgb, encode_srgb, to_bytes
from trueshot.simulation.procedural.gradients import bokeh, sky
from trueshot.simulation.procedural.leaves import dead_leaves
from trueshot.simulation.procedural.objects import objects
from trueshot.simulation.procedural.text import (
    Ink,
    labels,
    random_ink,
    size_near,
    words,
    write_line,
    write_paragraph,
)
from trueshot.simulation.procedural.textures import texture

_WHITE: Ink = (255, 255, 255)
_LARGEST = 250  # largest side of a generated picture, in pixels; pages stretch it if needed
_ARROW = ((0, 0), (0, 17), (4, 13.2), (6.8, 19.4), (9.4, 18.2), (6.6, 12.2), (12, 12))


@dataclass(frozen=True)
class _Theme:
    """Colours of a page: background, raised surface, lines, text, fainter text and accent."""

    ground: Ink
    surface: Ink
    line: Ink
    text: Ink
    faint: Ink
    accent: Ink


@dataclass(frozen=True)
class _Page:
    """A canvas with its drawing pen, its theme and its text size in canvas pixels."""

    canvas: Image.Image
    pen: ImageDraw.ImageDraw
    theme: _Theme
    size: int

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: Ink, r: float
    ) -> None:
        """Fill a rectangle with corners of radius `r`; do nothing if a side is 2 pixels or less."""
        if right - left > 2 and bottom - top > 2:
            r = min(r, (right - left) / 2, (bottom - top) / 2)
            self.pen.rounded_rectangle((left, top, right, bottom), r, fill=fill)

    def write(
        self, left: float, top: float, text: list[str], ink: Ink, size: int | None = None
    ) -> float:
        """Write words in a line, in the page's text size or another; return where it ends."""
        return write_line(self.canvas, (left, top), text, size or self.size, ink)

    def rule(self, left: float, top: float, right: float, bottom: float) -> None:
        """Draw a thin line."""
        self.pen.line((left, top, right, bottom), fill=self.theme.line, width=2)


def interface(random: Random, height: int, width: int) -> Linear:
    """Draw part of a screen at native resolution: 10 to 20 pixel text, bars, lists, pictures.

    Returns:
        Linear light between 0 and 1, shape (h, w, 3).
    """
    canvas = Image.new("RGB", (2 * width, 2 * height))
    size = size_near(2 * between(random, 9.5, 19))
    page = _Page(canvas, ImageDraw.Draw(canvas), _theme(random), size)
    kind = random.random()
    if kind < 0.65:
        _application(random, page, _around(random, canvas))
    elif kind < 0.85:
        _desktop(random, page)
    else:
        _home(random, page)
    if random.random() < 0.3:
        _menu(random, page)
    if random.random() < 0.5:
        _pointer(random, page)
    light: Linear = decode_srgb(np.asarray(canvas.reduce(2)))
    return light


def _theme(random: Random) -> _Theme:
    hue = random.random()
    accent = _colour(hue, random.uniform(0.6, 0.95), random.uniform(0.55, 0.9))
    tint = random.choice([0, 0.03, 0.12])
    if random.random() < 0.62:
        low, high = random.choice([0.93, 0.96, 1.0]), random.choice([0.97, 1.0])
        levels = (low, high, random.uniform(0.82, 0.9), random.uniform(0.05, 0.2), 0.5)
    else:
        low = random.choice([0.0, 0.07, 0.12, 0.18])
        levels = (low, low + 0.05, low + 0.12, random.uniform(0.82, 1), 0.6)
    ground, surface, line, text, faint = (_colour(hue, tint, level) for level in levels)
    return _Theme(ground, surface, line, text, faint, accent)


def _colour(hue: float, saturation: float, value: float) -> Ink:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value))
    return int(255 * red), int(255 * green), int(255 * blue)


def _around(random: Random, canvas: Image.Image) -> tuple[float, float, float, float]:
    """Draw a window's box that covers the canvas and often begins above or left of it."""
    wide, tall = canvas.size
    left = -random.choice([0, random.uniform(0, 0.8)]) * wide
    top = -random.choice([0, random.uniform(0, 1)]) * tall
    return left, top, wide * random.uniform(1, 1.5), tall


def _application(random: Random, page: _Page, box: tuple[float, float, float, float]) -> None:
    """Draw a window's content: a top bar, sometimes a sidebar, and widgets in columns."""
    left, top, right, bottom = box
    size, theme = page.size, page.theme
    page.box(left, top, right, bottom, theme.ground, 0)
    top = _bar(random, page, left, top, right)
    if random.random() < 0.4:
        left = _sidebar(random, page, left, top, bottom)
    margin = size * random.uniform(0.6, 2.5)
    columns = 2 if right - left > 45 * size and random.random() < 0.5 else 1
    wide = (right - left - margin * (columns + 1)) / columns
    for column in range(columns):
        x, y = left + margin + column * (wide + margin), top + margin
        while y < bottom:
            widget = _WIDGETS[random.integers(len(_WIDGETS))]
            y = widget(random, page, x, y, x + wide) + random.uniform(0, 0.8) * size


def _bar(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a bar of icons, sometimes a search field, and tabs; return its lower end."""
    size, theme = page.size, page.theme
    strong = random.random() < 0.3
    fill, ink = (theme.accent, _WHITE) if strong else (theme.surface, theme.text)
    bottom = top + size * random.uniform(2.4, 3.6)
    middle = (top + bottom) / 2
    page.box(left, top, right, bottom, fill, 0)
    x = left + 1.5 * size
    for _ in range(random.integers(1, 5)):
        icon(random, page.pen, x, middle, 0.5 * size, ink)
        x += 2 * size
    if random.random() < 0.5:
        page.box(x, middle - 0.9 * size, x + 14 * size, middle + 0.9 * size, theme.line, 99)
        x = page.write(x + size, middle - 0.6 * size, words(random, 2), theme.faint)
        x += 13 * size
    for word in labels(random, int(random.integers(2, 7))):
        x = page.write(x, middle - 0.6 * size, [word], ink) + 1.2 * size
    page.rule(left, bottom, right, bottom)
    return bottom + 2


def _sidebar(random: Random, page: _Page, left: float, top: float, bottom: float) -> float:
    """Draw a list of icons and words, one of them selected; return the sidebar's right end."""
    size, theme = page.size, page.theme
    right = left + size * random.uniform(9, 14)
    page.box(left, top, right, bottom, theme.surface, 0)
    rows = max(1, int((bottom - top) / (2.2 * size)))
    chosen = random.integers(rows)
    for row in range(rows):
        y = top + (2.2 * row + 0.5) * size
        if row == chosen:
            page.box(left + 4, y - 0.4 * size, right - 4, y + 1.7 * size, theme.line, 0.4 * size)
        icon(random, page.pen, left + 1.4 * size, y + 0.6 * size, 0.45 * size, theme.accent)
        page.write(left + 2.6 * size, y, labels(random, 2)[:2], theme.text)
    page.rule(right, top, right, bottom)
    return right


def _desktop(random: Random, page: _Page) -> None:
    """Draw a wallpaper, icons, one or two windows with shadows, and a bar at the bottom."""
    wide, tall = page.canvas.size
    size, theme = page.size, page.theme
    page.canvas.paste(_picture(random, wide, tall))
    for row in range(random.integers(0, 6)):
        x, y = 2.5 * size, (1 + 5 * row) * size
        page.box(
            x - size, y, x + size, y + 2 * size, _colour(random.random(), 0.6, 0.8), 0.4 * size
        )
        icon(random, page.pen, x, y + size, 0.6 * size, _WHITE)
        page.write(x - 1.5 * size, y + 2.3 * size, labels(random, 1), _WHITE)
    for _ in range(random.integers(1, 3)):
        left, top = int(random.uniform(-0.3, 0.5) * wide), int(random.uniform(-0.3, 0.5) * tall)
        right, bottom = left + int(random.uniform(0.5, 1) * wide), top + int(0.8 * tall)
        box = (left, top, right, bottom)
        _raised(page, box, 0.5 * size)
        part = page.canvas.crop(box)
        inside = _Page(part, ImageDraw.Draw(part), theme, size)
        _application(random, inside, (0, 0, part.width, part.height))
        _paste(page, part, left, top, 0.5 * size)
    page.box(0, tall - 3 * size, wide, tall, theme.surface, 0)
    for place in np.arange(2.0, wide / size, 3.2):
        icon(random, page.pen, place * size, tall - 1.5 * size, 0.7 * size, theme.accent)


def _home(random: Random, page: _Page) -> None:
    """Draw a phone's home screen: a clock and rows of named icons over a wallpaper."""
    wide, tall = page.canvas.size
    size = page.size
    page.canvas.paste(_picture(random, wide, tall))
    clock = [f"{random.integers(24)}:{random.integers(60):02d}"]
    page.write(0.3 * wide, 0.5 * size, clock, _WHITE, size_near(3 * size))
    step, side = size * random.uniform(5, 6.5), 3.4 * size
    corner = side * random.choice([0.15, 0.28, 0.5])
    for y in np.arange(random.uniform(3, 6) * size, tall, step * 1.15):
        for x in np.arange(random.uniform(-0.5, 1) * size, wide, step):
            fill = _colour(random.random(), random.uniform(0, 0.9), random.uniform(0.3, 1))
            page.box(x, y, x + side, y + side, fill, corner)
            icon(random, page.pen, x + side / 2, y + side / 2, 0.27 * side, _WHITE)
            name = labels(random, 1)
            page.write(x, y + side + 0.2 * size, name, _WHITE)


def _menu(random: Random, page: _Page) -> None:
    """Draw a menu on top of everything else."""
    wide, tall = page.canvas.size
    size, theme = page.size, page.theme
    x, y = random.uniform(0, 0.7) * wide, random.uniform(0, 0.7) * tall
    rows = int(random.integers(2, 8))
    right, bottom = x + size * random.uniform(9, 18), y + (2 * rows + 0.8) * size
    _raised(page, (x, y, right, bottom), 0.5 * size)
    page.box(x, y, right, bottom, theme.surface, 0.5 * size)
    chosen = random.integers(rows)
    for row in range(rows):
        top = y + (2 * row + 0.7) * size
        if row == chosen:
            page.box(x + 4, top - 0.3 * size, right - 4, top + 1.6 * size, theme.line, 0.3 * size)
        page.write(x + size, top, labels(random, 2), theme.text)


def _raised(page: _Page, box: tuple[float, ...], corner: float) -> None:
    """Draw the soft shadow of a window."""
    wide, tall = page.canvas.size
    shadow = Image.new("L", (wide // 4, tall // 4))
    outline = [place / 4 + (0, 1)[at % 2] for at, place in enumerate(box)]
    ImageDraw.Draw(shadow).rounded_rectangle(outline, corner / 4, fill=125)
    for _ in range(2):
        shadow = shadow.filter(ImageFilter.BoxBlur(page.size / 8))
    shadow = shadow.resize(page.canvas.size, Image.Resampling.BILINEAR)
    page.canvas.paste((0, 0, 0), (0, 0), shadow)


def _pointer(random: Random, page: _Page) -> None:
    """Draw a mouse pointer, black with a white rim or white with a black one."""
    x, y = (random.random() * side for side in page.canvas.size)
    scale = page.size / 14 * random.uniform(0.9, 1.6)
    points = [(x + scale * across, y + scale * down) for across, down in _ARROW]
    inside, rim = ((0, 0, 0), _WHITE)[:: random.choice([-1, 1])]
    page.pen.polygon(points, fill=inside)
    page.pen.line([*points, points[0]], fill=rim, width=max(2, int(scale * 1.2)), joint="curve")


def icon(
    random: Random, pen: ImageDraw.ImageDraw, x: float, y: float, half: float, ink: Ink
) -> None:
    """Draw an icon centred at (x, y): ring, cross, bars, triangle, window, dots or magnifier."""
    line = max(2, int(half / 3.5))
    box = (x - half, y - half, x + half, y + half)
    kind = random.integers(7)
    if kind == 0:
        pen.ellipse(box, outline=ink, width=line)
    elif kind == 1:
        pen.line((x - half, y, x + half, y), fill=ink, width=line)
        pen.line((x, y - half, x, y + half), fill=ink, width=line)
    elif kind == 2:
        for step in (-0.7, 0, 0.7):
            pen.line((x - half, y + step * half, x + half, y + step * half), fill=ink, width=line)
    elif kind == 3:
        pen.polygon((x - 0.7 * half, y - half, x + half, y, x - 0.7 * half, y + half), fill=ink)
    elif kind == 4:
        pen.rounded_rectangle(box, half / 3, outline=ink, width=line)
        pen.line((x - half, y - 0.3 * half, x + half, y - 0.3 * half), fill=ink, width=line)
    elif kind == 5:
        for step in (-0.8, 0, 0.8):
            pen.circle((x + step * half, y), line, fill=ink)
    else:
        pen.ellipse((x - half, y - half, x + 0.4 * half, y + 0.4 * half), outline=ink, width=line)
        pen.line((x + 0.2 * half, y + 0.2 * half, x + half, y + half), fill=ink, width=line)


def _picture(random: Random, wide: float, tall: float) -> Image.Image:
    """Make a procedural picture of `wide` by `tall` pixels."""
    share = min(0.5, _LARGEST / max(wide, tall))
    height, width = max(8, int(share * tall)), max(8, int(share * wide))
    scene = (dead_leaves, objects, texture, sky, bokeh)[random.integers(5)]
    image = Image.fromarray(to_bytes(encode_srgb(scene(random, height, width))))
    return image.resize((max(1, int(wide)), max(1, int(tall))), Image.Resampling.BILINEAR)


def _paste(page: _Page, image: Image.Image, x: float, y: float, r: float) -> None:
    """Paste an image onto the canvas at (x, y), with corners of radius `r`."""
    corners = Image.new("L", image.size)
    outline = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(corners).rounded_rectangle(outline, r, fill=255)
    page.canvas.paste(image, (int(x), int(y)), corners)


# Widgets: each draws below `top` and returns where it ends.

_Widget = Callable[[Random, _Page, float, float, float], float]  # left, top, right -> bottom


def _heading(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a title, sometimes with a button on its right."""
    large = int(page.size * random.choice([1.3, 1.6, 2.2]))
    page.write(left, top, words(random, int(random.integers(1, 5))), page.theme.text, large)
    if random.random() < 0.3:
        _button(random, page, right - 6 * page.size, top, right)
    return top + 1.6 * large


def _paragraph(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a paragraph of text."""
    box = (left, top, right, top + 1.4 * page.size * random.integers(2, 7) + 1)
    ink = page.theme.text if random.random() < 0.7 else page.theme.faint
    return write_paragraph(random, page.canvas, box, page.size, ink) + 0.6 * page.size


def _button(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a button: a word on a rounded box in the accent or the line colour."""
    size, theme = page.size, page.theme
    strong = random.random() < 0.6
    right = min(right, left + random.uniform(5, 9) * size)
    bottom = top + 2.1 * size
    page.box(left, top, right, bottom, theme.accent if strong else theme.line, size * 0.5)
    ink = _WHITE if strong else theme.text
    page.write(left + size, top + 0.4 * size, labels(random, 1), ink)
    return bottom + 0.6 * size


def _form(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a form: labelled text fields, a switch and a button."""
    size, theme = page.size, page.theme
    for _ in range(random.integers(1, 4)):
        page.write(left, top, labels(random, 2), theme.faint)
        page.box(left, top + 1.5 * size, right, top + 3.7 * size, theme.line, size * 0.4)
        inside = theme.surface
        page.box(
            left + 2, top + 1.5 * size + 2, right - 2, top + 3.7 * size - 2, inside, size * 0.4
        )
        page.write(left + 0.6 * size, top + 1.9 * size, words(random, 3, 0.4), theme.text)
        top += 4.4 * size
    on = random.random() < 0.5
    page.box(left, top, left + 2.4 * size, top + 1.3 * size, theme.accent if on else theme.line, 99)
    knob = left + (1.15 if on else 0.1) * size
    page.box(knob, top + 0.1 * size, knob + 1.1 * size, top + 1.2 * size, _WHITE, 99)
    page.write(left + 3 * size, top, labels(random, 4), theme.text)
    return _button(random, page, left, top + 2 * size, right)


def _table(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a table of words and numbers, ruled, striped, both or neither."""
    size, theme = page.size, page.theme
    columns, rows = int(random.integers(2, 7)), int(random.integers(4, 14))
    striped, ruled = random.random() < 0.5, random.random() < 0.6
    tall, wide = size * random.uniform(1.5, 2.3), (right - left) / columns
    for row in range(rows):
        y = top + row * tall
        if y > page.canvas.height:
            break
        if row == 0 or (striped and row % 2):
            page.box(left, y, right, y + tall, theme.line if row == 0 else theme.surface, 0)
        for column in range(columns):
            text = words(random, 1, 0 if row == 0 or column == 0 else 0.8)
            x, ink = left + column * wide + 0.4 * size, theme.faint if row == 0 else theme.text
            page.write(x, y + (tall - 1.3 * size) / 2, text, ink)
        if ruled:
            page.rule(left, y + tall, right, y + tall)
    if ruled and random.random() < 0.5:
        for column in range(columns + 1):
            x = left + column * wide
            page.rule(x, top, x, top + rows * tall)
    return top + rows * tall + 0.8 * size


def _entries(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a list; entries have a round or square icon, a name, a line of text and a number."""
    size, theme = page.size, page.theme
    around = random.random() < 0.5
    for _ in range(random.integers(3, 8)):
        side = 2.6 * size
        shade = random_ink(random, 40, 225)
        page.box(left, top, left + side, top + side, shade, 99 if around else 0.4 * size)
        icon(random, page.pen, left + side / 2, top + side / 2, 0.7 * size, _WHITE)
        x = left + side + 0.8 * size
        page.write(x, top, labels(random, 2), theme.text)
        below = words(random, int(random.integers(3, 7)))
        page.write(x, top + 1.35 * size, below, theme.faint)
        page.write(right - 3 * size, top, words(random, 1, 1), theme.faint)
        top += 3.3 * size
        page.rule(x, top - 0.3 * size, right, top - 0.3 * size)
    return top + 0.5 * size


def _cards(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a grid of cards, each with a caption and one of two pictures."""
    size, theme = page.size, page.theme
    columns = int(random.integers(2, 5))
    gap = size * random.uniform(0.3, 1.2)
    wide = (right - left - gap * (columns - 1)) / columns
    tall = wide * random.uniform(0.6, 1.0)
    rows = int(random.integers(1, 3))
    if top + rows * (tall + 3.3 * size + gap) < 0:  # above the canvas
        return top + rows * (tall + 3.3 * size + gap)
    shown = [_picture(random, wide, tall) for _ in range(2)]
    for _ in range(rows):
        for column in range(columns):
            x = left + column * (wide + gap)
            page.box(x, top, x + wide, top + tall + 3.3 * size, theme.surface, 0.5 * size)
            _paste(page, shown[random.integers(2)], x, top, 0.5 * size)
            caption, price = labels(random, 2), words(random, 1, 1)
            page.write(x + 0.4 * size, top + tall + 0.3 * size, caption, theme.text)
            page.write(x + 0.4 * size, top + tall + 1.7 * size, price, theme.accent)
        top += tall + 3.3 * size + gap
    return top + 0.5 * size


def _photo(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a large picture, sometimes with a video player's progress bar and knob on it."""
    size = page.size
    wide = right - left
    tall = wide * random.uniform(0.5, 0.8)
    if top + tall < 0:  # above the canvas
        return top + tall + size
    _paste(page, _picture(random, wide, tall), left, top, random.choice([0, 1]) * size)
    if random.random() < 0.5:
        y, done = top + tall - 1.2 * size, left + wide * random.uniform(0.1, 0.9)
        page.box(left + size, y, right - size, y + 0.25 * size, (190, 190, 190), 9)
        page.box(left + size, y, done, y + 0.25 * size, page.theme.accent, 9)
        page.box(done - 0.4 * size, y - 0.3 * size, done + 0.4 * size, y + 0.5 * size, _WHITE, 99)
    return top + tall + size


def _chart(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a chart: bars or lines over a faint grid, with numbers at the left."""
    size, theme = page.size, page.theme
    tall, start = 11.0 * size, left + 3 * size
    for step in range(5):
        y = top + tall * step / 4
        page.rule(start, y, right, y)
        page.write(left, y - 0.6 * size, [str(100 - 25 * step)], theme.faint)
    count = int(random.integers(5, 24))
    each = (right - start) / count
    if random.random() < 0.5:
        for number, value in enumerate(random.uniform(0.1, 1, count)):
            x = start + number * each
            page.box(
                x + 0.15 * each, top + tall * value, x + 0.85 * each, top + tall, theme.accent, 3
            )
    else:
        for colour in (theme.accent, random_ink(random, 40, 225)):
            walk = np.cumsum(random.normal(0, 0.12, count))
            values = (walk - walk.min()) / max(0.1, np.ptp(walk))
            points = [(start + i * each, top + tall * float(v)) for i, v in enumerate(values)]
            page.pen.line(points, fill=colour, width=max(2, page.size // 7), joint="curve")
    return top + tall + size


def _chat(random: Random, page: _Page, left: float, top: float, right: float) -> float:
    """Draw a chat: messages in bubbles, on the left and on the right."""
    size, theme = page.size, page.theme
    for _ in range(random.integers(2, 6)):
        mine = random.random() < 0.5
        lines = int(random.integers(1, 4))
        wide = (right - left) * random.uniform(0.3, 0.75)
        x = right - wide if mine else left
        tall = 1.4 * size * lines + 1.1 * size
        page.box(x, top, x + wide, top + tall, theme.accent if mine else theme.line, 0.9 * size)
        ink = _WHITE if mine else theme.text
        box = (x + 0.7 * size, top + 0.5 * size, x + wide - 0.5 * size, top + tall)
        write_paragraph(random, page.canvas, box, size, ink)
        top += tall + 0.6 * size
    return top + 0.4 * size


_WIDGETS: tuple[_Widget, ...] = (
    _heading, _heading, _paragraph, _paragraph,
    _form, _table, _entries, _cards, _photo, _chart, _chat,
)  # fmt: skip
