"""Moiré that is still seen when a photograph is made small: the coarse waves of a display's grid.

Each harmonic of the grid is sampled by photosites, and appears at the difference between its own
frequency and the nearest one of the photosites' lattice: a colour's photosites are two pixels
apart. Where that difference is small it is a wave across the frame, and shows at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trueshot.simulation.colour import Linear, transfer
from trueshot.simulation.display import Layout
from trueshot.simulation.staging.geometry import Exact, jacobian, through

_FINEST = 0.4  # cycles per pixel of the small frame; finer waves do not survive
_ORDERS = 3  # cycles per pixel of the display, down and across
_FAINTEST = 0.01
_TURN = np.float32(2 * np.pi)
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
    places = [place.astype(np.float32) for place in through(to_display, y, x)]
    factors = np.ones((len(y), len(x), 3), np.float32)
    if min(len(y), len(x)) < 2:
        return factors
    slopes = [np.gradient(place) for place in places]
    step = jacobian(to_display, np.array([x.mean(), y.mean()])) / optics.photosites
    for channel in range(3):
        for order, strength in _harmonics(layout, channel):
            frequency = np.array(order) @ step
            nearest = _nearest(frequency, channel)
            if not nearest.any() or np.hypot(*(frequency - nearest)) * optics.photosites > _FINEST:
                continue
            passed = transfer(frequency[0], frequency[1], optics.sigma, optics.aperture)
            wave = complex(strength * passed)
            if abs(wave) < _FAINTEST:
                continue
            cycles = optics.photosites * nearest  # of the photosites, per pixel of the frame
            first = float(nearest @ np.array(_FIRST[channel]) + np.angle(wave) / (2 * np.pi))
            phase = np.float32(order[0]) * places[0] + np.float32(order[1]) * places[1]
            phase += (np.float32(first) - (cycles[0] * y).astype(np.float32))[:, None]
            phase -= (cycles[1] * x).astype(np.float32)[None, :]
            down, across = (
                np.float32(order[0]) * slopes[0][axis]
                + np.float32(order[1]) * slopes[1][axis]
                - np.float32(cycles[axis])
                for axis in range(2)
            )
            kept = np.clip(2 - np.hypot(down, across) * np.float32(2 / _FINEST), 0, 1)
            factors[..., channel] += np.float32(2 * abs(wave)) * kept * np.cos(_TURN * phase)
    return np.maximum(factors, 0)


@lru_cache(maxsize=1024)
def _harmonics(layout: Layout, channel: int) -> list[tuple[tuple[float, float], complex]]:
    """Waves of a grid that are not faint before any lens, as cycles per pixel, and how strong."""
    spectrum = layout.spectrum(channel)
    rows, columns = layout.orders()
    found = []
    for order in _orders(layout):
        row = int(np.flatnonzero(rows == round(order[0] * layout.cell[0]))[0])
        column = int(np.flatnonzero(columns == round(order[1] * layout.cell[1]))[0])
        if abs(spectrum[row, column]) >= _FAINTEST:
            found.append((order, complex(spectrum[row, column])))
    return found


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
