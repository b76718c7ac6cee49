"""Prints: the light reflected by halftone dots of ink on paper."""

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

DOTS = 3  # printer dots per picture pixel, along a side
SCREEN_ANGLES = (15.0, 75.0, 0.0, 45.0)  # of cyan, magenta, yellow, black, as in offset printing


@dataclass(frozen=True, kw_only=True)
class Print:
    """A printer and its paper.

    Args:
        name: Name of this print; data sets record it as the origin `medium`.
        cell: Period of the halftone grid in printer dots; 0: stochastic dots, as from inkjets.
        ink: Share of the light that a solid ink leaves in the channel it absorbs.
        spread: Blur of light within the paper: standard deviation in printer dots.
        paper: Reflectance of bare paper in red, green and blue.
        texture: Standard deviation of the paper's fine grain, as a share.
    """

    name: str
    cell: float = 4.0
    ink: float = 0.08
    spread: float = 0.7
    paper: tuple[float, float, float] = (0.88, 0.88, 0.86)
    texture: float = 0.015


def separate(picture: Bytes) -> Linear:
    """Return the shares of paper covered by cyan, magenta, yellow and black, shape (h, w, 4).

    Black covers the square of the smallest share among the three colours and replaces part of
    them (grey component replacement).
    Source: Neugebauer 1937, with the inks' shares as their coverage.
    """
    cover = 1 - decode_srgb(picture)
    black = np.square(cover.min(axis=2, keepdims=True))
    colours = (cover - black) / np.maximum(1 - black, 1e-3)
    return np.concatenate([colours, black], axis=2).astype(np.float32)


def halftone(cover: Plane, cell: float, angle: float, random: Random) -> Plane:
    """Turn ink coverage into dots: 1 where there is ink, 0 elsewhere; shape of `cover`.

    For `cell` > 0 the dots are clustered on a rotated grid; for 0 they lie at random positions.
    On average the coverage is preserved.
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
        # Map the sum of two cosines to a uniform threshold, so that the mean is preserved.
        threshold = 0.5 + 0.25 * (first + second)
        uniform = threshold_share(threshold)
    else:
        grain = random.random((height, width), dtype=np.float32)
        uniform = 0.5 * grain + 0.5 * np.roll(grain, 1, 1)
        uniform = np.where(uniform < 0.5, 2 * uniform**2, 1 - 2 * (1 - uniform) ** 2)
    return (cover > uniform).astype(np.float32)


_WAVE = np.cos(2 * np.pi * (np.arange(512) + 0.5) / 512)
_QUANTILES = np.sort(0.5 + 0.25 * (_WAVE[:, None] + _WAVE[None, :]), axis=None)[::64]
_SHARES = np.searchsorted(_QUANTILES, np.linspace(0, 1, 1025)) / len(_QUANTILES)


def threshold_share(threshold: Plane) -> Plane:
    """Map values of 0.5 + (cos a + cos b) / 4 to their quantiles: uniform in [0, 1]."""
    place = np.clip(threshold * 1024, 0, 1024).astype(np.int16)
    return np.asarray(_SHARES.astype(np.float32)[place])


def reflect(picture: Bytes, medium: Print, random: Random) -> Linear:
    """Return the light that a print reflects, with one value per printer dot.

    Args:
        picture: Bytes, shape (h, w, 3).
        medium: Printer and paper.
        random: Generator for the dot positions and the paper's grain.

    Returns:
        Linear light, shape (DOTS · h, DOTS · w, 3).
    """
    cover = separate(picture)
    light: Linear = np.empty((DOTS * cover.shape[0], DOTS * cover.shape[1], 3), np.float32)
    light[:] = np.array(medium.paper, np.float32)
    for ink in range(4):
        share = np.repeat(np.repeat(cover[..., ink], DOTS, 0), DOTS, 1)
        dots = halftone(share, medium.cell, SCREEN_ANGLES[ink], random)
        light = inked(light, ink, dots, 1 - np.float32(medium.ink))
    paper = grain(light.shape[0], light.shape[1], medium.texture, random)
    return channelwise(np.multiply, light, paper)


def inked(light: Linear, ink: int, dots: Plane, taken: np.float32) -> Linear:
    """Return the light that is left after dots of an ink, which may be in the same array.

    Args:
        light: Reflected light, shape (h, w, 3).
        ink: Number of the ink among cyan, magenta, yellow and black.
        dots: Share of ink at each place, shape (h, w).
        taken: Share of the light that solid ink takes from the channel it absorbs.
    """
    if ink == 3:
        return channelwise(np.multiply, light, 1 - taken * dots)
    light[..., ink] *= 1 - taken * dots
    light[..., (ink + 1) % 3] *= 1 - np.float32(0.12) * dots  # real inks absorb other colours, too
    return light


def grain(height: int, width: int, depth: float, random: Random) -> Plane:
    """Draw a paper's grain and waves as factors around 1, shape (h, w)."""
    fine = box_mean(random.standard_normal((height, width), dtype=np.float32), 1)
    waves = smooth_field(random, height, width, 3)
    factors: Plane = 1 + np.float32(depth) * (3 * fine + waves)
    return factors


def draw_print(random: Random, name: str) -> Print:
    """Draw a random print from the range of home and office printers.

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
