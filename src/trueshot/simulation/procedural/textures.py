"""Textures: periodic and aperiodic surfaces, worn, grainy and unevenly lit.

The periodic ones are no screens, but common in real scenes: cloth, brick, blinds, print. Each is a
function of coordinates (u, v) on a surface, in pixels, each of shape (h, w). It returns the paint:
linear light under even white light, shape (h, w, 3). No edge is sharper than about a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import Linear, Plane, Random, between
from trueshot.simulation.procedural.colours import blend, lit, palette
from trueshot.simulation.procedural.noise import field, grains, stretched

Pattern = Callable[[Random, Plane, Plane], Linear]


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


def places(random: Random, height: int, width: int) -> tuple[Plane, Plane]:
    """Draw coordinates (u, v), in pixels, on a turned, slanted and slightly uneven plane."""
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height / 2)
    x = np.arange(width, dtype=np.float32) - np.float32(width / 2)
    angle = random.normal(0, 0.05) if random.random() < 0.5 else random.uniform(-np.pi, np.pi)
    slant = random.uniform(-0.3, 0.3, 2) * (random.random() < 0.6) / max(height, width)
    depth = np.float32(1) / (1 + np.float32(slant[0]) * y + np.float32(slant[1]) * x)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    start = random.uniform(900, 1000, 2)
    u = np.asarray((cosine * x - sine * y) * depth + np.float32(start[0]), np.float32)
    v = np.asarray((sine * x + cosine * y) * depth + np.float32(start[1]), np.float32)
    uneven = np.float32(random.choice([0, 0.5, 3]) * random.random())
    if uneven:
        u += uneven * field(random, height, width, 2.0)
        v += uneven * field(random, height, width, 1.75)
    return u, v


def weave(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint warp over weft: plain weave, basket or twill, from fine cotton to coarse canvas."""
    warp = between(random, 4.5, 22)
    weft = warp * between(random, 0.75, 1.3)
    a, b = u / np.float32(warp), v / np.float32(weft)
    twill = random.random() < 0.35  # each thread passes over two, shifted by one per row
    over = _cosine((a + b) / 2) if twill else _cosine(a / 2) * _cosine(b / 2)
    over = np.clip(0.5 + over * np.float32(warp / 6), 0, 1)
    threads = [0.55 + 0.45 * (0.5 - 0.5 * _cosine(phase)) for phase in (a, b)]
    relief = over * threads[0] + (1 - over) * threads[1]
    return _two_colours(random, over, alike=0.6) * _relief(random, relief)


def knit(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint knitting: rows of stitches, each a V of two strands."""
    wide = between(random, 9, 40)
    a, b = u / np.float32(wide), v / np.float32(wide * random.uniform(0.6, 0.9))
    side = np.abs(_part(a) - np.float32(0.5))
    strand = 0.5 - 0.5 * _cosine(b + np.float32(1.3) * side)
    groove = 1 - np.float32(0.6) * np.exp(-np.square(side / np.float32(0.09)))
    groove *= 1 - np.float32(0.7) * np.exp(-np.square((side - 0.5) / np.float32(0.09)))
    rows = _steps(random, np.floor(b + np.float32(1.3) * side), 1 if random.random() < 0.5 else 6)
    return _two_colours(random, rows, alike=0.5) * _relief(random, (0.35 + 0.65 * strand) * groove)


def masonry(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint bricks, tiles, paving or a facade's windows: rectangles of varied shade with joints."""
    tall = between(random, 9, 90)
    wide = tall * random.choice([1.0, 1.0, random.uniform(1.5, 3.5)])
    b = v / np.float32(tall)
    row = np.floor(b)
    a = u / np.float32(wide) + np.float32(random.choice([0, 0.5])) * (row % 2)
    joint = max(1.0, tall * random.choice([0.06, 0.12, 0.3]))
    inside = _band(_part(a), joint / wide, wide) * _band(_part(b), joint / tall, tall)
    shades = random.random((16, 16)).astype(np.float32)
    each = shades[row.astype(np.intp) % 16, np.floor(a).astype(np.intp) % 16]
    colours = palette(random, 2)
    paint = blend(colours[0], colours[1], each * np.float32(random.uniform(0.1, 0.8)))
    joints = palette(random, 1)[0] * np.float32(random.uniform(0.4, 1.2))
    return blend(joints, paint, inside)


def slats(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint one repeated profile: blinds, shutters, corrugated sheet, stairs, combed plaster."""
    period = between(random, 5, 70)
    phase = v / np.float32(period)
    ramp, wave = _part(phase), 0.5 - 0.5 * _cosine(phase)
    gap = _band(ramp, max(1.2 / period, random.uniform(0, 0.25)), period)
    shade = gap * (0.4 + 0.6 * ramp) if random.random() < 0.5 else 0.3 + 0.7 * wave
    colours = palette(random, 2)
    return blend(0.1 * colours[0], colours[1], shade)


def stripes(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint striped or checked cloth or paper: bands of random width, in one or two directions."""
    colours = palette(random, 4)
    paint = np.broadcast_to(colours[0], (*u.shape, 3))
    repeat = between(random, 16, 160)
    crossed = random.random() < 0.5
    for colour in colours[1:]:
        centre, half = random.random(), random.uniform(1.5 / repeat, 0.2)
        for place in (u, v) if crossed else (u,):
            away = np.abs(_part(place / np.float32(repeat) - np.float32(centre)) - 0.5)
            share = np.clip((half - away) * np.float32(repeat) + 0.5, 0, 1)
            paint = blend(paint, colour, share * np.float32(0.55 if crossed else 1))
    fine = between(random, 4.5, 7)
    return paint * _relief(random, 0.5 - 0.5 * _cosine((u + v) / np.float32(fine)))


def dots(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint printed dots, a halftone or a perforated sheet, on a square or staggered grid."""
    period = between(random, 5, 60)
    b = v / np.float32(period)
    stagger = np.float32(random.choice([0, 0.5])) * (np.floor(b) % 2)
    a = u / np.float32(period) + stagger
    away = np.hypot(_part(a) - np.float32(0.5), _part(b) - np.float32(0.5))
    size: float | Plane = random.uniform(0.18, 0.42)
    if random.random() < 0.4:  # larger where the printed picture is darker
        size = np.clip(0.3 + 0.12 * _field(random, u, 1.75), 0.05, 0.6)
    share = np.clip((size - away) * np.float32(period) + 0.5, 0, 1)
    return _two_colours(random, share, alike=0.1)


def mesh(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint wire netting, a fly screen or a grille in front of an out-of-focus background."""
    period = between(random, 6, 70)
    half = max(0.7, period * random.uniform(0.05, 0.15))
    if random.random() < 0.5:
        u, v = (u + v) * np.float32(0.7), (u - v) * np.float32(0.7)
    wires = [np.abs(_part(place / np.float32(period)) - 0.5) * period for place in (u, v)]
    share = np.clip(half - np.minimum(*wires) + 0.5, 0, 1)
    colours = palette(random, 3)
    behind = blend(colours[0], colours[1], np.clip(0.5 + 0.4 * _field(random, u, 2.0), 0, 1))
    round_wire = np.clip(1.2 - np.minimum(*wires) / np.float32(half), 0.2, 1)
    return blend(behind, colours[2] * round_wire[..., None], share)


def wood(random: Random, u: Plane, v: Plane) -> Linear:
    """Paint wooden boards: annual rings cut lengthwise."""
    board = between(random, 60, 400)
    number = np.floor(v / np.float32(board))
    bend = _field(random, u, 2.0) * np.float32(random.uniform(5, 25))
    start = _steps(random, number, 8) * np.float32(500)
    rings = np.hypot(v + start + bend, (u - 700) * np.float32(random.uniform(0.02, 0.15)))
    phase = rings / np.float32(between(random, 5, 25))
    dark = np.square(_part(phase)) * _band(_part(phase), 0.15, 8)
    tone = palette(random, 1)[0].mean() ** np.float32(0.5)
    light = np.array([0.62, 0.36, 0.17], np.float32) * tone
    paint = blend(light, light * np.array([0.5, 0.42, 0.35], np.float32), dark)
    paint *= (0.8 + 0.4 * _steps(random, number, 8))[..., None]
    return paint * _band(_part(v / np.float32(board)), 1.5 / board, board)[..., None]


PATTERNS: tuple[Pattern, ...] = (weave, knit, masonry, slats, stripes, dots, mesh, wood)


def _part(phase: Plane) -> Plane:
    """Return the fractional part."""
    return np.asarray(phase - np.floor(phase), np.float32)


def _cosine(phase: npt.NDArray[Any]) -> Plane:
    """Return a cosine wave of period 1."""
    return np.asarray(np.cos(np.float32(2 * np.pi) * phase), np.float32)


def _band(part: Plane, gap: float, period: float) -> Plane:
    """Return 1 inside a cell and 0 in the gap, with an edge of one pixel; `gap` is in periods."""
    edge = np.minimum(part, 1 - part) - np.float32(gap / 2)
    return np.asarray(np.clip(edge * np.float32(period) + np.float32(0.5), 0, 1), np.float32)


def _field(random: Random, like: Plane, slope: float) -> Plane:
    """Draw a random field with the shape of `like`."""
    height, width = like.shape
    return field(random, height, width, slope)


def _steps(random: Random, numbers: Plane, count: int) -> Plane:
    """Draw a random value in [0, 1) for each whole number, repeating after `count` of them."""
    values = random.random(count).astype(np.float32)
    return np.asarray(np.take(values, numbers.astype(np.intp) % count), np.float32)


def _two_colours(random: Random, share: npt.NDArray[Any], alike: float) -> Linear:
    """Mix two palette colours by `share`; with probability `alike` they are nearly the same."""
    colours = palette(random, 2, clusters=2)
    if random.random() < alike:
        colours[1] = colours[0] * np.float32(random.uniform(0.8, 1.25))
    return blend(colours[0], colours[1], share)


def _relief(random: Random, height: npt.NDArray[Any]) -> Linear:
    """Return the shading of a relief with heights in [0, 1], as a factor of shape (h, w, 1)."""
    depth = np.float32(random.uniform(0.2, 0.9))
    return np.asarray(1 - depth + depth * height, np.float32)[..., None]
