"""Screen contents: application and web pages, desktops with windows, phone home screens."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trueshot.simulation.colour import Linear, Random, between, decode_srgb
from trueshot.simulation.procedural.canvas import Page, Theme, icon, paste, picture
from trueshot.simulation.procedural.lettering import Ink, labels, size_near, words, write_line
from trueshot.simulation.procedural.widgets import WIDGETS

_ARROW = ((0, 0), (0, 17), (4, 13.2), (6.8, 19.4), (9.4, 18.2), (6.6, 12.2), (12, 12))


def interface(random: Random, height: int, width: int) -> Linear:
    """Draw part of a screen at native resolution: 10 to 20 pixel text, bars, lists, pictures.

    Returns:
        Linear light between 0 and 1, shape (h, w, 3).
    """
    canvas = Image.new("RGB", (2 * width, 2 * height))
    size = size_near(2 * between(random, 9.5, 19))
    page = Page(canvas, ImageDraw.Draw(canvas), _theme(random), size)
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


def _theme(random: Random) -> Theme:
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
    return Theme(ground, surface, line, text, faint, accent)


def _colour(hue: float, saturation: float, value: float) -> Ink:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value))
    return int(255 * red), int(255 * green), int(255 * blue)


def _around(random: Random, canvas: Image.Image) -> tuple[float, float, float, float]:
    """Draw a window's box that covers the canvas and often begins above or left of it."""
    wide, tall = canvas.size
    left = -random.choice([0, random.uniform(0, 0.8)]) * wide
    top = -random.choice([0, random.uniform(0, 1)]) * tall
    return left, top, wide * random.uniform(1, 1.5), tall


def _application(random: Random, page: Page, box: tuple[float, float, float, float]) -> None:
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
            widget = WIDGETS[random.integers(len(WIDGETS))]
            y = widget(random, page, x, y, x + wide) + random.uniform(0, 0.8) * size


def _bar(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a bar of icons, sometimes a search field, and tabs; return its lower end."""
    size, theme = page.size, page.theme
    strong = random.random() < 0.3
    fill, ink = (theme.accent, (255, 255, 255)) if strong else (theme.surface, theme.text)
    bottom = top + size * random.uniform(2.4, 3.6)
    middle = (top + bottom) / 2
    page.box(left, top, right, bottom, fill, 0)
    x = left + 1.5 * size
    for _ in range(random.integers(1, 5)):
        icon(random, page, x, middle, 0.5 * size, ink)
        x += 2 * size
    if random.random() < 0.5:
        page.box(x, middle - 0.9 * size, x + 14 * size, middle + 0.9 * size, theme.line, 99)
        place = (x + size, middle - 0.6 * size)
        x = write_line(page.canvas, place, words(random, 2), size, theme.faint)
        x += 13 * size
    for word in labels(random, int(random.integers(2, 7))):
        x = write_line(page.canvas, (x, middle - 0.6 * size), [word], size, ink) + 1.2 * size
    page.pen.line((left, bottom, right, bottom), fill=theme.line, width=2)
    return bottom + 2


def _sidebar(random: Random, page: Page, left: float, top: float, bottom: float) -> float:
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
        icon(random, page, left + 1.4 * size, y + 0.6 * size, 0.45 * size, theme.accent)
        write_line(page.canvas, (left + 2.6 * size, y), labels(random, 2)[:2], size, theme.text)
    page.pen.line((right, top, right, bottom), fill=theme.line, width=2)
    return right


def _desktop(random: Random, page: Page) -> None:
    """Draw a wallpaper, icons, one or two windows with shadows, and a bar at the bottom."""
    wide, tall = page.canvas.size
    size, theme = page.size, page.theme
    page.canvas.paste(picture(random, wide, tall))
    for row in range(random.integers(0, 6)):
        x, y = 2.5 * size, (1 + 5 * row) * size
        page.box(
            x - size, y, x + size, y + 2 * size, _colour(random.random(), 0.6, 0.8), 0.4 * size
        )
        icon(random, page, x, y + size, 0.6 * size, (255, 255, 255))
        write_line(
            page.canvas, (x - 1.5 * size, y + 2.3 * size), labels(random, 1), size, (255,) * 3
        )
    for _ in range(random.integers(1, 3)):
        left, top = int(random.uniform(-0.3, 0.5) * wide), int(random.uniform(-0.3, 0.5) * tall)
        right, bottom = left + int(random.uniform(0.5, 1) * wide), top + int(0.8 * tall)
        box = (left, top, right, bottom)
        _raised(page, box, 0.5 * size)
        part = page.canvas.crop(box)
        inside = Page(part, ImageDraw.Draw(part), theme, size)
        _application(random, inside, (0, 0, part.width, part.height))
        paste(page, part, left, top, 0.5 * size)
    page.box(0, tall - 3 * size, wide, tall, theme.surface, 0)
    for place in np.arange(2.0, wide / size, 3.2):
        icon(random, page, place * size, tall - 1.5 * size, 0.7 * size, theme.accent)


def _home(random: Random, page: Page) -> None:
    """Draw a phone's home screen: a clock and rows of named icons over a wallpaper."""
    wide, tall = page.canvas.size
    size = page.size
    page.canvas.paste(picture(random, wide, tall))
    clock = [f"{random.integers(24)}:{random.integers(60):02d}"]
    write_line(page.canvas, (0.3 * wide, 0.5 * size), clock, size_near(3 * size), (255, 255, 255))
    step, side = size * random.uniform(5, 6.5), 3.4 * size
    corner = side * random.choice([0.15, 0.28, 0.5])
    for y in np.arange(random.uniform(3, 6) * size, tall, step * 1.15):
        for x in np.arange(random.uniform(-0.5, 1) * size, wide, step):
            fill = _colour(random.random(), random.uniform(0, 0.9), random.uniform(0.3, 1))
            page.box(x, y, x + side, y + side, fill, corner)
            icon(random, page, x + side / 2, y + side / 2, 0.27 * side, (255, 255, 255))
            name = labels(random, 1)
            write_line(page.canvas, (x, y + side + 0.2 * size), name, size, (255, 255, 255))


def _menu(random: Random, page: Page) -> None:
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
        write_line(page.canvas, (x + size, top), labels(random, 2), size, theme.text)


def _raised(page: Page, box: tuple[float, ...], corner: float) -> None:
    """Draw the soft shadow of a window."""
    wide, tall = page.canvas.size
    shadow = Image.new("L", (wide // 4, tall // 4))
    outline = [place / 4 + (0, 1)[at % 2] for at, place in enumerate(box)]
    ImageDraw.Draw(shadow).rounded_rectangle(outline, corner / 4, fill=125)
    for _ in range(2):
        shadow = shadow.filter(ImageFilter.BoxBlur(page.size / 8))
    shadow = shadow.resize(page.canvas.size, Image.Resampling.BILINEAR)
    page.canvas.paste((0, 0, 0), (0, 0), shadow)


def _pointer(random: Random, page: Page) -> None:
    """Draw a mouse pointer, black with a white rim or white with a black one."""
    x, y = (random.random() * side for side in page.canvas.size)
    scale = page.size / 14 * random.uniform(0.9, 1.6)
    points = [(x + scale * across, y + scale * down) for across, down in _ARROW]
    inside, rim = ((0, 0, 0), (255, 255, 255))[:: random.choice([-1, 1])]
    page.pen.polygon(points, fill=inside)
    page.pen.line([*points, points[0]], fill=rim, width=max(2, int(scale * 1.2)), joint="curve")
