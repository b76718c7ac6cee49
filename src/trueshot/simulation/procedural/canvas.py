"""A canvas for screen pages: colours, boxes, icons and pictures.

Pages are drawn at twice the final size, so that corners and letters become smooth.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from trueshot.simulation.colour import Random, encode_srgb, to_bytes
from trueshot.simulation.procedural.gradients import bokeh, sky
from trueshot.simulation.procedural.leaves import dead_leaves
from trueshot.simulation.procedural.lettering import Ink
from trueshot.simulation.procedural.objects import objects
from trueshot.simulation.procedural.textures import texture

_LARGEST = 250  # largest side of a generated picture, in pixels; pages stretch it if needed


@dataclass(frozen=True)
class Theme:
    """Colours of a page: background, raised surface, lines, text, fainter text and accent."""

    ground: Ink
    surface: Ink
    line: Ink
    text: Ink
    faint: Ink
    accent: Ink


@dataclass(frozen=True)
class Page:
    """A canvas with its drawing pen, its theme and its text size in canvas pixels."""

    canvas: Image.Image
    pen: ImageDraw.ImageDraw
    theme: Theme
    size: int

    def box(
        self, left: float, top: float, right: float, bottom: float, fill: Ink, r: float
    ) -> None:
        """Fill a rectangle with corners of radius `r`; do nothing if a side is 2 pixels or less."""
        if right - left > 2 and bottom - top > 2:
            r = min(r, (right - left) / 2, (bottom - top) / 2)
            self.pen.rounded_rectangle((left, top, right, bottom), r, fill=fill)


def mixed(random: Random) -> Ink:
    """Draw a random colour that is neither black nor white."""
    red, green, blue = (int(level) for level in random.integers(40, 225, 3))
    return red, green, blue


def icon(random: Random, page: Page, x: float, y: float, half: float, ink: Ink) -> None:
    """Draw an icon centred at (x, y): ring, cross, bars, triangle, window, dots or magnifier."""
    pen, line = page.pen, max(2, int(half / 3.5))
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
            pen.ellipse(
                (x + step * half - line, y - line, x + step * half + line, y + line), fill=ink
            )
    else:
        pen.ellipse((x - half, y - half, x + 0.4 * half, y + 0.4 * half), outline=ink, width=line)
        pen.line((x + 0.2 * half, y + 0.2 * half, x + half, y + half), fill=ink, width=line)


def picture(random: Random, wide: float, tall: float) -> Image.Image:
    """Make a procedural picture of `wide` by `tall` pixels."""
    share = min(0.5, _LARGEST / max(wide, tall))
    height, width = max(8, int(share * tall)), max(8, int(share * wide))
    scene = (dead_leaves, objects, texture, sky, bokeh)[random.integers(5)]
    image = Image.fromarray(to_bytes(encode_srgb(scene(random, height, width))))
    return image.resize((max(1, int(wide)), max(1, int(tall))), Image.Resampling.BILINEAR)


def paste(page: Page, image: Image.Image, x: float, y: float, r: float) -> None:
    """Paste an image onto the canvas at (x, y), with corners of radius `r`."""
    corners = Image.new("L", image.size)
    outline = (0, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(corners).rounded_rectangle(outline, r, fill=255)
    page.canvas.paste(image, (int(x), int(y)), corners)
