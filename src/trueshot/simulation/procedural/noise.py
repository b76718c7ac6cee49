"""Random fields with the spectra of natural scenes, cut from tiles made once per process."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy.fft
from PIL import Image, ImageDraw

from trueshot.simulation.colour import Plane, Random

_SIDE = 1024
_SMALLEST, _LARGEST = 1.5, 60.0  # radii of the leaves in the tile, in pixels


@lru_cache(maxsize=8)
def tile(slope: float, side: int = _SIDE) -> Plane:
    """Return a periodic random field whose amplitude falls as 1/frequency^slope.

    Returns:
        Field of mean 0 and standard deviation 1, shape (side, side); read-only.

    Source: Field 1987, doi:10.1364/JOSAA.4.002379: the slopes of natural scenes scatter around 1.
    """
    random = np.random.default_rng(round(1000 * slope))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)).astype(np.float32)
    frequency[0, 0] = np.inf
    parts = random.standard_normal((2, *frequency.shape), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * frequency ** np.float32(-slope)
    return _standardised(scipy.fft.irfft2(spectrum, s=(side, side)))


@lru_cache(maxsize=1)
def leaf_tile() -> Plane:
    """Return a periodic tile of small overlapping grey ellipses, with edges at every scale.

    Returns:
        Field of mean 0 and standard deviation 1, shape (1024, 1024); read-only.

    Source: Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675: the density of radii falls
        as r^-3.
    """
    random = np.random.default_rng(3)
    side = 2 * _SIDE  # drawn at twice the size, for smooth edges
    picture = Image.new("L", (side, side))
    pen = ImageDraw.Draw(picture)
    radii = 2 * power_law(random, 60_000, _SMALLEST, _LARGEST)
    places = random.uniform(0, side, (len(radii), 2))
    greys = np.clip(random.normal(128, 40, len(radii)), 0, 255).astype(int)
    aspects = np.exp(0.35 * random.standard_normal(len(radii)))
    halves = np.stack([radii * aspects, radii / aspects], axis=1).tolist()
    for (wide, tall), (x, y), grey in zip(halves, places.tolist(), greys.tolist(), strict=True):
        for left in _copies(x, wide, side):
            for top in _copies(y, tall, side):
                pen.ellipse((left - wide, top - tall, left + wide, top + tall), fill=grey)
    return _standardised(np.asarray(picture.reduce(2)))


def power_law(random: Random, count: int, smallest: float, largest: float) -> Plane:
    """Draw radii with density r^-3 between two limits, so that each octave covers equal area."""
    share = random.random(count)
    return np.asarray(
        (smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5, dtype=np.float32
    )


def field(random: Random, height: int, width: int, slope: float) -> Plane:
    """Draw a random field of mean 0 and standard deviation about 1, shape (h, w).

    Args:
        slope: Exponent with which the amplitude falls with frequency, 0.5 to 2. A window of a
            steep field is smooth, and its mean may differ from 0.
    """
    side = _SIDE << max(0, (max(height, width) - 1).bit_length() - 10)
    below = min(1.5, max(0.5, math.floor(2 * slope) / 2))
    share = min(1.0, max(0.0, 2 * (slope - below)))
    rough = window(random, tile(below, side), height, width)
    smooth = window(random, tile(below + 0.5, side), height, width)
    return rough * np.float32(np.sqrt(1 - share)) + smooth * np.float32(np.sqrt(share))


def stretched(
    random: Random, height: int, width: int, slope: float, down: float, across: float
) -> Plane:
    """Draw a field stretched by the factors `down` and `across`, shape (h, w)."""
    rows, columns = int(height / down) + 2, int(width / across) + 2
    return enlarged(field(random, rows, columns, slope), height, width, down, across)


def grains(random: Random, height: int, width: int, size: float) -> Plane:
    """Draw small overlapping grains, `size` times as large as those of the tile, shape (h, w)."""
    side = leaf_tile().shape[0]
    rows, columns = (min(side, int(n / size) + 2) for n in (height, width))
    size = max(size, height / (rows - 1), width / (columns - 1))
    return enlarged(window(random, leaf_tile(), rows, columns), height, width, size, size)


def enlarged(plane: Plane, height: int, width: int, down: float, across: float) -> Plane:
    """Enlarge the upper left part of a plane by the factors `down` and `across`, shape (h, w)."""
    picture = Image.fromarray(np.ascontiguousarray(plane))
    box = (0, 0, width / across, height / down)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))


def window(random: Random, plane: Plane, height: int, width: int) -> Plane:
    """Return a random part of a tile, randomly mirrored and transposed: a view of shape (h, w)."""
    if random.random() < 0.5:
        plane = plane.T
    top = random.integers(plane.shape[0] - height + 1)
    left = random.integers(plane.shape[1] - width + 1)
    down, across = random.choice((-1, 1), 2)
    return plane[top : top + height, left : left + width][::down, ::across]


def _copies(place: float, radius: float, side: int) -> list[float]:
    return [at for at in (place - side, place, place + side) if -radius < at < side + radius]


def _standardised(values: Plane) -> Plane:
    plane: Plane = values.astype(np.float32)
    plane -= plane.mean()
    plane /= plane.std()
    plane.flags.writeable = False
    return plane
