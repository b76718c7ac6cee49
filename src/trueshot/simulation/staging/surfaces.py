"""Surfaces of tables, floors and walls: plain, wood, cloth, patterns, clouds, grain, stripes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.simulation.colour import Linear, Random, between, encode_srgb, smooth_field, to_bytes
from trueshot.simulation.procedural.noise import stretched
from trueshot.simulation.procedural.textures import clouds, grain, pattern

_TILE = 768  # pixels along a tile; larger surfaces repeat it in mirror images


# Factors on red, green and blue that turn grey into common colours of homes: white, beige, brown,
# blue, green, red.
_TONES = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.08, 1.0, 0.88),
    (1.2, 1.0, 0.78),
    (1.25, 0.95, 0.65),
    (1.3, 0.9, 0.55),
    (0.97, 1.0, 1.03),
    (0.75, 0.95, 1.35),
    (0.85, 1.08, 0.9),
    (1.4, 0.75, 0.75),
)


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A surface that can be painted at any size.

    Args:
        kind: One of `_KINDS`.
        seed: Seed of the pattern and its colours.
        level: Mean light that the surface reflects, as a share.
        colour: Share of the pattern's colours that is kept; 0 leaves shades of one tone.
        zoom: Pixels of the surface per pixel of its pattern.
    """

    kind: str
    seed: int
    level: float
    colour: float
    zoom: float

    def paint(self, height: int, width: int) -> Image.Image:
        """Paint the surface at (height, width) pixels, RGB."""
        tall, wide = max(8, round(height / self.zoom)), max(8, round(width / self.zoom))
        random = np.random.default_rng(self.seed)
        light = _KINDS[self.kind][0](random, min(tall, _TILE), min(wide, _TILE))
        grey = np.float32(1 - self.colour) * light.mean(axis=2, keepdims=True)
        light = np.float32(self.colour) * light + grey
        light = light * np.array(_TONES[self.seed % len(_TONES)], np.float32)
        mean = float(light.mean(axis=(0, 1)).mean())
        light *= np.float32(self.level / max(1e-3, mean))
        pixels = to_bytes(encode_srgb(np.minimum(light, 0.95)))
        rest = (0, tall - pixels.shape[0]), (0, wide - pixels.shape[1]), (0, 0)
        image = Image.fromarray(np.pad(pixels, rest, "symmetric"))
        return image.resize((width, height), Image.Resampling.BICUBIC)


def _plain(random: Random, height: int, width: int) -> Linear:
    """Make a painted wall or table top, slightly rough and uneven."""
    tint = 1 + 0.12 * random.standard_normal(3)
    rough = random.standard_normal((height, width), dtype=np.float32)
    waves = smooth_field(random, height, width, 4)
    flat = 1 + np.float32(random.uniform(0, 0.03)) * rough + np.float32(0.04) * waves
    return np.asarray(np.maximum(flat[..., None] * tint, 0.02), np.float32)


def _wood(random: Random, height: int, width: int) -> Linear:
    """Make planks with a grain along them."""
    tone = np.array([1.0, random.uniform(0.62, 0.85), random.uniform(0.35, 0.65)], np.float32)
    lines = stretched(random, height, width, random.uniform(0.6, 1.1), 1.0, between(random, 8, 40))
    light = np.exp(np.float32(random.uniform(0.08, 0.3)) * lines)[..., None] * tone
    planks = int(random.choice([1, 1, 3, 5, 8]))
    rows = np.arange(height) * planks // height
    light = (
        light * (1 + 0.1 * random.standard_normal(planks)).astype(np.float32)[rows][:, None, None]
    )
    if planks > 1:
        light[1:][rows[1:] != rows[:-1]] *= 0.45
    return np.asarray(np.maximum(light, 0.02), np.float32)


def _cloth(random: Random, height: int, width: int) -> Linear:
    """Make cloth in folds, as on a bed, a sofa or a shirt."""
    base = pattern(random, height, width)
    if random.random() < 0.6:
        base = 0.25 * base + 0.75 * base.mean(axis=(0, 1))
    folds = smooth_field(random, height, width, int(random.integers(3, 9)))
    creases = smooth_field(random, height, width, int(random.integers(6, 18)))
    slope = np.gradient(folds)[0] * height * 0.1 + np.gradient(creases)[1] * width * 0.03
    shade = np.exp(np.float32(random.uniform(0.1, 0.45)) * np.clip(slope, -2, 2))
    return np.asarray(base * shade[..., None], np.float32)


def _stripes(random: Random, height: int, width: int) -> Linear:
    """Make broad stripes or checks."""
    colours = random.uniform(0.03, 0.9, (4, 3)).astype(np.float32)
    edges = np.sort(random.random(int(random.integers(3, 9))))
    across = np.searchsorted(edges, (np.arange(width) / width * random.integers(1, 4)) % 1) % 4
    light = np.tile(colours[across][None], (height, 1, 1))
    if random.random() < 0.4:
        down = np.searchsorted(edges, (np.arange(height) / height * random.integers(1, 4)) % 1) % 4
        light = 0.5 * light + 0.5 * colours[down][:, None]
    rough = random.standard_normal((height, width, 1), dtype=np.float32)
    return np.asarray(np.maximum(light * (1 + 0.05 * rough), 0.01), np.float32)


# The function that makes each kind, and its probabilities where it lies and where it hangs.
_KINDS: dict[str, tuple[Callable[[Random, int, int], Linear], float, float]] = {
    "plain": (_plain, 0.14, 0.55),
    "wood": (_wood, 0.26, 0.1),
    "cloth": (_cloth, 0.2, 0.06),
    "pattern": (pattern, 0.16, 0.09),
    "clouds": (clouds, 0.12, 0.14),
    "grain": (grain, 0.06, 0.02),
    "stripes": (_stripes, 0.06, 0.04),
}


def draw_surface(random: Random, *, hanging: bool) -> Surface:
    """Draw a surface such as a wall if `hanging`, else a table, bed or floor."""
    shares = [hung if hanging else laid for _, laid, hung in _KINDS.values()]
    kind = str(random.choice(list(_KINDS), p=shares))
    return Surface(
        kind=kind,
        seed=int(random.integers(2**31)),
        level=between(random, 0.25, 0.8) if hanging else between(random, 0.05, 0.7),
        colour=float(random.uniform(0.0, 1.0)) ** 2 * (0.4 if hanging else 0.9),
        zoom=between(random, 1, 3)
        if kind in ("plain", "pattern", "grain")
        else between(random, 1, 2),
    )
