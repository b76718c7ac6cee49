"""A drawing surface with its own units, independent of its size in pixels; pages use it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from trueshot.simulation.colour import Random
from trueshot.simulation.procedural.interface import icon
from trueshot.simulation.procedural.text import Ink, labels, size_near, words, write_line
from trueshot.simulation.staging.content import Content
from trueshot.simulation.staging.geometry import Box

WHITE: Ink = (255, 255, 255)
BLACK: Ink = (0, 0, 0)
_LEGIBLE = 7  # pixels; smaller text is drawn as a grey band, as a camera sees it


class Sheet:
    """An RGB image with a pen, measured in units of which `wide` fit across it.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        wide: Width in units.
        fill: Colour of the background.
    """

    def __init__(self, height: int, width: int, wide: float, fill: Ink) -> None:
        self.image = Image.new("RGB", (width, height), fill)
        self.pen = ImageDraw.Draw(self.image)
        self.unit = width / wide
        self.wide, self.tall = wide, height / self.unit
        self.ground = fill

    def box(self, box: Box, fill: Ink, corner: float = 0.0) -> None:
        """Draw a filled rectangle, unless it is thinner than a third of a pixel."""
        left, top, right, bottom = (place * self.unit for place in box)
        if right - left < 0.33 or bottom - top < 0.33:
            return
        place = (
            round(left),
            round(top),
            max(round(left), round(right) - 1),
            max(round(top), round(bottom) - 1),
        )
        if corner * self.unit < 1 or min(place[2] - place[0], place[3] - place[1]) < 4:
            self.pen.rectangle(place, fill)
        else:
            self.pen.rounded_rectangle(place, min(corner * self.unit, (right - left) / 2), fill)

    def disc(self, x: float, y: float, radius: float, fill: Ink) -> None:
        """Draw a filled circle."""
        u = self.unit
        self.pen.ellipse(
            ((x - radius) * u, (y - radius) * u, (x + radius) * u, (y + radius) * u), fill
        )

    def line(self, points: list[tuple[float, float]], ink: Ink, width: float) -> None:
        """Draw a line through points."""
        at = [(x * self.unit, y * self.unit) for x, y in points]
        self.pen.line(at, ink, max(1, round(width * self.unit)), joint="curve")

    def text(
        self,
        random: Random,
        x: float,
        y: float,
        size: float,
        ink: Ink,
        count: int,
        *,
        menu: bool = False,
    ) -> float:
        """Write `count` random words in letters `size` high; return the x at which they end."""
        said = labels(random, count) if menu else words(random, count)
        return self.say(said, x, y, size, ink)

    def say(self, said: list[str], x: float, y: float, size: float, ink: Ink) -> float:
        """Write these words in a line; return the x at which they end."""
        pixels = size * self.unit
        if pixels >= _LEGIBLE:
            end = write_line(
                self.image, (x * self.unit, y * self.unit), said, size_near(pixels), ink
            )
            return end / self.unit
        end = x + 0.55 * size * sum(len(word) + 1 for word in said)
        faint = self._mixed(ink, x, y, 0.45)
        self.box((x, y + 0.3 * size, end - 0.5 * size, y + 0.95 * size), faint)
        return end

    def paragraph(self, random: Random, box: Box, size: float, ink: Ink) -> None:
        """Fill a box with lines of random words, ragged on the right."""
        left, top, right, bottom = box
        y = top
        while y + size < bottom:
            end = left + (right - left) * (
                1.0 if random.random() < 0.75 else random.uniform(0.3, 1)
            )
            x = left
            while x < end - 3 * size:
                x = self.say(words(random, max(1, int((end - x) / (3.2 * size)))), x, y, size, ink)
            y += 1.45 * size

    def icon(self, random: Random, x: float, y: float, half: float, ink: Ink) -> None:
        """Draw a random icon around a point; `half` is half its size."""
        if half * self.unit >= 1.5:
            icon(random, self.pen, x * self.unit, y * self.unit, half * self.unit, ink)
        else:
            self.box((x - half, y - half, x + half, y + half), self._mixed(ink, x, y, 0.4))

    def picture(self, content: Content, box: Box, corner: float = 0.0) -> None:
        """Draw a picture that fills a box."""
        left, top, right, bottom = (round(place * self.unit) for place in box)
        if right - left < 2 or bottom - top < 2:
            return
        image = content.picture(bottom - top, right - left)
        if corner * self.unit < 2:
            self.image.paste(image, (left, top))
            return
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, *image.size), corner * self.unit, 255)
        self.image.paste(image, (left, top), mask)

    def _mixed(self, ink: Ink, x: float, y: float, share: float) -> Ink:
        """Return a blend of an ink, weighted by `share`, and the colour at a point."""
        column = int(np.clip(x * self.unit, 0, self.image.width - 1))
        row = int(np.clip(y * self.unit, 0, self.image.height - 1))
        below = self.image.getpixel((column, row))
        assert isinstance(below, tuple)
        red, green, blue = (
            round(share * a + (1 - share) * b) for a, b in zip(ink, below, strict=True)
        )
        return red, green, blue


def fitted(box: Box, aspect: float) -> Box:
    """Return the largest box with this ratio of width to height, centred in another."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    width, height = min(wide, tall * aspect), min(tall, wide / aspect)
    x, y = left + (wide - width) / 2, top + (tall - height) / 2
    return x, y, x + width, y + height
