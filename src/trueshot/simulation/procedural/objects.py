"""Solid objects on a table: light from one side, highlights, soft shadows, patterned sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trueshot.simulation.colour import Linear, Plane, Random, between
from trueshot.simulation.procedural.colours import blend, lit, palette
from trueshot.simulation.procedural.noise import field
from trueshot.simulation.procedural.textures import clouds, pattern


@dataclass(frozen=True)
class _Patch:
    """The part of the picture around an object; coordinates are relative to its foot, -y is up."""

    light: Linear
    y: Plane
    x: Plane


def objects(random: Random, height: int, width: int) -> Linear:
    """Draw spheres, tins and boxes on a table in front of a wall, under one lamp.

    Returns:
        Linear light between 0 and 2, shape (h, w, 3).

    Source: Lambert's cosine law, and Phong 1975, doi:10.1145/360825.360839, for highlights.
    """
    light = _room(random, height, width)
    size = random.uniform(0.06, 0.2) * max(height, width)
    lamp = np.array([random.choice([-1, 1]) * random.uniform(0.3, 0.9), -0.6, 0.6], np.float32)
    lamp /= np.float32(np.linalg.norm(lamp))
    feet = np.sort(random.uniform(0.35, 1.1, random.integers(2, 6))) * height  # far ones first
    for foot, across in zip(feet, random.uniform(0, width, len(feet)), strict=True):
        scale = float(size * random.uniform(0.6, 1.4) * (0.5 + 0.7 * foot / height))
        _shadow(light, foot, across, scale, lamp)
        patch = _patch(light, foot, across, (2.4 * scale, 0.35 * scale, 1.02 * scale))
        if patch.light.size:
            _THINGS[random.integers(len(_THINGS))](random, patch, scale, lamp)
    return lit(random, light)


def _room(random: Random, height: int, width: int) -> Linear:
    """Draw a wall and, below a soft line, a table top, which is sometimes patterned."""
    wall, top = palette(random, 2, clusters=2)
    line = random.uniform(0.1, 0.6) * height
    y = np.arange(height, dtype=np.float32)[:, None]
    share = np.clip((y - line) / np.float32(between(random, 1, 20)) + 0.5, 0, 1)
    share = np.broadcast_to(share, (height, width))
    cloth: Linear = top
    if random.random() < 0.5:
        cloth = (pattern if random.random() < 0.6 else clouds)(random, height, width)
    light = blend(wall, cloth, share)
    rough = np.float32(random.uniform(0.01, 0.06)) * field(random, height, width, 1.0)
    light *= (1 + rough)[..., None]
    light *= (1 - np.float32(0.3) * np.abs(y / height - np.float32(0.5)))[..., None]
    return light


def _patch(light: Linear, foot: float, across: float, reach: tuple[float, float, float]) -> _Patch:
    """Return the part of a picture around (foot, across); `reach` is (up, down, sideways)."""
    top, bottom = max(0, int(foot - reach[0])), max(0, int(foot + reach[1]) + 2)
    left, right = max(0, int(across - reach[2])), max(0, int(across + reach[2]) + 2)
    part = light[top:bottom, left:right]
    y = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(foot)
    x = np.arange(left, left + part.shape[1], dtype=np.float32) - np.float32(across)
    return _Patch(part, y, x)


def _shadow(light: Linear, foot: float, across: float, scale: float, lamp: Linear) -> None:
    """Draw a soft dark ellipse on the side away from the lamp."""
    across -= 0.6 * scale * float(lamp[0])
    patch = _patch(light, foot, across, (0.8 * scale, 0.8 * scale, 2.5 * scale))
    shade = np.exp(-np.square(patch.x / np.float32(1.1 * scale)))
    shade = shade * np.exp(-np.square(patch.y / np.float32(0.35 * scale)))
    patch.light[...] *= (1 - np.float32(0.65) * shade)[..., None]


def _sphere(random: Random, patch: _Patch, radius: float, lamp: Linear) -> None:
    """Draw a sphere, such as a ball, fruit or stone."""
    y, x = (patch.y + np.float32(0.85 * radius)) / np.float32(radius), patch.x / np.float32(radius)
    squared = np.square(y) + np.square(x)
    z = np.sqrt(np.maximum(1 - squared, 0))
    share = np.clip((1 - np.sqrt(squared)) * np.float32(radius) + np.float32(0.5), 0, 1)
    _paint(random, patch.light, share, (y, x, z), lamp, _skin(random, share))


def _tin(random: Random, patch: _Patch, radius: float, lamp: Linear) -> None:
    """Draw an upright cylinder: a tin, cup or pot, often with a band as a label."""
    radius *= 0.7
    tall = radius * random.uniform(1.2, 3.0)
    x = patch.x / np.float32(radius)
    z = np.sqrt(np.maximum(1 - np.square(x), 0))
    flat = np.float32(random.uniform(0.2, 0.35))  # height of the ellipses, seen from above
    bend = flat * np.float32(radius) * z
    inside = np.clip((1 - np.abs(x)) * np.float32(radius) + np.float32(0.5), 0, 1)
    share = (
        inside * np.clip(bend - patch.y, 0, 1) * np.clip(patch.y - bend + np.float32(tall), 0, 1)
    )
    up = (bend - patch.y) / np.float32(tall)
    paint = _skin(random, share)
    if random.random() < 0.7:
        low, high = np.sort(random.random(2))
        band = np.clip(np.minimum(up - low, high - up) * np.float32(tall) + 0.5, 0, 1)
        paint = blend(paint, _skin(random, share), band.astype(np.float32))
    _paint(random, patch.light, share, (np.zeros_like(x), x, z), lamp, paint)
    lid_y = (patch.y + np.float32(tall)) / (flat * np.float32(radius))
    lid = np.clip((1 - np.hypot(lid_y, x)) * flat * np.float32(radius) + np.float32(0.5), 0, 1)
    above = palette(random, 1)[0] * np.float32(0.3 + max(0.0, -float(lamp[1])))
    patch.light[...] = blend(patch.light, above, lid)


def _box(random: Random, patch: _Patch, size: float, lamp: Linear) -> None:
    """Draw a box with its corner towards the camera: two sides, often patterned, and a top."""
    size *= 0.8
    tall, corner = size * random.uniform(0.6, 2.2), random.uniform(-0.5, 0.5) * size
    rise = random.uniform(0.15, 0.4)  # slope of the lower edges towards the back
    colour = palette(random, 1)[0]
    y, x = patch.y, patch.x - np.float32(corner)
    for sign, end in ((-1, -size - corner), (1, size - corner)):
        floor = y + np.float32(rise) * np.abs(x)
        inside = np.clip(sign * x, 0, 1) * np.clip((end - x) * sign + 0.5, 0, 1)
        share = inside * np.clip(0.5 - floor, 0, 1) * np.clip(floor + tall + 0.5, 0, 1)
        facing = 0.25 + 0.75 * max(0.0, float(sign * lamp[0] * 0.7 + lamp[2] * 0.7))
        paint = _skin(random, share) if random.random() < 0.5 else colour
        patch.light[...] = blend(patch.light, paint * np.float32(facing), share.astype(np.float32))
    roof = _roof(y + np.float32(tall), x, rise, (-size - corner, size - corner))
    patch.light[...] = blend(patch.light, colour * np.float32(0.3 - 0.9 * lamp[1]), roof)


def _roof(y: Plane, x: Plane, rise: float, ends: tuple[float, float]) -> Plane:
    """Return the mask of the top face: a parallelogram between the front corner and both ends."""
    left, right = -ends[0], ends[1]
    # Coordinates along the two lower edges, from the front corner: 0 to 1 inside.
    along_right = (x - y / np.float32(rise)) / np.float32(2 * right)
    along_left = (-x - y / np.float32(rise)) / np.float32(2 * left)
    shares = [
        np.clip(np.minimum(along, 1 - along) * np.float32(2 * rise * side) + 0.5, 0, 1)
        for along, side in ((along_right, right), (along_left, left))
    ]
    return np.asarray(shares[0] * shares[1], np.float32)


def _skin(random: Random, share: Plane) -> Linear:
    """Draw the paint of an object: one colour (3,), or mottled or patterned (h, w, 3)."""
    kind = random.random()
    if kind < 0.35:
        return np.asarray(palette(random, 1)[0])
    height, width = share.shape
    return (pattern if kind < 0.7 else clouds)(random, height, width)


def _paint(
    random: Random,
    light: Linear,
    share: Plane,
    normal: tuple[Plane, Plane, Plane],
    lamp: Linear,
    paint: Linear,
) -> None:
    """Light a round object by its surface normals and draw it over the picture."""
    y, x, z = normal
    facing = lamp[1] * y + lamp[0] * x + lamp[2] * z
    shade = np.float32(0.22) + np.float32(0.8) * np.maximum(facing, 0)
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.float32(np.linalg.norm(half))
    gloss = np.maximum(half[1] * y + half[0] * x + half[2] * z, 0)
    gloss = gloss ** np.float32(between(random, 8, 200)) * np.float32(random.uniform(0, 0.8))
    light[...] = blend(light, paint * shade[..., None] + gloss[..., None], share)


_THINGS: tuple[Callable[[Random, _Patch, float, Linear], None], ...] = (_sphere, _tin, _box)
