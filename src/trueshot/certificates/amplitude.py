"""Exact bounds on how far a change of one level moves the amplitudes of a windowed spectrum.

The amplitude at a frequency is |Σ w(p) u(p) e^(-iωp)|, summed over the pixels p of a window with
weights w ≥ 0. A change δ adds Σ w(p) δ(p) e^(-iωp) inside the modulus, so the amplitude moves by
at most the modulus of that sum. For |δ(p)| ≤ 1 these sums form a zonotope: the sum of the segments
from -g(p) to g(p) with g(p) = w(p) e^(-iωp). Its farthest points are corners, and each corner is
reached by the signs of cos(ωp - φ) for some φ. At the frequencies of a discrete transform, ωp takes
only `side` directions, so the zonotope has at most `side` corners, and all of them are checked. At
most frequencies the farthest corner lies at 2/π = 0.637 of the sum of the weights, as for a square
wave.

A plane that mixes colours, Σ γ(c) u(c), changes by up to Σ |γ(c)| per level. Rounding to whole
levels and clipping to 0 … 255 leave an adversary fewer changes, never more.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def taper(name: str, side: int) -> Floats:
    """Return the weights of a taper along one side of a window, at most 1, shape (side,).

    Args:
        name: `box`, `hann` (periodic: a constant appears only at frequency zero and one bin beside
            it) or `sine`.
        side: Side of the window in pixels, even.

    Raises:
        ValueError: The name is unknown, or `side` is odd or below 2.
    """
    if side < 2 or side % 2:
        raise ValueError(f"side must be even and at least 2, got {side}")
    steps = np.arange(side)
    if name == "box":
        return np.ones(side)
    if name == "hann":
        return 0.5 - 0.5 * np.cos(2 * math.pi * steps / side)
    if name == "sine":
        return np.sin(math.pi * (steps + 0.5) / side)
    raise ValueError(f"taper must be one of box, hann, sine, got {name!r}")


def linf_constants(weights: Floats) -> Floats:
    """Compute the largest change of the amplitude at each frequency, per level of change in L∞.

    Args:
        weights: Taper along one side, 0 or more, shape (side,); the window is its outer product
            with itself.

    Returns:
        Shape (side, side // 2 + 1), frequencies in the order of `numpy.fft.rfft2`.
    """
    return _linf_constants(tuple(weights.tolist())).copy()


@lru_cache(maxsize=16)
def _linf_constants(weights: tuple[float, ...]) -> Floats:
    side = len(weights)
    corners = _corner_signs(side) * _directions(side)
    constants = np.empty((side, side // 2 + 1))
    for down in range(side):
        constants[down] = np.abs(_weights_by_direction(np.array(weights), down) @ corners.T).max(1)
    return constants


def _directions(side: int) -> npt.NDArray[np.complex128]:
    """Return the directions e^(-iωp), one of each opposite pair, since a segment has two ends.

    Shape (side // 2,).
    """
    return np.asarray(np.exp(-2j * math.pi * np.arange(side // 2) / side))


def _corner_signs(side: int) -> Floats:
    """Return the sign with which each segment adds to a corner, shape (corners, directions).

    With segments sorted by direction, those on one side of a rotating line count as positive, the
    others as negative. The opposite corners have all signs flipped and are left out.
    """
    order = np.arange(side // 2)
    return np.where(order[None] <= order[:, None], 1.0, -1.0)


def _weights_by_direction(weights: Floats, down: int) -> Floats:
    """Sum a window's weights over the pixels of each direction, for a row of frequencies.

    A pixel's direction is k = (down·y + across·x) mod side. The weighted histogram of k over a
    separable window is the circular convolution of the histograms along its two sides, and their
    transforms are the taper's own transform at multiples of the frequency. Opposite directions are
    added together.
    """
    side = len(weights)
    spectrum, turns = np.fft.fft(weights), np.arange(side)
    across = np.arange(side // 2 + 1)[:, None]
    both = spectrum[turns * down % side] * spectrum[across * turns % side]
    sums = np.fft.ifft(both, axis=1).real
    return np.asarray(sums[:, : side // 2] + sums[:, side // 2 :])


def worst_change(weights: Floats, down: int, across: int) -> Floats:
    """Return a change of one level, up or down, that moves an amplitude from 0 by its L∞ constant.

    Args:
        weights: See `linf_constants`.
        down: Vertical frequency, in waves per window.
        across: Horizontal frequency, in waves per window, 0 to side // 2.

    Returns:
        Values -1 and 1, shape (side, side).
    """
    side = len(weights)
    found = _weights_by_direction(weights, down % side)[across]
    signs = _corner_signs(side)
    corner = signs[np.abs((signs * _directions(side)) @ found).argmax()]
    steps = np.arange(side)
    direction = (down * steps[:, None] + across * steps) % side
    change: Floats = np.concatenate([corner, -corner])[direction]
    return change
