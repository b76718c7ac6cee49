"""Arrangements at native size: subpixels and halftone dots as a sensor's photosites see them.

The harmonics of subpixels and halftone dots are known in closed form. The lens and the photosites
attenuate each harmonic according to its frequency on the sensor, and only then is it sampled. So
moiré appears where the geometry causes it; none is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import Bytes, Linear, Plane, blur, channelwise, mix, transfer
from trueshot.simulation.display import Display, grid_table, look_up, scan_flicker, shine
from trueshot.simulation.print import SCREEN_ANGLES, Print, inked, separate, threshold_share
from trueshot.simulation.recapture import blur_of_optics, picture_scale
from trueshot.simulation.staging.compose import Arrangement, Raster, Stage
from trueshot.simulation.staging.geometry import Exact, through
from trueshot.simulation.staging.geometry import jacobian as jacobian_at
from trueshot.simulation.staging.parts import Part

BLOCK = 384  # side in pixels of the blocks in which the scale of a grid is taken as constant
_COVERS, _PHASES = 33, 64  # ink shares, and phases per axis, of a halftone table


class NativeStage(Stage):
    """A stage whose displays and prints show their subpixels and dots.

    Args:
        arrangement: Arrangement to render.
        height, width: Size of the sensor, in pixels.
        sigma: Standard deviation of the lens blur of what is in focus, in pixels.
        aperture: Side of the square in which a photosite gathers light, in pixels.
        seed: Seed of all that is random: flicker, sparkle, sprayed dots, paper grain.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        height: int,
        width: int,
        *,
        sigma: float,
        aperture: float,
        seed: tuple[int, ...],
    ) -> None:
        super().__init__(arrangement, height, width)
        self.sigma, self.aperture, self.seed = sigma, aperture, seed
        self.panels = [
            self._panel(part, raster) for part, raster in zip(self.parts, self.rasters, strict=True)
        ]
        random = np.random.default_rng([*seed, 0])
        depth = max([part.display.flicker for part in self.parts if part.display], default=0.0)
        self.flicker = scan_flicker(random, depth, height)

    def on_sensor(self, rows: tuple[int, int]) -> Linear:
        """Return the light of rows (start, stop) after the lens: shape (rows, width, 3)."""
        light, falls, mirrored = self._ground(rows)
        fine: Linear | None = None  # light already filtered by the optics
        for at, part in enumerate(self.parts):
            raster = self.rasters[at]
            self._shade(light, self.shadows[at], rows)
            found = self._seen(raster, rows)
            if found is None or raster is None:
                continue
            (down, across), seen = found
            if part.display is None and part.sheet is None:
                self._lay(light, part, raster, found, rows, falls, mirrored)
                if fine is not None:
                    fine[down, across] *= 1 - self._cover(seen)[..., None]
                continue
            if fine is None:
                fine = np.zeros_like(light)
            cover = self._cover(seen)
            own = self._medium(part, at, raster, seen, (rows[0] + down.start, across.start))
            if part.sheet is not None:
                own *= falls[down, across]
            own += np.float32(part.gloss) * mirrored[down, across]
            fine[down, across] += channelwise(np.multiply, own - fine[down, across], cover)
            bare = seen[..., 3].astype(np.float32) / np.float32(255)
            light[down, across] = channelwise(np.multiply, light[down, across], 1 - bare)
        light = blur(light, self.sigma)
        return light if fine is None else light + fine

    def _cover(self, seen: Bytes) -> Plane:
        """Return the coverage of a part, its edges blurred by the lens."""
        cover = seen[..., 3:].astype(np.float32) / np.float32(255)
        return np.asarray(blur(cover, self.sigma)[..., 0])

    def _panel(self, part: Part, raster: Raster | None) -> Linear | None:
        """Return the light of a display's drawing, blurred as by lens and photosites, or None."""
        if part.display is None or raster is None:
            return None
        left, top, right, bottom = raster.box
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        scale = picture_scale(jacobian_at(raster.matrix, middle))
        light = shine(np.asarray(raster.pixels.convert("RGB")), part.display)
        light *= np.float32(part.emits)
        if part.display.sparkle:
            random = np.random.default_rng([*self.seed, 1])
            noise = random.standard_normal(light.shape[:2], dtype=np.float32)
            light *= (1 + np.float32(part.display.sparkle) * noise)[..., None]
        return blur(light, scale * blur_of_optics(self.sigma, self.aperture))

    def _medium(
        self, part: Part, at: int, raster: Raster, seen: Bytes, corner: tuple[int, int]
    ) -> Linear:
        """Compute a medium's light over the pixels of `seen`; the first is at `corner` (y, x)."""
        light = np.empty((*seen.shape[:2], 3), np.float32)
        panel = self.panels[at]
        sheet = separate(np.ascontiguousarray(seen[..., :3])) if part.sheet is not None else None
        for rows, columns in _blocks(*seen.shape[:2]):
            y = np.arange(rows.start, rows.stop) + corner[0] + 0.5
            x = np.arange(columns.start, columns.stop) + corner[1] + 0.5
            down, across = through(raster.matrix, y, x)
            centre = np.array([x.mean(), y.mean()])
            jacobian = jacobian_at(raster.matrix, centre)
            if part.display is not None and panel is not None:
                light[rows, columns] = self._display(
                    part, part.display, panel, down, across, jacobian
                )
            elif part.sheet is not None and sheet is not None:
                random = np.random.default_rng([*self.seed, 2, int(y[0]), int(x[0])])
                light[rows, columns] = self._dots(
                    part, part.sheet, raster, sheet[rows, columns], (down, across), jacobian, random
                )
        if part.display is not None and part.display.flicker:
            here = slice(corner[0], corner[0] + len(light))
            light = channelwise(np.multiply, light, self.flicker[here])
        return light

    def _display(
        self, part: Part, display: Display, panel: Linear, y: Exact, x: Exact, jacobian: Exact
    ) -> Linear:
        height, width = panel.shape[:2]
        rows = np.clip(y - 0.5, 0, height - 1.001).astype(np.float32)
        columns = np.clip(x - 0.5, 0, width - 1.001).astype(np.float32)
        seen = mix(panel, rows, columns)
        pitch = part.dots / (width - 2)  # display pixels per drawn pixel
        table = grid_table(display.layout, pitch * jacobian, self.sigma, self.aperture)
        grid_y, grid_x = ((pitch * (place - 1)).astype(np.float32) for place in (y, x))
        seen *= look_up(table, display.layout.cell, grid_y, grid_x)
        return seen

    def _dots(
        self,
        part: Part,
        medium: Print,
        raster: Raster,
        cover: Linear,
        places: tuple[Exact, Exact],
        jacobian: Exact,
        random: np.random.Generator,
    ) -> Linear:
        """Compute the reflectance of printed dots from ink shares `cover`, shape (h, w, 4)."""
        light = np.empty((*cover.shape[:2], 3), np.float32)
        light[:] = np.array(medium.paper, np.float32)
        pitch = part.dots / (raster.pixels.width - 2)  # halftone cells per drawn pixel
        for ink in range(4):
            share = cover[..., ink]
            if medium.cell > 0:
                dots = share + self._halftone(ink, share, pitch, places, jacobian)
            else:
                fine = picture_scale(jacobian) * pitch * 4  # drops per pixel
                depth = np.sqrt(np.maximum(share * (1 - share), 0)) * np.float32(
                    0.8 / max(1.0, fine)
                )
                dots = share + depth * random.standard_normal(share.shape, dtype=np.float32)
            light = inked(light, ink, np.clip(dots, 0, 1), np.float32(1 - medium.ink))
        grain = random.standard_normal(light.shape[:2], dtype=np.float32)
        return channelwise(np.multiply, light, 1 + np.float32(medium.texture) * grain)

    def _halftone(
        self, ink: int, share: Plane, pitch: float, places: tuple[Exact, Exact], jacobian: Exact
    ) -> Plane:
        turn = np.deg2rad(SCREEN_ANGLES[ink])
        # Rows: phase across and down the cell, in cycles per drawn pixel (y, x).
        turned = pitch * np.array([[np.sin(turn), np.cos(turn)], [np.cos(turn), -np.sin(turn)]])
        table = halftone_table(turned @ jacobian, self.sigma, self.aperture)
        first, second = (row[0] * places[0] + row[1] * places[1] for row in turned)
        u, v = (((phase % 1) * _PHASES).astype(np.intp) % _PHASES for phase in (first, second))
        level = np.clip(share * (_COVERS - 1) + 0.5, 0, _COVERS - 1).astype(np.intp)
        return np.asarray(np.take(table, (level * _PHASES + v) * _PHASES + u), np.float32)


def halftone_table(frequency: Exact, sigma: float, aperture: float) -> Plane:
    """Tabulate clustered dots as seen through the optics, minus the ink's mean share.

    Args:
        frequency: Cycles across and down the cell (rows) per camera pixel (y, x), shape (2, 2).
        sigma: Standard deviation of the lens blur, in camera pixels.
        aperture: Side of the square in which a photosite gathers light, in camera pixels.

    Returns:
        Table of shape (33 ink shares from 0 to 1, 64 places down the cell, 64 across).
    """
    orders = np.fft.fftfreq(_PHASES, 1 / _PHASES)
    across, down = orders[None, :], orders[:, None]
    seen_y = across * frequency[0, 0] + down * frequency[1, 0]
    seen_x = across * frequency[0, 1] + down * frequency[1, 1]
    passed = transfer(seen_y, seen_x, sigma, aperture)
    passed[0, 0] = 0
    return np.asarray(np.fft.ifft2(_screened() * passed).real, np.float32)


@cache
def _screened() -> npt.NDArray[np.complex128]:
    """Return the spectra of a halftone's dots, one per tabulated ink share."""
    wave = np.cos(2 * np.pi * (np.arange(_PHASES) + 0.5) / _PHASES)
    uniform = threshold_share((0.5 + 0.25 * (wave[:, None] + wave[None, :])).astype(np.float32))
    shares = np.linspace(0, 1, _COVERS)[:, None, None]
    return np.asarray(np.fft.fft2((shares > uniform).astype(float)))


def _blocks(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            yield slice(top, min(top + BLOCK, height)), slice(left, min(left + BLOCK, width))
