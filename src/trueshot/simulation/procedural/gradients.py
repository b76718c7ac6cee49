"""Smooth scenes: walls, skies, and lights far out of focus."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import Linear, Random, between, smooth_field
from trueshot.simulation.procedural.colours import blend, lit, palette
from trueshot.simulation.procedural.noise import field, stretched


def gradient(random: Random, height: int, width: int) -> Linear:
    """Draw a wall, a sky, or an out-of-focus background, with equal probability.

    Returns:
        Linear light between 0 and 2, shape (h, w, 3).
    """
    return (wall, sky, bokeh)[random.integers(3)](random, height, width)


def wall(random: Random, height: int, width: int) -> Linear:
    """Draw one smooth surface, or two that meet, slightly rough and unevenly lit."""
    first, second = palette(random, 2, clusters=2)
    paint = first
    if random.random() < 0.5:
        paint = blend(first, second, edge(random, height, width, between(random, 0.7, 12)))
    rough = 1 + np.float32(random.uniform(0.003, 0.04)) * field(
        random, height, width, random.uniform(0.5, 1.5)
    )
    return lit(random, np.asarray(paint * rough[..., None], np.float32), falloff=0.9)


def sky(random: Random, height: int, width: int) -> Linear:
    """Draw a sky, deep blue above and pale at the horizon, clear or with stretched clouds.

    Source: clouds as 1/f^a noise, a about 1.5: Voss 1985, Random Fractal Forgeries.
    """
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None] ** np.float32(random.uniform(0.6, 2))
    evening = np.float32(random.random() ** 4)
    high = np.array([0.10, 0.24, 0.60], np.float32) * np.float32(random.uniform(0.5, 1.2))
    low = np.array([0.55, 0.68, 0.85], np.float32)
    glow = np.array([0.95, 0.45, 0.22], np.float32) * np.float32(random.uniform(0.6, 1))
    light = blend(low + evening * (glow - low), high, up * np.ones((1, width), np.float32))
    cover = random.uniform(-0.8, 1.5)
    thick = stretched(random, height, width, 1.6, 1.0, random.uniform(1, 3)) + np.float32(cover)
    thick = 1 - np.exp(-np.float32(1.2) * np.maximum(thick, 0))
    shade = np.float32(0.85) - np.float32(0.25) * thick * smooth_field(random, height, width, 4)
    cloud = np.array([1.0, 0.98, 0.97], np.float32) - evening * np.array([0, 0.3, 0.5], np.float32)
    light = blend(light, cloud * np.maximum(shade, 0.2)[..., None], thick)
    return lit(random, light, mean=0.33)


def bokeh(random: Random, height: int, width: int) -> Linear:
    """Draw a soft background with discs of light, the image of bright points far out of focus."""
    first, second, third = palette(random, 3, clusters=3)
    soft = (smooth_field(random, height, width, int(random.integers(2, 7))) for _ in range(2))
    light = blend(first, second, np.clip(0.5 + 0.4 * next(soft), 0, 1))
    light = blend(light, third, np.clip(0.4 * next(soft), 0, 1))
    light *= np.float32(random.uniform(0.3, 1))
    radius = between(random, 0.012, 0.09) * max(height, width)
    soft_edge = between(random, 1.2, 6)
    colours = palette(random, 12) ** np.float32(0.5)
    for _ in range(int(random.integers(4, 40))):
        size = radius * random.uniform(0.7, 1.2)
        colour = colours[random.integers(12)] * np.float32(random.exponential(0.35))
        _add_disc(light, random.random(2) * (height, width), size, colour, soft_edge)
    return lit(random, light)


def edge(random: Random, height: int, width: int, soft: float) -> Linear:
    """Draw a straight edge: 0 on one side, 1 on the other, shape (h, w).

    `soft` is the width of the transition, in pixels.
    """
    angle = random.choice([0, np.pi / 2, random.uniform(0, 2 * np.pi)]) + random.normal(0, 0.03)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(random.random() * height)
    x = np.arange(width, dtype=np.float32) - np.float32(random.random() * width)
    away = np.float32(np.cos(angle)) * y + np.float32(np.sin(angle)) * x
    return np.clip(away / np.float32(soft) + np.float32(0.5), 0, 1)


def _add_disc(
    light: Linear, centre: npt.NDArray[Any], radius: float, colour: Linear, soft: float
) -> None:
    """Add a disc of light with a slightly brighter rim, as caused by spherical aberration."""
    reach = int(radius) + 2
    top, left = (max(0, int(place) - reach) for place in centre)
    part = light[top : int(centre[0]) + reach + 1, left : int(centre[1]) + reach + 1]
    y = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(left, left + part.shape[1], dtype=np.float32) - np.float32(centre[1])
    away = np.hypot(y, x)
    share = np.clip((radius - away) / np.float32(soft), 0, 1)
    share *= 1 + np.float32(0.3) * np.square(np.minimum(away / np.float32(radius), 1))
    part += share[..., None] * colour
