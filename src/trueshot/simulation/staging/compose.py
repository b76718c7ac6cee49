"""Arrangements in front of a camera, and rendering of their light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.simulation.colour import Bytes, Linear, Plane, blur, channelwise, decode_srgb
from trueshot.simulation.staging.content import Content
from trueshot.simulation.staging.geometry import (
    Exact,
    Frame,
    Pose,
    area,
    clip,
    corners,
    inverse,
    magnification,
    project,
)
from trueshot.simulation.staging.light import Room, enlarged, fields, soft
from trueshot.simulation.staging.moire import Optics, coarse_waves
from trueshot.simulation.staging.parts import Part, Thing
from trueshot.simulation.staging.surfaces import Surface

_SHARP = 2.5  # pixels; a background blurred more than this is rendered at lower resolution
_LARGEST = 24e6  # largest number of pixels of a drawing


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """The scene in front of a camera.

    Args:
        frame: Frame of the camera.
        backdrop: Picture or surface that fills the frame behind everything else.
        thing: Thing in front of the backdrop, if any.
        pose: Position of that thing relative to the camera.
        room: Light of the room.
        backdrop_light: Factor on the brightness of a backdrop that is a picture.
        far_blur: Standard deviation of the background's blur, in frame units.
        flat: Whether the backdrop keeps its own light, without the light of the room on it.
    """

    frame: Frame
    backdrop: Content | Surface
    room: Room
    thing: Thing | None = None
    pose: Pose | None = None
    backdrop_light: float = 1.0
    far_blur: float = 0.0
    flat: bool = False

    def outline(self) -> Exact:
        """Return the visible outline of the medium in frame units, shape (n, 2); n may be 0."""
        if self.thing is None or self.pose is None or not self.thing.medium:
            return np.empty((0, 2))
        return clip(self.thing.outline(self.pose), self.frame)

    def share(self) -> float:
        """Return the share of the frame's area that the medium covers."""
        return area(self.outline())


Seen = tuple[tuple[slice, slice], Bytes]
"""Rows and columns that a part covers within the rendered rows, and its RGBA bytes there."""


@dataclass(frozen=True)
class Raster:
    """A part drawn for one size of photograph: its pixels and where they appear."""

    pixels: Image.Image
    matrix: Exact  # homography from pixels of the photograph to pixels of the drawing
    box: tuple[int, int, int, int]  # pixels of the photograph that it may cover
    near: float  # sign that the matrix gives to depths in front of the camera


class Stage:
    """Renderer of an arrangement at one size, for any range of rows.

    Args:
        arrangement: Arrangement to render.
        height, width: Size of the photograph, in pixels.
        optics: Camera properties for the coarse moiré of a display's grid; None draws no moiré.
    """

    def __init__(
        self, arrangement: Arrangement, height: int, width: int, optics: Optics | None = None
    ) -> None:
        self.arrangement, self.height, self.width = arrangement, height, width
        self.optics = optics
        self.scale = float(np.sqrt(height * width))
        thing, backdrop = arrangement.thing, arrangement.backdrop
        self.parts = () if thing is None else thing.parts
        self.rasters = [self._raster(part) for part in self.parts]
        self.fields = fields(arrangement.room, arrangement.frame, self._glowing())
        self.shadows = [self._shadow(part) for part in self.parts]
        paint = backdrop.world if isinstance(backdrop, Content) else backdrop.paint
        self.backdrop = np.asarray(paint(height, width))
        self.soft_ground = self._soft_ground()

    def light(self, rows: tuple[int, int]) -> Linear:
        """Return the light of rows (start, stop), before lens blur: shape (rows, width, 3)."""
        light, falls, mirrored = self._ground(rows)
        for part, raster, shadow in zip(self.parts, self.rasters, self.shadows, strict=True):
            self._shade(light, shadow, rows)
            found = self._seen(raster, rows)
            if found is not None and raster is not None:
                self._lay(light, part, raster, found, rows, falls, mirrored)
        return light

    def _ground(self, rows: tuple[int, int]) -> tuple[Linear, Linear, Linear]:
        """Return the background's light, the light that falls on things, and what glass mirrors."""
        falls, mirrored = (
            enlarged(field, self.height, self.width, rows)
            for field in (self.fields.falls, self.fields.mirrored)
        )
        if self.soft_ground is None:
            light = self._lit_backdrop(self.backdrop[rows[0] : rows[1]], falls, self.scale)
        else:
            light = enlarged(self.soft_ground, self.height, self.width, rows)
        return light, falls, mirrored

    def _lit_backdrop(self, backdrop: Bytes, falls: Linear, scale: float) -> Linear:
        plan = self.arrangement
        light = decode_srgb(backdrop)
        if isinstance(plan.backdrop, Content):
            light *= np.float32(plan.backdrop_light)
        if not plan.flat:
            light *= falls
        sigma = plan.far_blur * scale
        return blur(light, sigma) if 0.3 < sigma <= _SHARP else light

    def _soft_ground(self) -> Linear | None:
        """Render the background at low resolution if it is strongly blurred, else return None."""
        sigma = self.arrangement.far_blur * self.scale
        if sigma <= _SHARP:
            return None
        share = 1.5 / sigma
        height, width = max(8, round(self.height * share)), max(8, round(self.width * share))
        small = Image.fromarray(self.backdrop).resize((width, height), Image.Resampling.BOX)
        falls = enlarged(self.fields.falls, height, width, (0, height))
        return self._lit_backdrop(np.asarray(small), falls, self.scale * share)

    def _shade(self, light: Linear, shadow: Plane | None, rows: tuple[int, int]) -> None:
        """Darken `light` where a part's shadow falls, in place."""
        if shadow is not None:
            shade = enlarged(shadow[..., None], self.height, self.width, rows)
            light *= 1 - np.float32(self.arrangement.room.shadow) * shade

    def _raster(self, part: Part) -> Raster | None:
        """Draw a part at the resolution at which it is seen; return None if it is not in view."""
        pose = self.arrangement.pose
        assert pose is not None
        homography = pose.homography(part.plane)
        outline = project(homography, corners(part.box))
        depth = corners(part.box) @ homography[2, :2] + homography[2, 2]
        near = float(depth.mean())
        if (depth <= 0).any():  # it reaches behind the camera
            low, high = np.zeros(2), np.array([self.width, self.height], float)
        else:
            low, high = outline.min(axis=0) * self.scale - 2, outline.max(axis=0) * self.scale + 2
        box = (
            int(max(0, low[0])),
            int(max(0, low[1])),
            int(min(self.width, np.ceil(high[0]))),
            int(min(self.height, np.ceil(high[1]))),
        )
        if box[2] <= box[0] or box[3] <= box[1] or near <= 0:
            return None
        left, top, right, bottom = part.box
        seen = clip(outline, pose.frame) if (depth > 0).all() else outline
        middle = seen.mean(axis=0) if len(seen) else outline.mean(axis=0)
        place = project(inverse(homography), middle[None])[0]
        fine = min(1.15 * self.scale * magnification(homography, place), part.finest)
        fine = min(
            fine,
            np.sqrt(
                min(_LARGEST, 1.6 * self.width * self.height + 2e4)
                / ((right - left) * (bottom - top))
            ),
        )
        width, height = max(2, round((right - left) * fine)), max(2, round((bottom - top) * fine))
        image = _bordered(part.paint(height, width))
        to_drawing = np.array(
            [
                [width / (right - left), 0, 1 - left * width / (right - left)],
                [0, height / (bottom - top), 1 - top * height / (bottom - top)],
                [0, 0, 1.0],
            ]
        )
        matrix = to_drawing @ inverse(homography) @ np.diag([1 / self.scale, 1 / self.scale, 1.0])
        sign = matrix[2] @ np.array([middle[0] * self.scale, middle[1] * self.scale, 1.0])
        return Raster(image, matrix, box, float(np.sign(sign)))

    def _seen(self, raster: Raster | None, rows: tuple[int, int]) -> Seen | None:
        """Warp a drawing into the photograph; return None if it covers none of the rows."""
        if raster is None:
            return None
        left, top, right, bottom = raster.box
        top, bottom = max(top, rows[0]), min(bottom, rows[1])
        if bottom <= top:
            return None
        matrix = raster.matrix @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
        matrix = matrix / (matrix[2, 2] or 1e-12)
        size = (right - left, bottom - top)
        image = raster.pixels.transform(
            size, Image.Transform.PERSPECTIVE, tuple(matrix.ravel()[:8]), Image.Resampling.BILINEAR
        )
        seen = np.asarray(image)
        ends = matrix[2] @ np.array(
            [[0, size[0], 0, size[0]], [0, 0, size[1], size[1]], [1, 1, 1, 1.0]]
        )
        if (np.sign(ends) != np.sign(ends[0])).any():  # clear what lies beyond its horizon
            seen = seen.copy()
            row = raster.matrix[2]
            x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
            depth = row[0] * x[None, :] + row[1] * y[:, None] + row[2]
            seen[depth * raster.near <= 0] = 0
        where = slice(top - rows[0], bottom - rows[0]), slice(left, right)
        return where, seen

    def _lay(
        self,
        light: Linear,
        part: Part,
        raster: Raster,
        found: Seen,
        rows: tuple[int, int],
        falls: Linear,
        mirrored: Linear,
    ) -> None:
        """Composite a part over `light`, in place."""
        where, seen = found
        cover: Plane = seen[..., 3].astype(np.float32) / np.float32(255)
        own = decode_srgb(np.ascontiguousarray(seen[..., :3]))
        if part.emits:
            own *= np.float32(part.emits)
            if part.display is not None:
                own *= np.array(part.display.white, np.float32)
                self._ripple(own, part, raster, (rows[0] + where[0].start, where[1].start))
        else:
            own *= falls[where]
            if part.sheet is not None:
                own *= np.array(part.sheet.paper, np.float32)
        if part.gloss:
            own += np.float32(part.gloss) * mirrored[where]
        light[where] += channelwise(np.multiply, own - light[where], cover)

    def _ripple(self, own: Linear, part: Part, raster: Raster, corner: tuple[int, int]) -> None:
        """Multiply a display's light, whose corner is at (y, x), by its coarse moiré in place."""
        if self.optics is None or part.display is None:
            return
        pitch = part.dots / (raster.pixels.width - 2)  # display pixels per drawn pixel
        without_border = np.array([[pitch, 0, -pitch], [0, pitch, -pitch], [0, 0, 1.0]])
        to_display = without_border @ raster.matrix
        y = np.arange(len(own), dtype=float) + corner[0] + 0.5
        x = np.arange(own.shape[1], dtype=float) + corner[1] + 0.5
        own *= coarse_waves(part.display.layout, to_display, y, x, self.optics)

    def _shadow(self, part: Part) -> Plane | None:
        plan = self.arrangement
        if not part.rises or plan.pose is None:
            return None
        homography = plan.pose.homography(part.plane)
        if (corners(part.box) @ homography[2, :2] + homography[2, 2] <= 0).any():
            return None
        outline = project(homography, corners(part.box))
        middle = np.array([(part.box[0] + part.box[2]) / 2, (part.box[1] + part.box[3]) / 2])
        size = magnification(homography, middle) * part.rises
        angle = np.random.default_rng(plan.room.seed).uniform(0, 2 * np.pi)
        shift = 0.7 * size * float(np.cos(angle)), 0.7 * size * float(np.sin(angle))
        return soft(outline, plan.frame, 0.9 * size, shift)

    def _glowing(self) -> list[tuple[Exact, Linear]]:
        plan = self.arrangement
        found = []
        for part, raster in zip(self.parts, self.rasters, strict=True):
            if part.emits and raster is not None and plan.pose is not None:
                small = raster.pixels.convert("RGB").resize((16, 16), Image.Resampling.BOX)
                mean = decode_srgb(np.asarray(small)).mean(axis=(0, 1)) * np.float32(part.emits)
                outline = project(plan.pose.homography(part.plane), corners(part.box))
                found.append((outline, mean.astype(np.float32)))
        return found


def _bordered(image: Image.Image) -> Image.Image:
    """Add a transparent border of one pixel in the colours of the edge; return RGBA."""
    width, height = image.size
    padded = image.resize((width + 2, height + 2), Image.Resampling.NEAREST).convert("RGBA")
    cover = Image.new("L", padded.size)
    cover.paste(
        image.getchannel("A") if image.mode == "RGBA" else 255, (1, 1, width + 1, height + 1)
    )
    padded.paste(image.convert("RGB"), (1, 1))
    padded.putalpha(cover)
    return padded
