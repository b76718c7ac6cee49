"""What an arrangement is made of: flat parts with paint on them, put together to things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw

from trueshot.simulation.colour import smooth_field
from trueshot.simulation.display import Display
from trueshot.simulation.print import Print
from trueshot.simulation.staging.geometry import Box, Exact, Pose, corners, project
from trueshot.simulation.staging.pages import Page
from trueshot.simulation.staging.sheet import Ink

Paint = Callable[[int, int], Image.Image]  # draws at (height, width) pixels: RGB or RGBA
Plane = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
FRONT: Plane = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A flat piece of a thing.

    Args:
        box: What it covers, in millimetres on its plane.
        paint: Draws it; where it is transparent, what lies behind is seen.
        plane: Its origin and its directions across and down.
        finest: Pixels per millimetre beyond which there is nothing more to see.
        gloss: Share of light that it mirrors.
        emits: It shines instead of being lit, `paint` times this.
        rises: Millimetres above what it throws its shadow on; 0 throws none.
        far: It lies in the background, and is out of focus with it.
        display: The screen whose subpixels it shows, at native size.
        sheet: The print whose dots it shows, at native size.
        dots: Pixels of the picture across a display, or cells of the halftone across a print.
    """

    box: Box
    paint: Paint
    plane: Plane = FRONT
    finest: float = 12.0
    gloss: float = 0.0
    emits: float = 0.0
    rises: float = 0.0
    far: bool = False
    display: Display | None = None
    sheet: Print | None = None
    dots: float = 0.0

    def homography(self, pose: Pose) -> Exact:
        """From millimetres on it to the frame."""
        return pose.plane(*self.plane)


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Parts that belong together, and what of them a person would aim at.

    Args:
        parts: From the farthest to the nearest.
        whole: The box of the thing in its front plane.
        face: The box of its screen, sheet or front.
        subject: The box of what is shown or printed on it.
        medium: What kind of display or print it is; empty: it is none.
        name: Of that display or print.
    """

    parts: tuple[Part, ...]
    whole: Box
    face: Box
    subject: Box
    medium: str = ""
    name: str = ""
    page: Page | None = field(default=None, repr=False)

    def outline(self, pose: Pose) -> Exact:
        """Corners of its face in the frame, shape (4, 2)."""
        return project(pose.front(), corners(self.face))

    def before(self, *parts: Part) -> Thing:
        """With parts behind all its own."""
        return replace(self, parts=(*parts, *self.parts))

    def after(self, *parts: Part) -> Thing:
        """With parts in front of all its own."""
        return replace(self, parts=(*self.parts, *parts))


def grown(box: Box, left: float, top: float, right: float, bottom: float) -> Box:
    """A box with margins added."""
    return box[0] - left, box[1] - top, box[2] + right, box[3] + bottom


def rounded(
    height: int, width: int, box: Box, fill: Ink, corner: float, *, wide: float
) -> Image.Image:
    """A transparent image `wide` units across with a filled, rounded box on it: RGBA."""
    image = Image.new("RGBA", (width, height), (*fill, 0))
    scale = width / wide
    place = [round(at * scale) for at in box]
    place[2], place[3] = max(place[0], place[2] - 1), max(place[1], place[3] - 1)
    ImageDraw.Draw(image).rounded_rectangle(place, corner * scale, (*fill, 255))
    return image


def shaded(image: Image.Image, random_seed: int, depth: float) -> Image.Image:
    """An RGB(A) image under slightly uneven paint: smooth, and a fine grain."""
    random = np.random.default_rng(random_seed)
    pixels = np.asarray(image).astype(np.float32)
    height, width = pixels.shape[:2]
    rough = random.standard_normal((height, width), dtype=np.float32)
    uneven = smooth_field(random, height, width, 3) + np.float32(0.3) * rough
    pixels[..., :3] *= (1 + np.float32(depth) * uneven)[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
