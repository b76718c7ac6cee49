"""Widgets of screen pages: each function draws below `top` and returns where it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trueshot.simulation.colour import Random
from trueshot.simulation.procedural.canvas import Page, icon, mixed, paste, picture
from trueshot.simulation.procedural.lettering import labels, words, write_line, write_paragraph

Widget = Callable[[Random, Page, float, float, float], float]  # left, top, right -> bottom


def heading(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a title, sometimes with a button on its right."""
    large = int(page.size * random.choice([1.3, 1.6, 2.2]))
    write_line(
        page.canvas, (left, top), words(random, int(random.integers(1, 5))), large, page.theme.text
    )
    if random.random() < 0.3:
        button(random, page, right - 6 * page.size, top, right)
    return top + 1.6 * large


def paragraph(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a paragraph of text."""
    box = (left, top, right, top + 1.4 * page.size * random.integers(2, 7) + 1)
    ink = page.theme.text if random.random() < 0.7 else page.theme.faint
    return write_paragraph(random, page.canvas, box, page.size, ink) + 0.6 * page.size


def button(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a button: a word on a rounded box in the accent or the line colour."""
    size, theme = page.size, page.theme
    strong = random.random() < 0.6
    right = min(right, left + random.uniform(5, 9) * size)
    bottom = top + 2.1 * size
    page.box(left, top, right, bottom, theme.accent if strong else theme.line, size * 0.5)
    ink = (255, 255, 255) if strong else theme.text
    write_line(page.canvas, (left + size, top + 0.4 * size), labels(random, 1), size, ink)
    return bottom + 0.6 * size


def form(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a form: labelled text fields, a switch and a button."""
    size, theme = page.size, page.theme
    for _ in range(random.integers(1, 4)):
        write_line(page.canvas, (left, top), labels(random, 2), size, theme.faint)
        page.box(left, top + 1.5 * size, right, top + 3.7 * size, theme.line, size * 0.4)
        inside = theme.surface
        page.box(
            left + 2, top + 1.5 * size + 2, right - 2, top + 3.7 * size - 2, inside, size * 0.4
        )
        place = (left + 0.6 * size, top + 1.9 * size)
        write_line(page.canvas, place, words(random, 3, 0.4), size, theme.text)
        top += 4.4 * size
    on = random.random() < 0.5
    page.box(left, top, left + 2.4 * size, top + 1.3 * size, theme.accent if on else theme.line, 99)
    knob = left + (1.15 if on else 0.1) * size
    page.box(knob, top + 0.1 * size, knob + 1.1 * size, top + 1.2 * size, (255, 255, 255), 99)
    write_line(page.canvas, (left + 3 * size, top), labels(random, 4), size, theme.text)
    return button(random, page, left, top + 2 * size, right)


def table(random: Random, page: Page, left: float, top: float, right: float) -> float:
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
            place = (left + column * wide + 0.4 * size, y + (tall - 1.3 * size) / 2)
            write_line(page.canvas, place, text, size, theme.faint if row == 0 else theme.text)
        if ruled:
            page.pen.line((left, y + tall, right, y + tall), fill=theme.line, width=2)
    if ruled and random.random() < 0.5:
        for column in range(columns + 1):
            x = left + column * wide
            page.pen.line((x, top, x, top + rows * tall), fill=theme.line, width=2)
    return top + rows * tall + 0.8 * size


def entries(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a list; entries have a round or square icon, a name, a line of text and a number."""
    size, theme = page.size, page.theme
    around = random.random() < 0.5
    for _ in range(random.integers(3, 8)):
        side = 2.6 * size
        shade = mixed(random)
        page.box(left, top, left + side, top + side, shade, 99 if around else 0.4 * size)
        icon(random, page, left + side / 2, top + side / 2, 0.7 * size, (255, 255, 255))
        x = left + side + 0.8 * size
        write_line(page.canvas, (x, top), labels(random, 2), size, theme.text)
        below = words(random, int(random.integers(3, 7)))
        write_line(page.canvas, (x, top + 1.35 * size), below, size, theme.faint)
        write_line(page.canvas, (right - 3 * size, top), words(random, 1, 1), size, theme.faint)
        top += 3.3 * size
        page.pen.line((x, top - 0.3 * size, right, top - 0.3 * size), fill=theme.line, width=2)
    return top + 0.5 * size


def cards(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a grid of cards, each with a caption and one of two pictures."""
    size, theme = page.size, page.theme
    columns = int(random.integers(2, 5))
    gap = size * random.uniform(0.3, 1.2)
    wide = (right - left - gap * (columns - 1)) / columns
    tall = wide * random.uniform(0.6, 1.0)
    rows = int(random.integers(1, 3))
    if top + rows * (tall + 3.3 * size + gap) < 0:  # above the canvas
        return top + rows * (tall + 3.3 * size + gap)
    shown = [picture(random, wide, tall) for _ in range(2)]
    for _ in range(rows):
        for column in range(columns):
            x = left + column * (wide + gap)
            page.box(x, top, x + wide, top + tall + 3.3 * size, theme.surface, 0.5 * size)
            paste(page, shown[random.integers(2)], x, top, 0.5 * size)
            caption, price = labels(random, 2), words(random, 1, 1)
            write_line(
                page.canvas, (x + 0.4 * size, top + tall + 0.3 * size), caption, size, theme.text
            )
            write_line(
                page.canvas, (x + 0.4 * size, top + tall + 1.7 * size), price, size, theme.accent
            )
        top += tall + 3.3 * size + gap
    return top + 0.5 * size


def photo(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a large picture, sometimes with a video player's progress bar and knob on it."""
    size = page.size
    wide = right - left
    tall = wide * random.uniform(0.5, 0.8)
    if top + tall < 0:  # above the canvas
        return top + tall + size
    paste(page, picture(random, wide, tall), left, top, random.choice([0, 1]) * size)
    if random.random() < 0.5:
        y, done = top + tall - 1.2 * size, left + wide * random.uniform(0.1, 0.9)
        page.box(left + size, y, right - size, y + 0.25 * size, (190, 190, 190), 9)
        page.box(left + size, y, done, y + 0.25 * size, page.theme.accent, 9)
        page.box(
            done - 0.4 * size, y - 0.3 * size, done + 0.4 * size, y + 0.5 * size, (255,) * 3, 99
        )
    return top + tall + size


def chart(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a chart: bars or lines over a faint grid, with numbers at the left."""
    size, theme = page.size, page.theme
    tall, start = 11.0 * size, left + 3 * size
    for step in range(5):
        y = top + tall * step / 4
        page.pen.line((start, y, right, y), fill=theme.line, width=2)
        write_line(page.canvas, (left, y - 0.6 * size), [str(100 - 25 * step)], size, theme.faint)
    count = int(random.integers(5, 24))
    each = (right - start) / count
    if random.random() < 0.5:
        for number, value in enumerate(random.uniform(0.1, 1, count)):
            x = start + number * each
            page.box(
                x + 0.15 * each, top + tall * value, x + 0.85 * each, top + tall, theme.accent, 3
            )
    else:
        for colour in (theme.accent, mixed(random)):
            walk = np.cumsum(random.normal(0, 0.12, count))
            values = (walk - walk.min()) / max(0.1, np.ptp(walk))
            points = [(start + i * each, top + tall * float(v)) for i, v in enumerate(values)]
            page.pen.line(points, fill=colour, width=max(2, page.size // 7), joint="curve")
    return top + tall + size


def chat(random: Random, page: Page, left: float, top: float, right: float) -> float:
    """Draw a chat: messages in bubbles, on the left and on the right."""
    size, theme = page.size, page.theme
    for _ in range(random.integers(2, 6)):
        mine = random.random() < 0.5
        lines = int(random.integers(1, 4))
        wide = (right - left) * random.uniform(0.3, 0.75)
        x = right - wide if mine else left
        tall = 1.4 * size * lines + 1.1 * size
        page.box(x, top, x + wide, top + tall, theme.accent if mine else theme.line, 0.9 * size)
        ink = (255, 255, 255) if mine else theme.text
        box = (x + 0.7 * size, top + 0.5 * size, x + wide - 0.5 * size, top + tall)
        write_paragraph(random, page.canvas, box, size, ink)
        top += tall + 0.6 * size
    return top + 0.4 * size


WIDGETS: tuple[Widget, ...] = (
    heading, heading, paragraph, paragraph, form, table, entries, cards, photo, chart, chat,
)  # fmt: skip
