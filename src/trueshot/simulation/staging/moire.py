"""Moiré that is still seen when a photograph is made small: the coarse waves of a display's grid.

Each harmonic of the grid is sampled by photosites, and appears at the difference between its own
frequency and the nearest one of the photosites' lattice: a colour's photosites are two pixels
apart. Where that difference is small it is a wave across the frame, and shows at any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trueshot.simulation.display import Layout
from trueshot.simulation.light import Linear, transfer
from trueshot.simulation.staging.geometry import Exact, jacobian, through

_FINEST = 0.4  # cycles per pixel of the small frame; finer waves do not survive
_ORDERS = 3  # cycles per pixel of the display, down and across
_FAINTEST = 0.01
# The lattices of the reciprocal of what a colour is sampled on, in cycles per photosite.
_HALVES = ((0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5))
_LATTICES = (_HALVES, _HALVES[:2], _HALVES)  # red and blue: every second of both; green: diagonal
_FIRST = ((0.5, 0.5), (0.5, 1.5), (1.5, 1.5))  # a photosite (y, x) of each colour


@dataclass(frozen=True, kw_only=True)
class Optics:
    """What a small frame has to know of the camera that took it.

    Args:
        photosites: Along a pixel of the frame.
        sigma: Blur of the lens, in photosites.
        aperture: Side of a photosite, as a share.
    """

    photosites: float
    sigma: float
    aperture: float


def coarse_waves(layout: Layout, to_display: Exact, y: Exact, x: Exact, optics: Optics) -> Linear:
    """Factors of mean about 1 on the light of a display over a small frame.

    Args:
        layout: Its subpixels.
        to_display: From pixels of the frame to pixels of the display, shape (3, 3).
        y: Rows of the frame, shape (h,).
        x: Columns of the frame, shape (w,).
        optics: Of the camera.

    Returns:
        Shape (h, w, 3).
    """
    places = through(to_display, y, x)
    middle = np.array([x.mean(), y.mean()])
    step = jacobian(to_display, middle) / optics.photosites
    factors = np.ones((len(y), len(x), 3), np.float32)
    rows, columns = layout.orders()
    for channel in range(3):
        spectrum = layout.spectrum(channel)
        for order in _orders(layout):
            frequency = np.array(order) @ step
            nearest = _nearest(frequency, channel)
            if not nearest.any() or np.hypot(*(frequency - nearest)) * optics.photosites > _FINEST:
                continue
            row = int(np.flatnonzero(rows == round(order[0] * layout.cell[0]))[0])
            column = int(np.flatnonzero(columns == round(order[1] * layout.cell[1]))[0])
            passed = transfer(frequency[0], frequency[1], optics.sigma, optics.aperture)
            wave = complex(spectrum[row, column] * passed)
            if abs(wave) >= _FAINTEST:
                phase = order[0] * places[0] + order[1] * places[1]
                first_y, first_x = _FIRST[channel]
                phase -= nearest[0] * (optics.photosites * y[:, None] - first_y)
                phase -= nearest[1] * (optics.photosites * x[None, :] - first_x)
                factors[..., channel] += 2 * abs(wave) * _wave(phase, float(np.angle(wave)))
    return np.maximum(factors, 0)


def _orders(layout: Layout) -> list[tuple[float, float]]:
    """Cycles down and across a display pixel: one of each wave and its opposite."""
    down = np.arange(0, _ORDERS * layout.cell[0] + 1) / layout.cell[0]
    across = np.arange(-_ORDERS * layout.cell[1], _ORDERS * layout.cell[1] + 1) / layout.cell[1]
    return [(float(v), float(u)) for v in down for u in across if v > 0 or u > 0]


def _nearest(frequency: Exact, channel: int) -> Exact:
    """The point of a colour's reciprocal lattice nearest to a frequency (y, x)."""
    shifts = np.array(_LATTICES[channel])
    points = np.round(frequency - shifts) + shifts
    return np.asarray(points[np.argmin(((points - frequency) ** 2).sum(axis=1))])


def _wave(phase: Exact, start: float) -> Exact:
    """A wave, where it is coarse enough; `phase` in cycles, shape (h, w)."""
    if min(phase.shape) < 2:
        return np.zeros_like(phase)
    down, across = np.gradient(phase)
    kept = np.clip(2 - np.hypot(down, across) * (2 / _FINEST), 0, 1)
    return np.asarray(kept * np.cos(2 * np.pi * phase + start))
