"""Hands that hold things, drawn as rounded strokes: fingers, a palm, a thumb over the edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from trueshot.simulation.colour import Plane, Random, smooth_field
from trueshot.simulation.procedural.text import Ink
from trueshot.simulation.staging.geometry import Box, parallel
from trueshot.simulation.staging.parts import Part

# Reflectance of skin as sRGB levels, from light to dark. Source: the six Fitzpatrick skin types.
_SKINS = (
    (236, 196, 172),
    (224, 178, 148),
    (200, 150, 118),
    (172, 122, 90),
    (134, 90, 62),
    (86, 58, 42),
)
_SMOOTH = 5  # exponent of the smooth union of strokes; higher values keep them more distinct
_MOST = 1400  # most pixels along a side of a drawing; enough because skin is smooth

Stroke = tuple[float, float, float, float, float, float]  # (x, y) of both ends, then both radii


def _hand(strokes: Sequence[Stroke], skin: Ink, seed: int, *, nails: bool, depth: float) -> Part:
    """Return a part that shows strokes as skin; later strokes hide the nails of earlier ones."""
    box: Box = (
        min(min(x0 - r0, x1 - r1) for x0, _, x1, _, r0, r1 in strokes),
        min(min(y0 - r0, y1 - r1) for _, y0, _, y1, r0, r1 in strokes),
        max(max(x0 + r0, x1 + r1) for x0, _, x1, _, r0, r1 in strokes),
        max(max(y0 + r0, y1 + r1) for _, y0, _, y1, r0, r1 in strokes),
    )

    def paint(height: int, width: int) -> Image.Image:
        share = min(0.6, _MOST / max(height, width))
        tall, wide = max(2, round(height * share)), max(2, round(width * share))
        image = _painted(strokes, box, skin, seed, tall, wide, nails=nails)
        return image.resize((width, height), Image.Resampling.BILINEAR)

    return Part(
        box=box,
        paint=paint,
        plane=parallel(depth),
        gloss=0.01,
        finest=6.0,
        rises=4.0,
    )


def _painted(
    strokes: Sequence[Stroke],
    box: Box,
    skin: Ink,
    seed: int,
    height: int,
    width: int,
    *,
    nails: bool,
) -> Image.Image:
    """Draw strokes as one rounded surface lit by a lamp: RGBA."""
    random = np.random.default_rng(seed)
    scale = width / (box[2] - box[0])
    x = ((np.arange(width, dtype=np.float32) + 0.5) / scale + box[0])[None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / scale + box[1])[:, None]
    bulge = np.zeros((height, width), np.float32)
    cover, nail = np.zeros_like(bulge), np.zeros_like(bulge)
    for stroke in strokes:
        rows, columns = _around(stroke, box, scale, height, width)
        rise, covered = _stroke(stroke, x[:, columns], y[rows], scale)
        bulge[rows, columns] += rise**_SMOOTH
        cover[rows, columns] = np.maximum(cover[rows, columns], covered)
        if nails:
            nail[rows, columns] = _nail(stroke, x[:, columns], y[rows], scale)
    bulge = bulge ** np.float32(1 / _SMOOTH)
    down, across = (slope * np.float32(scale) for slope in np.gradient(bulge))
    lamp = random.uniform(-0.7, 0.7, 2)
    steep = np.sqrt(1 + down * down + across * across)
    shade = np.clip((0.9 - lamp[0] * down - lamp[1] * across) / steep, 0.12, 1.2)
    mottle = 1 + 0.05 * smooth_field(random, height, width, 12)
    rough = 1 + 0.025 * random.standard_normal((height, width), dtype=np.float32)
    colour = np.array(skin, np.float32) * ((0.35 + 0.65 * shade) * mottle * rough)[..., None]
    colour[..., 0] += 16 * (1 - np.minimum(shade, 1))  # blood makes shaded skin redder
    pale = np.array(skin, np.float32) * np.float32(1.08) + np.float32(12)
    colour += (0.45 * nail * shade)[..., None] * (pale - colour)
    rgba = np.concatenate([np.clip(colour, 0, 255), 255 * cover[..., None]], axis=2)
    return Image.fromarray(rgba.astype(np.uint8))


def _around(stroke: Stroke, box: Box, scale: float, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that a stroke may cover."""
    x0, y0, x1, y1, r0, r1 = stroke
    most = max(r0, r1) + 1 / scale
    left, right = min(x0, x1) - most - box[0], max(x0, x1) + most - box[0]
    top, bottom = min(y0, y1) - most - box[1], max(y0, y1) + most - box[1]
    rows = slice(max(0, int(top * scale) - 1), min(height, int(bottom * scale) + 2))
    return rows, slice(max(0, int(left * scale) - 1), min(width, int(right * scale) + 2))


def _stroke(stroke: Stroke, x: Plane, y: Plane, scale: float) -> tuple[Plane, Plane]:
    """Return height and coverage of a rounded stroke at places x (1, w) and y (h, 1)."""
    x0, y0, x1, y1, r0, r1 = stroke
    dx, dy = np.float32(x1 - x0), np.float32(y1 - y0)
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    radius = np.float32(r0) + np.float32(r1 - r0) * along
    away = np.hypot(x - x0 - along * dx, y - y0 - along * dy) / radius
    cover = np.clip((1 - away) * radius * np.float32(scale) + np.float32(0.5), 0, 1)
    rise = radius * np.sqrt(np.clip(1 - np.square(away), 0, 1))
    return rise.astype(np.float32), cover.astype(np.float32)


def _nail(stroke: Stroke, x: Plane, y: Plane, scale: float) -> Plane:
    """Return the coverage of the nail at the end of a stroke."""
    x0, y0, x1, y1, _, r1 = stroke
    long = float(np.hypot(x1 - x0, y1 - y0))
    ux, uy = (x1 - x0) / long, (y1 - y0) / long
    dx, dy = x - (x1 + 0.1 * r1 * ux), y - (y1 + 0.1 * r1 * uy)
    away = np.hypot((dx * ux + dy * uy) / 0.75, (dx * uy - dy * ux) / 0.6)
    return np.clip((r1 - away) * np.float32(0.5 * scale), 0, 1).astype(np.float32)


def hold(random: Random, whole: Box) -> tuple[Part, Part]:
    """Return a hand around a thing of this box: the part behind it and the part in front."""
    left, top, right, bottom = whole
    wide, tall = right - left, bottom - top
    skin = _SKINS[int(random.integers(len(_SKINS)))]
    seed = int(random.integers(2**31))
    side = int(random.choice([-1, 1]))  # side of the thumb: -1 is left
    edge, opposite = (left, right) if side < 0 else (right, left)
    grip = top + tall * float(random.uniform(0.45, 0.85)) if tall > 110 else bottom - 10
    if wide > 110:
        return _pinch(random, whole, skin, seed)
    palm: list[Stroke] = [
        (edge + side * 22, bottom + 230, edge + side * 4, bottom + 60, 29, 33),
        (edge + side * 4, bottom + 60, edge - side * 8, grip + 10, 36, 33),
        (edge - side * 2, bottom + 30, edge + side * 7, grip + 40, 24, 16),
    ]
    base = (edge + side * 9, grip + 42)
    reach = float(random.uniform(2, 22))
    thumb: list[Stroke] = [
        (edge + side * 12, bottom + 40, *base, 20, 14),
        (*base, edge + side * 5, grip + 8, 14, 10.5),
        (
            edge + side * 5,
            grip + 8,
            edge - side * reach,
            grip - float(random.uniform(5, 24)),
            10.5,
            8.5,
        ),
    ]
    tips: list[Stroke] = []
    for finger in range(int(random.integers(2, 5))):
        y = grip - 30 + 18.5 * finger + float(random.uniform(-1.5, 1.5))
        over = float(random.uniform(0, 9))
        knuckle = (opposite - side * float(random.uniform(4, 7)), y + 3)
        palm.append((opposite + side * 40, y + 9, *knuckle, 9.5, 8.5))
        tips.append((*knuckle, opposite + side * over, y, 8.5, 7.2))
    front = [*tips, *thumb] if random.random() < 0.8 else tips or thumb
    return (
        _hand(palm, skin, seed, nails=False, depth=9.0),
        _hand(front, skin, seed + 1, nails=True, depth=-2.0),
    )


def _pinch(random: Random, whole: Box, skin: Ink, seed: int) -> tuple[Part, Part]:
    """Return a hand that pinches a wide thing at an edge: the parts behind and in front."""
    left, top, right, bottom = whole
    place = float(random.uniform(0.25, 0.75))
    if random.random() < 0.5:  # at the lower edge
        x, y, dx, dy = left + place * (right - left), bottom, 0.0, 1.0
    else:
        side = int(random.choice([-1, 1]))
        x, y, dx, dy = (
            (right if side > 0 else left),
            top + place * (bottom - top),
            float(side),
            0.35,
        )
    lean = float(random.uniform(-14, 14))
    thumb: list[Stroke] = [
        (x + 110 * dx + lean, y + 110 * dy, x + 42 * dx + lean / 2, y + 42 * dy, 24, 15),
        (x + 42 * dx + lean / 2, y + 42 * dy, x - 16 * dx, y - 16 * dy, 13, 9.5),
    ]
    palm: list[Stroke] = [
        (x + 190 * dx + lean, y + 190 * dy, x + 60 * dx + lean, y + 60 * dy, 36, 34),
        (
            x + 60 * dx + 16,
            y + 60 * dy + 10 * abs(dx),
            x - 10 * dx + 12,
            y - 10 * dy + 8 * abs(dx),
            13,
            9,
        ),
    ]
    return _hand(palm, skin, seed, nails=False, depth=6.0), _hand(
        thumb, skin, seed + 1, nails=True, depth=-2.0
    )
