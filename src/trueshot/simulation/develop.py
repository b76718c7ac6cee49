"""From raw light to a picture, as cameras develop it: colour, denoising, tone, sharpening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trueshot.simulation.colour import (
    LUMA,
    Linear,
    Plane,
    blur,
    box_mean,
    channelwise,
    lightness,
    recolour,
)

DENOISERS = ("none", "chroma", "guided", "median")


@dataclass(frozen=True, kw_only=True)
class Development:
    """How a camera turns raw light into a picture.

    Args:
        crosstalk: How far a filter lets the other colours through, as a share.
        saturation: Of colours: 1 keeps them.
        denoiser: One of `DENOISERS`.
        denoise_radius: In pixels.
        denoise_strength: For `guided` the noise that is taken away, in encoded values; for others
            the share of the smoothed picture.
        contrast: Strength of the S-curve: 0 is none.
        local_contrast: Share of detail larger than ten pixels that is added.
        sharpen_amount: Share of the detail that is added.
        sharpen_radius: Its size, in pixels.
        halo: Largest overshoot of sharpening, in encoded values.
    """

    crosstalk: float = 0.15
    saturation: float = 1.1
    denoiser: str = "guided"
    denoise_radius: int = 2
    denoise_strength: float = 0.02
    contrast: float = 0.3
    local_contrast: float = 0.0
    sharpen_amount: float = 0.5
    sharpen_radius: float = 1.0
    halo: float = 0.1


def crosstalk_matrix(share: float) -> Linear:
    """What red, green and blue filters take of red, green and blue light; rows add up to 1."""
    neighbours = np.array([[0, 0.8, 0.2], [0.5, 0, 0.5], [0.2, 0.8, 0]])
    return ((1 - share) * np.eye(3) + share * neighbours).astype(np.float32)


def correct_colour(
    raw: Linear, crosstalk: float, saturation: float, cast: tuple[float, float] = (1.0, 1.0)
) -> Linear:
    """Undo the crosstalk, set the saturation and leave a cast, by one matrix.

    Without a cast, factors on red and blue, grey stays grey.
    """
    to_grey = np.tile(LUMA, (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * to_grey) @ np.linalg.inv(
        crosstalk_matrix(crosstalk).astype(float)
    )
    return recolour(raw, np.diag([cast[0], 1.0, cast[1]]) @ matrix)


def s_curve(values: Linear, strength: float) -> Linear:
    """Encoded values with more contrast in the middle; 0, 0.5 and 1 stay; monotone up to 1."""
    bent = values * values * (3 - 2 * values)
    return values + np.float32(strength) * (bent - values)


def guided_smooth(
    planes: Sequence[Plane], guide: Plane, radius: int, strength: float
) -> list[Plane]:
    """Smooth where the guide is flat, keep where it has edges.

    Source: He, Sun, Tang 2013, "Guided image filtering", equations 5 and 6.

    Args:
        planes: What to smooth, each of shape (h, w).
        guide: Its edges are kept, shape (h, w).
        radius: Of the windows, in pixels.
        strength: Deviations of the guide below this are noise.
    """
    mean_guide = box_mean(guide, radius)
    squares: Plane = box_mean(np.square(guide), radius)
    variance: Plane = np.maximum(squares - np.square(mean_guide), np.float32(0))
    smoothed = []
    for plane in planes:
        if plane is guide:
            mean_plane, covariance = mean_guide, variance
        else:
            mean_plane = box_mean(plane, radius)
            covariance = box_mean(np.multiply(guide, plane), radius) - mean_guide * mean_plane
        slope: Plane = covariance / (variance + np.float32(strength**2))
        offset = mean_plane - slope * mean_guide
        smoothed.append(box_mean(slope, radius) * guide + box_mean(offset, radius))
    return smoothed


def median_of_nine(plane: Plane) -> Plane:
    """The median of each pixel and its eight neighbours; the plane is mirrored at its edges.

    With the columns sorted, it is the median of three: the largest of the least, the median of
    the middle ones, the least of the largest.
    """
    padded = np.pad(plane, 1, mode="symmetric")
    first, second, third = padded[:-2], padded[1:-1], padded[2:]
    low, high = np.minimum(first, second), np.maximum(first, second)
    least, most = np.minimum(low, third), np.maximum(high, third)
    middle = np.maximum(low, np.minimum(high, third))
    return _median(
        np.maximum(np.maximum(least[:, :-2], least[:, 1:-1]), least[:, 2:]),
        _median(middle[:, :-2], middle[:, 1:-1], middle[:, 2:]),
        np.minimum(np.minimum(most[:, :-2], most[:, 1:-1]), most[:, 2:]),
    )


def _median(a: Plane, b: Plane, c: Plane) -> Plane:
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def denoise(values: Linear, kind: str, radius: int, strength: float) -> Linear:
    """Take noise away from encoded values, shape (h, w, 3), lightness and colours apart."""
    if kind == "none":
        return values
    if kind not in DENOISERS:
        raise ValueError(f"denoiser {kind!r}: known: {', '.join(DENOISERS)}")
    light = lightness(values)
    colours = [values[..., channel] - light for channel in (0, 2)]
    if kind == "guided":
        (smooth,) = guided_smooth([light], light, radius, strength)
        planes = guided_smooth(colours, light, 2 * radius, strength)
    elif kind == "median":
        smooth = light + np.float32(min(1.0, 20 * strength)) * (median_of_nine(light) - light)
        planes = [box_mean(colour, radius) for colour in colours]
    else:
        smooth = light
        planes = [blur(colour, radius) for colour in colours]
    red, blue = smooth + planes[0], smooth + planes[1]
    green = (smooth - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return np.stack([red, green, blue], axis=-1)


def sharpen(values: Linear, amount: float, radius: float, halo: float) -> Linear:
    """Add detail of the lightness to all channels (unsharp mask), within `halo` of what was."""
    if amount <= 0:
        return values
    light = lightness(values)
    detail = np.float32(amount) * (light - blur(light, radius))
    return channelwise(np.add, values, np.clip(detail, -halo, halo))


def add_local_contrast(values: Linear, share: float) -> Linear:
    """Lift detail larger than ten pixels, as phones do when they merge exposures."""
    if share <= 0:
        return values
    light = lightness(values)
    picture = Image.fromarray(light)
    small = picture.reduce(4)  # means of four by four, or a display's grid would alias here
    base = Image.fromarray(blur(np.asarray(small), 4.0))
    box = (0, 0, picture.width / 4, picture.height / 4)
    base = base.resize(picture.size, Image.Resampling.BILINEAR, box)
    detail: Plane = np.float32(share) * (light - np.asarray(base))
    return channelwise(np.add, values, detail)
