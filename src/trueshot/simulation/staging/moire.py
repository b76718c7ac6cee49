"""Coarse moiré of a display's grid, which remains visible when a photograph is reduced.

The photosites sample each harmonic of the grid, which aliases to the difference between its
frequency and the nearest point of the reciprocal lattice of its colour's photosites, which are two
pixels apart. A small difference is a coarse wave over the frame, visible at any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trueshot.simulation.colour import Linear, transfer
from trueshot.simulation.display import Layout
from trueshot.simulation.staging.geometry import Exact, jacobian, through

_FINEST = 0.4  # cycles per pixel of the small frame; finer waves are lost
_ORDERS = 3  # highest frequency in cycles per display pixel, down and across
_FAINTEST = 0.01
_TURN = np.float32(2 * np.pi)
# Reciprocal lattices of each colour's photosites: whole numbers plus these offsets, in cycles
# per photosite.
_HALVES = ((0.0, 0.0), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5))
_LATTICES = (_HALVES, _HALVES[:2], _HALVES)  # red and blue: square; green: diagonal
_FIRST = ((0.5, 0.5), (0.5, 1.5), (1.5, 1.5))  # centre (y, x) of one photosite of each colour


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Camera properties that the moiré of a small frame depends on.

    Args:
        photosites: Number of photosites per pixel of the frame, along a side.
        sigma: Standard deviation of the lens blur, in photosites.
        aperture: Side of a photosite's sensitive area, as a share of the photosite.
    """

    photosites: float
    sigma: float
    aperture: float


def coarse_waves(layout: Layout, to_display: Exact, y: Exact, x: Exact, optics: Optics) -> Linear:
    """Compute the factors by which coarse moiré changes a display's light in a small frame.

    Args:
        layout: Subpixels of the display.
        to_display: Homography from pixels of the frame to pixels of the display, shape (3, 3).
        y: Rows of the frame, shape (h,).
        x: Columns of the frame, shape (w,).
        optics: Properties of the camera.

    Returns:
        Factors with a mean of about 1, shape (h, w, 3).
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
            cycles = optics.photosites * nearest  # lattice cycles per pixel of the frame
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
    """Return frequency, in cycles per display pixel, and amplitude of all but faint waves."""
    rows, columns = layout.orders()
    down, across = rows[:, None] / layout.cell[0], columns[None, :] / layout.cell[1]
    spectrum = layout.spectrum(channel)
    one_of_opposites = (down > 0) | ((down == 0) & (across > 0))
    coarse = (down <= _ORDERS) & (np.abs(across) <= _ORDERS)
    return [
        ((float(down[row, 0]), float(across[0, column])), complex(spectrum[row, column]))
        for row, column in np.argwhere(one_of_opposites & coarse & (np.abs(spectrum) >= _FAINTEST))
    ]


def _nearest(frequency: Exact, channel: int) -> Exact:
    """Return the point of a colour's reciprocal lattice nearest to a frequency (y, x)."""
    shifts = np.array(_LATTICES[channel])
    points = np.round(frequency - shifts) + shifts
    return np.asarray(points[np.argmin(((points - frequency) ** 2).sum(axis=1))])
