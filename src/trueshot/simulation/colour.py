"""Linear light, the sRGB curve, blurs, and the transfer function of lens and photosite.

Linear light is relative: 0 is black, 1 is diffuse white. Arrays are float32 of shape (h, w, 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Linear = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Random = np.random.Generator

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)

_ENCODED = np.arange(256) / 255.0
_DECODED = np.where(
    _ENCODED <= 0.04045, _ENCODED / 12.92, ((_ENCODED + 0.055) / 1.055) ** 2.4
).astype(np.float32)
_STEPS = 4096
_STRIP = 16  # rows interpolated at a time, so that their data stays in the CPU cache
_LIGHT = np.linspace(0, 1, _STEPS + 1) ** 2  # finer in the shadows, where the curve is steep
_CURVE = np.where(_LIGHT <= 0.0031308, 12.92 * _LIGHT, 1.055 * _LIGHT ** (1 / 2.4) - 0.055).astype(
    np.float32
)


def decode_srgb(pixels: Bytes) -> Linear:
    """Convert sRGB bytes to linear light in [0, 1]. Source: IEC 61966-2-1."""
    return np.take(_DECODED, pixels)


def encode_srgb(light: Linear) -> Linear:
    """Convert linear light, clipped to [0, 1], to sRGB values in [0, 1], to within 0.0003."""
    place = np.sqrt(np.clip(light, 0.0, 1.0)) * np.float32(_STEPS)
    return np.take(_CURVE, (place + np.float32(0.5)).astype(np.intp))


def recolour(light: Linear, matrix: npt.ArrayLike) -> Linear:
    """Apply a (3, 3) matrix to the channels, with bit-identical results at any memory address.

    A matrix product would be faster for some shapes, but its rounding depends on memory address
    and number of threads.
    """
    rows = np.asarray(matrix, light.dtype)
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    mixed = np.empty_like(light)
    for channel, row in enumerate(rows):
        mixed[..., channel] = row[0] * red + row[1] * green + row[2] * blue
    return mixed


def lightness(light: Linear) -> Plane:
    """Return the sum of the channels weighted by `LUMA`, shape (h, w)."""
    result: Plane = LUMA[0] * light[..., 0] + LUMA[1] * light[..., 1] + LUMA[2] * light[..., 2]
    return result


def channelwise(operation: np.ufunc, light: Linear, plane: Plane) -> Linear:
    """Apply `operation` to each channel and a plane that broadcasts to (h, w); return a new array.

    NumPy's own broadcasting over a last axis of three takes two and a half times as long.
    """
    result = np.empty_like(light)
    for channel in range(light.shape[2]):
        operation(light[..., channel], plane, out=result[..., channel])
    return result


def to_bytes(values: Linear) -> Bytes:
    """Convert values, clipped to [0, 1], to bytes by rounding."""
    return (np.clip(values, 0.0, 1.0) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def blur(light: Linear, sigma: float) -> Linear:
    """Blur each channel with a Gaussian; `sigma` is in pixels.

    The total light is preserved except at the image border. The kernel is the discrete Gaussian,
    whose variance is right even below half a pixel, where a sampled Gaussian is far too narrow.

    Source: Lindeberg 1990, "Scale-space for discrete signals", doi:10.1109/34.49051, equation 12.
    """
    if sigma < 0.05:
        return light
    radius = int(3.5 * sigma + 2)  # a smaller radius would lose more than 0.4 % of the variance
    weights = special.ive(np.arange(radius + 1), sigma**2)
    weights = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
    down = _weighted_sums(light, weights)
    return _weighted_sums(down.swapaxes(0, 1), weights).swapaxes(0, 1)


def _weighted_sums(rows: Linear, weights: npt.NDArray[np.float32]) -> Linear:
    """Sum each row and its neighbours, weighted by distance; the end rows are repeated."""
    reach = len(weights) - 1
    padded = np.pad(rows, [(reach, reach)] + [(0, 0)] * (rows.ndim - 1), mode="edge")
    end = reach + len(rows)
    total: Linear = padded[reach:end] * weights[0]
    both = np.empty_like(total)
    for distance, weight in enumerate(weights[1:], 1):
        np.add(
            padded[reach - distance : end - distance],
            padded[reach + distance : end + distance],
            out=both,
        )
        both *= weight
        total += both
    return total


def box_mean(plane: Plane, radius: int) -> Plane:
    """Average a plane (h, w) over squares of 2 · radius + 1 pixels; it is mirrored at its edges."""
    count = 2 * radius + 1
    padded = np.pad(plane, radius, mode="symmetric")
    total = _running_sums(_running_sums(padded, count).T, count).T
    return np.asarray(total * np.float32(1 / count**2))


def _running_sums(rows: Plane, count: int) -> Plane:
    """Return the sums of every `count` consecutive rows, computed by halving `count`."""
    if count == 1:
        return rows
    if count % 2:
        return _running_sums(rows, count - 1)[:-1] + rows[count - 1 :]
    half = _running_sums(rows, count // 2)
    return half[: -(count // 2)] + half[count // 2 :]


def transfer(y: Any, x: Any, sigma: float, aperture: float) -> npt.NDArray[np.float64]:
    """Return the transfer function of a lens and a photosite: the factor on a sine wave.

    Args:
        y: Frequency of the wave down the image, in cycles per pixel.
        x: Frequency across the image, in cycles per pixel.
        sigma: Lens blur: standard deviation of a Gaussian, in pixels.
        aperture: Side of a photosite's light-sensitive square, in pixels.

    Returns:
        Factors in [-0.22, 1]: the Gaussian's transfer function times that of the square,
        sinc(aperture · frequency) in each direction.

    Source: Goodman, Introduction to Fourier Optics, chapter 6.
    """
    lens = np.exp(-2 * (np.pi * sigma) ** 2 * (np.square(y) + np.square(x)))
    return np.asarray(lens * np.sinc(aperture * np.asarray(y)) * np.sinc(aperture * np.asarray(x)))


def mix(light: Linear, rows: Plane, columns: Plane) -> Linear:
    """Interpolate light bilinearly between pixels; the centre of the first pixel is (0, 0).

    Args:
        light: Linear light, shape (height, width, 3).
        rows: Row coordinates in [0, height - 1), shape (h, w).
        columns: Column coordinates in [0, width - 1), shape (h, w).
    """
    width = light.shape[1]
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    down = rows - top.astype(np.float32)
    across = columns - left.astype(np.float32)
    flat, first = light.reshape(-1, 3), top * width + left
    mixed = np.empty((*rows.shape, 3), np.float32)
    for start in range(0, len(rows), _STRIP):
        here = slice(start, start + _STRIP)
        upper = _mix_two(flat, first[here], across[here])
        lower = _mix_two(flat, first[here] + width, across[here])
        mixed[here] = upper + channelwise(np.multiply, lower - upper, down[here])
    return mixed


def _mix_two(flat: Linear, first: npt.NDArray[np.intp], share: Plane) -> Linear:
    left = np.take(flat, first, 0)  # four times as fast as flat[first]
    return left + channelwise(np.multiply, np.take(flat, first + 1, 0) - left, share)


def between(random: Random, low: float, high: float) -> float:
    """Draw a number from `low` to `high` whose logarithm is uniformly distributed."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def smooth_field(random: Random, height: int, width: int, cells: int = 3) -> Plane:
    """Draw a smooth random field of mean 0 and standard deviation about 0.75, shape (h, w)."""
    grid = random.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    rows = np.linspace(0, cells, height, dtype=np.float32)
    columns = np.linspace(0, cells, width, dtype=np.float32)
    return _interpolate(_interpolate(grid, rows).T, columns).T


def _interpolate(grid: Plane, places: Plane) -> Plane:
    """Interpolate between a grid's rows with the smoothstep; shape (len(places), columns)."""
    first = np.minimum(places.astype(np.intp), len(grid) - 2)
    share = (places - first)[:, None]
    share = share * share * (3 - 2 * share)
    result: Plane = grid[first] * (1 - share) + grid[first + 1] * share
    return result
