"""Dead leaves: overlapping shapes of every size, the simplest model of natural scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Plane,
    Random,
    between,
    decode_srgb,
    encode_srgb,
    to_bytes,
)
from trueshot.simulation.procedural.colours import lit, palette
from trueshot.simulation.procedural.noise import leaf_tile, power_law, tile

_COLOURS = 256  # number of ids in a layer, which has one byte per pixel
_ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)


def dead_leaves(random: Random, height: int, width: int) -> Linear:
    """Draw discs, rectangles and blobs with natural colours, shading and texture, in two layers.

    The far layer covers everything and may be out of focus. The near layer leaves gaps and may
    cast a shadow. Edges that are in focus are one pixel wide.

    Returns:
        Linear light between 0 and 2, shape (h, w, 3).

    Source: Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675: the density of radii falls
        as r^-3. Unlike there, large leaves lie mostly below small ones. The power spectrum falls
        about as 1/f^2.6, that of the photographs in scikit-image and scikit-learn as 1/f^2.5.
    """
    far = _draw(random, height, width, full=True)
    near = _draw(random, height, width, full=False)
    far_colours, near_colours = _bytes(palette(random, _COLOURS)), _bytes(palette(random, _COLOURS))
    near_colours[0] = 0  # id 0 is a gap: black, so that the near layer can be added to the far one
    defocus = float(
        random.choice((0, 0, 0, 1)) * random.uniform(0.5, 0.5 + 0.02 * max(height, width))
    )
    ground = _coloured(far, far_colours)
    if defocus:
        ground = ground.filter(ImageFilter.BoxBlur(defocus)).filter(ImageFilter.BoxBlur(defocus))
    picture = _overlay(random, ground, near, near_colours)
    light = decode_srgb(np.asarray(picture))
    light *= _texture(random, far, near, sharp=not defocus)[..., None]
    return lit(random, light)


def _draw(random: Random, height: int, width: int, full: bool) -> Image.Image:
    """Draw the ids of the topmost leaves as a palette picture, at twice the size."""
    size = max(height, width)
    if full:
        large = random.uniform(0.15, 0.5, 16) * size
        small = between(random, 2.5, 9)
        count = int(0.005 * height * width / max(small, 2.7))
        radii = np.concatenate([large, power_law(random, count, small, max(10, 0.4 * size))])
    else:
        count = int(random.uniform(1e-4, 8e-4) * height * width) + 1
        radii = power_law(random, count, 6, max(7, 0.3 * size))
    # Large leaves are mostly drawn first; otherwise a few hundred would hide all small ones.
    radii = radii[np.argsort(0.7 * random.standard_normal(len(radii)) - np.log(radii))]
    places = _places(random, len(radii)) * (width, height)
    picture = Image.new("P", (2 * width, 2 * height))
    pen = ImageDraw.Draw(picture)
    ids = _ids(random, places / (width, height))
    outlines = 2 * (places[:, None] + radii[:, None, None] * _outlines(random, len(radii)))
    for radius, outline, number in zip(radii, outlines, ids.tolist(), strict=True):
        points = outline[:: 1 if radius > 50 else 2 if radius > 10 else 4]
        pen.polygon(points.ravel().tolist(), fill=number)
    return picture


def _places(random: Random, count: int) -> npt.NDArray[Any]:
    """Draw positions in the unit square; half of the leaves form clumps, like foliage or gravel."""
    places = random.uniform(-0.05, 1.05, (count, 2))
    clumps = random.random((8, 2))[random.integers(0, 8, count)]
    clumped = clumps + 0.07 * random.standard_normal((count, 2))
    return np.where(random.random((count, 1)) < 0.5, clumped, places)


def _ids(random: Random, places: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Choose ids so that neighbouring leaves mostly have colours of one family."""
    seeds = random.random((9, 2))
    nearest = np.square(places[:, None] - seeds).sum(axis=2).argmin(axis=1)
    centre = random.integers(1, _COLOURS, len(seeds))[nearest]
    stray = random.random(len(places)) < 0.08
    spread = np.where(stray, 128, 12) * random.standard_normal(len(places))
    return np.asarray((centre + spread.astype(int)) % (_COLOURS - 1) + 1)


def _outlines(random: Random, count: int) -> npt.NDArray[Any]:
    """Draw closed curves of radius about 1, shape (n, 48, 2).

    They are ellipses, rectangles, diamonds and lobed blobs.
    """
    power = random.choice((1.2, 2, 2, 2, 3, 30), (count, 1))
    cosine, sine = np.cos(_ANGLES), np.sin(_ANGLES)
    radius = (np.abs(cosine) ** power + np.abs(sine) ** power) ** (-1 / power)
    lobes = random.integers(2, 6, (count, 1))
    depth = random.choice((0, 0, 1), (count, 1)) * random.uniform(0.1, 0.4, (count, 1))
    radius *= 1 + depth * np.cos(lobes * _ANGLES + random.uniform(0, 6.28, (count, 1)))
    aspect = np.exp(0.45 * random.standard_normal((count, 1)))
    across, down = radius * cosine * aspect, radius * sine / aspect
    turn = random.uniform(0, np.pi, (count, 1))
    turned = (
        across * np.cos(turn) - down * np.sin(turn),
        across * np.sin(turn) + down * np.cos(turn),
    )
    return np.stack(turned, axis=2)


def _bytes(colours: Linear) -> Bytes:
    return to_bytes(encode_srgb(colours))


def _coloured(ids: Image.Image, colours: Bytes) -> Image.Image:
    picture = ids.copy()
    picture.putpalette(colours.tobytes())
    return picture.convert("RGB").reduce(2)


def _overlay(random: Random, ground: Image.Image, near: Image.Image, colours: Bytes) -> Image.Image:
    """Lay the near leaves over the far ones, in six of ten cases with a soft shadow."""
    gap = near.point([255, *[0] * 255], "L").reduce(2)
    if random.random() < 0.6:
        depth = random.uniform(1, 8)
        shadow = ImageChops.offset(gap, *random.integers(-8, 9, 2).tolist())
        shadow = shadow.filter(ImageFilter.BoxBlur(depth)).filter(ImageFilter.BoxBlur(depth))
        darkest = random.uniform(90, 200)
        shadow = shadow.point([int(darkest + (255 - darkest) * n / 255) for n in range(256)])
        ground = ImageChops.multiply(ground, Image.merge("RGB", (shadow,) * 3))
    ground = ImageChops.multiply(ground, Image.merge("RGB", (gap,) * 3))
    return ImageChops.add(ground, _coloured(near, colours))


def _texture(random: Random, far: Image.Image, near: Image.Image, sharp: bool) -> Plane:
    """Return factors (h, w) for roughness and shading, from a random tile part for each leaf."""
    below, above = np.asarray(far)[::2, ::2], np.asarray(near)[::2, ::2]
    ids = np.where(above > 0, above + np.int16(_COLOURS), below)
    rough = leaf_tile() if random.random() < 0.5 else tile(float(random.choice((0.5, 1.0))))
    smooth = tile(2.0)
    side = smooth.shape[0]
    strengths = np.exp(random.normal(-1.6, 0.6, 2 * _COLOURS)).astype(np.float32)
    shading = np.exp(random.normal(-1.3, 0.5, 2 * _COLOURS)).astype(np.float32)
    if not sharp:  # no texture on a blurred layer, because it would end at sharp outlines
        strengths[:_COLOURS] = shading[:_COLOURS] = 0
    rows, columns = (np.arange(length, dtype=np.int32) for length in ids.shape)
    places = rows[:, None] * np.int32(side) + columns
    places += np.take(random.integers(0, side * side, 2 * _COLOURS, dtype=np.int32), ids)
    places &= side * side - 1  # a row that leaves the tile continues in the next, without a seam
    relief = np.take(strengths, ids) * np.take(rough, places)
    relief += np.take(shading, ids) * np.take(smooth, places)
    return np.exp(relief)
