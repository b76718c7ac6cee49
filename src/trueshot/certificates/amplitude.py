"""By how much a change of a level moves the amplitude of a windowed spectrum: exactly.

The amplitude at a frequency is |Σ w(p) u(p) e^(-iωp)|, the sum being over the pixels p of a window
with weights w ≥ 0. A change δ adds Σ w(p) δ(p) e^(-iωp) before the bars, so the amplitude moves by
no more than the length of that. With |δ(p)| ≤ 1 those sums fill a zonotope: the sum of segments
from -g(p) to g(p) with g(p) = w(p) e^(-iωp). Its farthest points are corners, and a corner is
reached by the signs of cos(ωp - φ) for some φ. On the frequencies of a discrete transform ωp takes
`side` directions only, so a zonotope has at most `side` corners, and all of them are looked at.
For most frequencies the farthest is 0.637 of the weights' sum away: 2/π, that of a square wave.

With ‖δ‖₂ ≤ 1 the sums fill an ellipse, whose longer half axis has a closed form.

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
    """Weights along one side of a window, at most 1, shape (side,).

    Args:
        name: `box`, `hann` (periodic: a constant shows at zero and one bin beside it only) or
            `sine`.
        side: In pixels, even.

    Raises:
        ValueError: No taper of that name, or an odd side.
    """
    if side < 2 or side % 2:
        raise ValueError(f"a window of an even side wanted, got {side}")
    steps = np.arange(side)
    if name == "box":
        return np.ones(side)
    if name == "hann":
        return 0.5 - 0.5 * np.cos(2 * math.pi * steps / side)
    if name == "sine":
        return np.sin(math.pi * (steps + 0.5) / side)
    raise ValueError(f"taper {name!r}: unknown; known: box, hann, sine")


def linf_constants(weights: Floats) -> Floats:
    """The most that the amplitude at each frequency changes per level of a change in L∞.

    Args:
        weights: Along one side of a window, 0 or more, shape (side,); the window is their product.

    Returns:
        Shape (side, side // 2 + 1): frequencies as of `numpy.fft.rfft2`.
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
    """Of e^(-iωp), without opposite ones: a segment has two ends. Shape (side // 2,)."""
    return np.asarray(np.exp(-2j * math.pi * np.arange(side // 2) / side))


def _corner_signs(side: int) -> Floats:
    """Which end of each segment adds up to a corner, shape (corners, directions).

    Sorted by direction, the segments in front of a turning line count forwards, those behind it
    backwards; the corners on the other side are the same with all signs turned.
    """
    order = np.arange(side // 2)
    return np.where(order[None] <= order[:, None], 1.0, -1.0)


def _weights_by_direction(weights: Floats, down: int) -> Floats:
    """Sums of a window's weights over the pixels of one direction, for a row of frequencies.

    Directions are numbers k = (down·y + across·x) mod side. Their histogram over a window that is
    a product is the circular convolution of those over its sides, and the transform of these is
    the taper's own at multiples of the frequency.
    """
    side = len(weights)
    spectrum, turns = np.fft.fft(weights), np.arange(side)
    across = np.arange(side // 2 + 1)[:, None]
    both = spectrum[turns * down % side] * spectrum[across * turns % side]
    sums = np.fft.ifft(both, axis=1).real
    return np.asarray(sums[:, : side // 2] + sums[:, side // 2 :])


def l2_constants(weights: Floats) -> Floats:
    """The most that the amplitude at each frequency changes per level of a change in L2.

    Args:
        weights: As of `linf_constants`.

    Returns:
        Shape (side, side // 2 + 1).
    """
    side = len(weights)
    squares = np.fft.fft(weights**2)
    down, across = 2 * np.arange(side) % side, 2 * np.arange(side // 2 + 1) % side
    twice = np.abs(np.outer(squares[down], squares[across]))
    return np.sqrt((float(squares[0].real) ** 2 + twice) / 2)


def worst_change(weights: Floats, down: int, across: int) -> Floats:
    """A change by one level, up or down, that moves an amplitude from 0 by its L∞ constant.

    Args:
        weights: As of `linf_constants`.
        down: The frequency, in waves per window downwards.
        across: Likewise to the right.

    Returns:
        -1 and 1, shape (side, side).
    """
    side = len(weights)
    found = _weights_by_direction(weights, down % side)[across]
    signs = _corner_signs(side)
    corner = signs[np.abs((signs * _directions(side)) @ found).argmax()]
    steps = np.arange(side)
    direction = (down * steps[:, None] + across * steps) % side
    change: Floats = np.concatenate([corner, -corner])[direction]
    return change
