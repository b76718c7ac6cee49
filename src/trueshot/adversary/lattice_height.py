"""The lattice height of a photograph, differentiable with respect to its pixels.

The value is the one that `inference.lattice` computes, from the same windows and peaks. The
gradient comes from smooth maxima over the peaks of a window, over all windows and over both window
sizes, because an attack that lowers only the highest peak meets the next highest a step later.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trueshot.adversary.squares import squares
from trueshot.inference.lattice import (
    EULER,
    LUMA,
    NOISE,
    ROUNDING,
    SIDES,
    Frequencies,
    frequencies_of,
    window_corners,
)

_COUNTED = 3  # highest windows, whose mean is the height of a photograph
_SMOOTH = 0.5  # temperature of the smooth maxima, in nats


def lattice_height(photograph: Tensor, scale: int = 1) -> Tensor | None:
    """Compute the feature `luma 1/SCALE height` of a photograph, in nats.

    Args:
        photograph: Levels, float, shape (3, h, w).
        scale: 1, 2 or 4, for full, half or quarter size.

    Returns:
        A scalar; None if no window fits into the photograph at full size.
    """
    if min(photograph.shape[1:]) < min(SIDES):
        return None
    plane = photograph
    for _ in range(scale.bit_length() - 1):
        plane = functional.avg_pool2d(plane[None], 2)[0]
    luma = torch.tensordot(plane.new_tensor(LUMA), plane, dims=1)
    heights = [_height(luma, side, scale) for side in SIDES if side <= min(luma.shape)]
    if not heights:
        return photograph.new_tensor(NOISE)
    return smooth_maximum(torch.stack(heights))


def _height(luma: Tensor, side: int, scale: int) -> Tensor:
    """Compute the mean prominence of the three most prominent windows."""
    ys, xs = window_corners(luma.shape[0], luma.shape[1], side)
    frequencies = frequencies_of(side, scale)
    tiles = squares(luma[None], tuple(product(ys, xs)), side)[:, 0]
    windows = torch.stack([_prominence(tile, frequencies) for tile in tiles])
    exact = windows.topk(min(_COUNTED, len(windows))).values.mean()
    share = torch.softmax(windows.detach() / _SMOOTH, 0)
    return _with_gradient_of(exact, (share * windows).sum())


def _prominence(tile: Tensor, frequencies: Frequencies) -> Tensor:
    """Compute the prominence of the most prominent peak of a window."""
    side = frequencies.side
    hann = torch.from_numpy(frequencies.hann).to(tile)
    spectrum = torch.fft.rfft2((tile - tile.mean()) * hann)
    power = spectrum.real.square() + spectrum.imag.square() + ROUNDING * frequencies.energy
    logarithms = power.log().flatten()
    values = logarithms.detach().cpu().numpy().reshape(side, -1)
    found = []
    for peak in frequencies.peaks(np.ascontiguousarray(values, np.float32), 1):
        ky, kx = round(peak.fy * side), round(peak.fx * side)
        here = int(frequencies.index(ky, kx))
        like = logarithms[torch.from_numpy(_like(frequencies, here))].mean() + EULER
        around = frequencies.index(ky + frequencies.annulus[0], kx + frequencies.annulus[1])
        beside = logarithms[torch.from_numpy(around)].mean() + EULER
        found.append(logarithms[here] - torch.maximum(like, beside))
    return smooth_maximum(torch.stack(found))


def _like(frequencies: Frequencies, here: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the indices of all frequencies as far from zero as `here`, in the same direction."""
    group = int(np.searchsorted(frequencies.starts, frequencies.place[here], "right")) - 1
    first = int(frequencies.starts[group])
    return np.asarray(frequencies.order[first : first + int(frequencies.counts[group])])


def smooth_maximum(values: Tensor) -> Tensor:
    """Return the maximum of `values`, shape (n,), with the gradient of log-sum-exp."""
    return _with_gradient_of(values.amax(), _SMOOTH * torch.logsumexp(values / _SMOOTH, 0))


def _with_gradient_of(value: Tensor, smooth: Tensor) -> Tensor:
    return smooth + (value - smooth).detach()
