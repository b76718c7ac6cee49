"""Simple properties of a photograph that show whether it resembles those calibrated on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trueshot.inference.crops import BLOCK

Bytes = npt.NDArray[np.uint8]

_CLIPPED = (2, 253)  # levels at and beyond these count as black and white


def features_of(crops: Bytes, flat: float) -> dict[str, float]:
    """Compute simple properties of the judged crops; green stands for luma.

    Args:
        crops: RGB bytes, shape (n, side, side, 3), on the grid of JPEG blocks.
        flat: Share of the photograph that shows next to nothing.

    Returns:
        Values by name; shares are in [0, 1], blockiness is a ratio, all others are in levels:

        - `brightness`: mean of green;
        - `contrast`: standard deviation of green within a crop, median over crops;
        - `sharpness`: mean step from a pixel to its right neighbour, median over crops;
        - `noise`: standard deviation of the noise, from second differences in both directions,
          which edges affect least (Immerkær 1996, "Fast noise variance estimation"), lower
          quartile over crops;
        - `saturation`: mean distance of red and blue from green;
        - `clipped share`: share of green values that are black or white;
        - `flat share`: as given;
        - `blockiness`: mean step across the edges of JPEG blocks over the mean step elsewhere.

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
    """Process one colour at a time: reading every second byte takes five times as long."""
    distances = (np.abs(crops[..., colour].astype(np.int16) - green) for colour in (0, 2))
    return float(sum(int(each.sum(dtype=np.int64)) for each in distances) / (2 * green.size))


def _blockiness(steps: npt.NDArray[np.float64]) -> float:
    """Return the mean step at block edges over that elsewhere; 1 if the latter is 0."""
    edges = np.arange(len(steps)) % BLOCK == BLOCK - 1
    elsewhere = float(steps[~edges].mean())
    return float(steps[edges].mean()) / elsewhere if elsewhere > 0 else 1.0
