"""Prints: inks in dots on paper, as a map of reflected light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trueshot.simulation.colour import (
    Bytes,
    Linear,
    Plane,
    Random,
    box_mean,
    channelwise,
    decode_srgb,
    smooth_field,
)

_ANGLES = (15.0, 75.0, 0.0, 45.0)  # cyan, magenta, yellow, black: the usual ones of offset printing


@dataclass(frozen=True, kw_only=True)
class Print:
    """A printer and its paper.

    Args:
        name: Of the source.
        dots: Ink places per picture pixel, along a side.
        cell: Ink places per halftone cell; 0: stochastic dots, as inkjets spray them.
        ink: Light that a solid ink leaves in the channels that it takes, as a share.
        spread: Blur of light within the paper, standard deviation in ink places.
        paper: Reflected light of bare paper in red, green, blue.
        texture: Standard deviation of the paper's grain, as a share.
    """

    name: str
    dots: int = 3
    cell: float = 4.0
    ink: float = 0.08
    spread: float = 0.7
    paper: tuple[float, float, float] = (0.88, 0.88, 0.86)
    texture: float = 0.015


def separate(picture: Bytes) -> Linear:
    """Shares of the paper that cyan, magenta, yellow and black cover, shape (h, w, 4).

    Black takes half of what the three have in common (grey component replacement).
    Source: Neugebauer 1937, with the inks' shares as their coverage.
    """
    cover = 1 - decode_srgb(picture)
    black = np.square(cover.min(axis=2, keepdims=True))
    colours = (cover - black) / np.maximum(1 - black, 1e-3)
    return np.concatenate([colours, black], axis=2).astype(np.float32)


def halftone(cover: Plane, cell: float, angle: float, random: Random) -> Plane:
    """Turn a share of ink into dots: 1 where ink lies, 0 where not; shape of `cover`.

    Clustered dots on a turned grid for `cell` > 0, dots at random places for 0. In the mean the
    share stays what it is.
    """
    height, width = cover.shape
    if cell > 0:
        turn = np.deg2rad(angle)
        y = np.arange(height, dtype=np.float32)[:, None]
        x = np.arange(width, dtype=np.float32)[None, :]
        shift = random.uniform(0, 2 * np.pi, 2)
        pitch = np.float32(2 * np.pi / cell)
        first = np.cos(pitch * (np.cos(turn) * x + np.sin(turn) * y) + shift[0])
        second = np.cos(pitch * (np.cos(turn) * y - np.sin(turn) * x) + shift[1])
        # The sum of two cosines to a threshold that is uniform, so that the mean is kept.
        threshold = 0.5 + 0.25 * (first + second)
        uniform = threshold_share(threshold)
    else:
        grain = random.random((height, width), dtype=np.float32)
        uniform = 0.5 * grain + 0.5 * np.roll(grain, 1, 1)
        uniform = np.where(uniform < 0.5, 2 * uniform**2, 1 - 2 * (1 - uniform) ** 2)
    return (cover > uniform).astype(np.float32)


_PLACES = np.cos(2 * np.pi * (np.arange(512) + 0.5) / 512)
_SPREAD = np.sort(0.5 + 0.25 * (_PLACES[:, None] + _PLACES[None, :]), axis=None)[::64]


def threshold_share(threshold: Plane) -> Plane:
    """Where 0.5 + (cos a + cos b) / 4 stands among its values over all a, b: uniform in [0, 1]."""
    table = np.searchsorted(_SPREAD, np.linspace(0, 1, 1025)) / len(_SPREAD)
    place = np.clip(threshold * 1024, 0, 1024).astype(np.int16)
    result: Plane = table.astype(np.float32)[place]
    return result


def reflect(picture: Bytes, medium: Print, random: Random) -> Linear:
    """Light that a print gives back, `dots` times as many places along a side as the picture.

    Args:
        picture: Bytes, shape (h, w, 3).
        medium: Printer and paper.
        random: Places of stochastic dots, grain of the paper.

    Returns:
        Linear light, shape (dots · h, dots · w, 3).
    """
    cover = separate(picture)
    side = medium.dots
    light: Linear = np.empty((side * cover.shape[0], side * cover.shape[1], 3), np.float32)
    light[:] = np.array(medium.paper, np.float32)
    for ink in range(4):
        share = np.repeat(np.repeat(cover[..., ink], side, 0), side, 1)
        dots = halftone(share, medium.cell, _ANGLES[ink], random)
        taken = 1 - (1 - np.float32(medium.ink)) * dots
        if ink < 3:
            light[..., ink] *= taken
            light[..., (ink + 1) % 3] *= 1 - 0.12 * dots  # inks are not pure
        else:
            light = channelwise(np.multiply, light, taken)
    paper = grain(light.shape[0], light.shape[1], medium.texture, random)
    return channelwise(np.multiply, light, paper)


def grain(height: int, width: int, depth: float, random: Random) -> Plane:
    """A paper's texture and its waves: factors around 1, shape (h, w)."""
    fine = box_mean(random.standard_normal((height, width), dtype=np.float32), 1)
    waves = smooth_field(random, height, width, 3)
    factors: Plane = 1 + np.float32(depth) * (3 * fine + waves)
    return factors


def draw_print(random: Random, name: str) -> Print:
    """A print from the range of those at home and in an office.

    Source of the ranges: halftones of 75 to 175 lines per inch at 600 to 1200 dots per inch; solid
    densities 1.0 to 1.6; papers of 80 to 93 % reflectance.
    """
    whiteness, warm = random.uniform(0.8, 0.93), random.normal(0, 0.02)
    return Print(
        name=name,
        cell=float(random.choice([0.0, random.uniform(3.0, 7.0)])),
        ink=float(10 ** -random.uniform(1.0, 1.5)),
        spread=float(random.uniform(0.5, 1.2)),
        paper=(whiteness + warm, whiteness, whiteness - warm),
        texture=float(random.uniform(0.003, 0.03)),
    )
