"""Flat painted parts, and the things that they form in an arrangement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from trueshot.simulation.colour import smooth_field
from trueshot.simulation.display import Display
from trueshot.simulation.print import Print
from trueshot.simulation.procedural.text import Ink
from trueshot.simulation.staging.geometry import FRONT, Box, Exact, Plane, Pose, corners, project

Paint = Callable[[int, int], Image.Image]  # paints at (height, width) pixels: RGB or RGBA


@dataclass(frozen=True, kw_only=True)
class Part:
    """A flat piece of a thing.

    Args:
        box: Area that the part covers on its plane, in millimetres.
        paint: Function that paints the part; what lies behind shows through transparent pixels.
        plane: Plane of the part.
        finest: Pixels per millimetre beyond which the part has no further detail.
        gloss: Share of light that the part mirrors.
        emits: Factor on the light that the part emits; 0 means it is lit by the room instead.
        rises: Height above the surface that its shadow falls on, in millimetres; 0 casts none.
        display: Display whose subpixels the part shows at native size.
        sheet: Print whose dots the part shows at native size.
        dots: Number of pixels across a display, or of halftone cells across a print.
    """

    box: Box
    paint: Paint
    plane: Plane = FRONT
    finest: float = 12.0
    gloss: float = 0.0
    emits: float = 0.0
    rises: float = 0.0
    display: Display | None = None
    sheet: Print | None = None
    dots: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Parts that belong together, and the boxes that a person would aim at.

    Args:
        parts: Parts from the farthest to the nearest.
        whole: Box of the thing in its front plane.
        face: Box of its screen, sheet or front.
        subject: Box of the picture shown or printed on it.
        medium: Kind of the display or print; empty if the thing is neither.
        name: Name of that display or print.
    """

    parts: tuple[Part, ...]
    whole: Box
    face: Box
    subject: Box
    medium: str = ""
    name: str = ""

    def outline(self, pose: Pose) -> Exact:
        """Return the corners of the face in the frame, shape (4, 2)."""
        return project(pose.homography(), corners(self.face))

    def before(self, *parts: Part) -> Thing:
        """Return a copy with further parts behind all others."""
        return replace(self, parts=(*parts, *self.parts))

    def after(self, *parts: Part) -> Thing:
        """Return a copy with further parts in front of all others."""
        return replace(self, parts=(*self.parts, *parts))


def flat(*parts: Part, subject: Box | None = None, medium: str = "", name: str = "") -> Thing:
    """Return a thing whose nearest part is all that a person sees and aims at."""
    box = parts[-1].box
    return Thing(parts=parts, whole=box, face=box, subject=subject or box, medium=medium, name=name)


def grown(box: Box, left: float, top: float, right: float, bottom: float) -> Box:
    """Return a box with margins added."""
    return box[0] - left, box[1] - top, box[2] + right, box[3] + bottom


def rounded(
    height: int, width: int, box: Box, fill: Ink, corner: float, *, wide: float
) -> Image.Image:
    """Draw a filled, rounded box on a transparent image `wide` units across: RGBA."""
    image = Image.new("RGBA", (width, height), (*fill, 0))
    scale = width / wide
    place = [round(at * scale) for at in box]
    place[2], place[3] = max(place[0], place[2] - 1), max(place[1], place[3] - 1)
    ImageDraw.Draw(image).rounded_rectangle(place, corner * scale, (*fill, 255))
    return image


def shaded(image: Image.Image, random_seed: int, depth: float) -> Image.Image:
    """Vary the brightness of an RGB(A) image slightly, by a smooth field and a fine grain."""
    random = np.random.default_rng(random_seed)
    pixels = np.asarray(image).astype(np.float32)
    height, width = pixels.shape[:2]
    rough = random.standard_normal((height, width), dtype=np.float32)
    uneven = smooth_field(random, height, width, 3) + np.float32(0.3) * rough
    pixels[..., :3] *= (1 + np.float32(depth) * uneven)[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
