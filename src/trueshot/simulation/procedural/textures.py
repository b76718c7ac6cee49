"""Textures: periodic and aperiodic surfaces, worn, grainy and unevenly lit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trueshot.simulation.colour import Linear, Random, between
from trueshot.simulation.procedural.colours import blend, lit, palette
from trueshot.simulation.procedural.noise import field, grains, stretched
from trueshot.simulation.procedural.patterns import PATTERNS, places


def texture(random: Random, height: int, width: int) -> Linear:
    """Draw a close-up of a surface.

    Three in five surfaces are periodic, mostly with periods of 4 to 100 pixels.

    Returns:
        Linear light between 0 and 2, shape (h, w, 3).

    Source: Field 1987, doi:10.1364/JOSAA.4.002379, for the spectra of aperiodic surfaces.
    """
    if random.random() < 0.6:
        paint = pattern(random, height, width)
    else:
        paint = _PLAIN[random.integers(len(_PLAIN))](random, height, width)
    return lit(random, paint)


def pattern(random: Random, height: int, width: int) -> Linear:
    """Draw a periodic surface with grain and wear, not yet lit, shape (h, w, 3)."""
    which = PATTERNS[random.integers(len(PATTERNS))]
    paint = which(random, *places(random, height, width))
    return _worn(random, paint)


def clouds(random: Random, height: int, width: int) -> Linear:
    """Draw stone, rust, plaster or marble: colours that vary as 1/f^a noise."""
    colours = palette(random, 3, clusters=2)
    slope = random.uniform(0.7, 1.6)
    contrast = np.float32(random.uniform(0.15, 0.45))
    share = np.clip(0.5 + contrast * field(random, height, width, slope), 0, 1)
    paint = blend(colours[0], colours[1], share)
    veins = field(random, height, width, random.uniform(1.2, 1.8))
    return blend(paint, colours[2], np.exp(-np.square(veins * np.float32(random.uniform(3, 9)))))


def grain(random: Random, height: int, width: int) -> Linear:
    """Draw gravel, bark or terrazzo: small grains that overlap."""
    colours = palette(random, 2)
    share = grains(random, height, width, between(random, 0.7, 4))
    paint = blend(colours[0], colours[1], np.clip(0.5 + 0.25 * share, 0, 1))
    return _worn(random, paint)


def brushed(random: Random, height: int, width: int) -> Linear:
    """Draw hair, grass, brushed metal or bark: noise stretched in one direction."""
    colours = palette(random, 2)
    long = between(random, 4, 40)
    drawn = (1.0, long) if random.random() < 0.5 else (long, 1.0)
    strokes = stretched(random, height, width, random.uniform(0.5, 1.2), *drawn)
    strokes = strokes * np.float32(0.3) + np.float32(0.15) * field(random, height, width, 1.5)
    return blend(colours[0], colours[1], np.clip(0.5 + strokes, 0, 1))


def _worn(random: Random, paint: Linear) -> Linear:
    """Add grain, dirt and wear to a surface."""
    height, width = paint.shape[:2]
    strength = np.float32(random.uniform(0.02, 0.18))
    wear = np.exp(strength * field(random, height, width, random.uniform(0.5, 1.6)))
    return np.asarray(paint * wear[..., None], np.float32)


_PLAIN: tuple[Callable[[Random, int, int], Linear], ...] = (clouds, clouds, grain, brushed)
