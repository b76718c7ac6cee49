"""Plain properties of a photograph, by which it is like those calibrated or is not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trueshot.inference.crops import BLOCK

Bytes = npt.NDArray[np.uint8]

_CLIPPED = (2, 253)  # levels at and beyond these are as good as black and white


def features_of(crops: Bytes, flat: float) -> dict[str, float]:
    """Properties of the crops that are judged; green stands for luma.

    Args:
        crops: RGB bytes, shape (n, side, side, 3), on the grid of JPEG blocks.
        flat: Share of the photograph that shows next to nothing.

    Returns:
        By name; all but the shares in levels, and blockiness, which is a ratio:

        - `brightness`: mean green;
        - `contrast`: deviation of green within a crop, the median over crops;
        - `sharpness`: mean step from one pixel to the next, median over crops;
        - `noise`: deviation of noise by a second difference both ways, of which edges make the
          least (Immerkær 1996, "Fast noise variance estimation"), lowest quarter of crops;
        - `saturation`: mean distance of red and blue from green;
        - `clipped share`: of values that are black or white in green;
        - `flat share`: as given;
        - `blockiness`: steps over the edges of JPEG blocks beside steps elsewhere.

        Empty if there is no crop.
    """
    if not len(crops):
        return {}
    green = crops[..., 1].astype(np.int16)
    means = green.mean((1, 2))
    deviations = np.sqrt(np.maximum(np.square(green, dtype=np.int32).mean((1, 2)) - means**2, 0))
    across = np.abs(green[:, :, 1:] - green[:, :, :-1]).mean(1)
    second = green[:, :, 2:] - 2 * green[:, :, 1:-1] + green[:, :, :-2]
    second = second[:, 2:] - 2 * second[:, 1:-1] + second[:, :-2]
    noise = np.abs(second).mean((1, 2)) * math.sqrt(math.pi / 2) / 6
    low, high = _CLIPPED
    return {
        "brightness": float(means.mean()),
        "contrast": float(np.median(deviations)),
        "sharpness": float(np.median(across.mean(1))),
        "noise": float(np.quantile(noise, 0.25)),
        "saturation": _saturation(crops, green),
        "clipped share": float(((green <= low) | (green >= high)).mean()),
        "flat share": float(flat),
        "blockiness": _blockiness(across.mean(0)),
    }


def _saturation(crops: Bytes, green: npt.NDArray[np.int16]) -> float:
    """Colour by colour: a step of two through memory costs five times as much."""
    distances = (np.abs(crops[..., colour].astype(np.int16) - green) for colour in (0, 2))
    return float(sum(int(each.sum(dtype=np.int64)) for each in distances) / (2 * green.size))


def _blockiness(steps: npt.NDArray[np.float64]) -> float:
    """Mean step at the edges of blocks over that elsewhere; 1 where there is no grid."""
    edges = np.arange(len(steps)) % BLOCK == BLOCK - 1
    elsewhere = float(steps[~edges].mean())
    return float(steps[edges].mean()) / elsewhere if elsewhere > 0 else 1.0
