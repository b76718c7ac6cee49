"""Development of raw light to a picture, as in cameras: colour, denoising, tone, sharpening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import median_filter

from trueshot.simulation.colour import (
    LUMA,
    Bytes,
    Linear,
    Plane,
    blur,
    box_mean,
    channelwise,
    lightness,
    recolour,
    to_bytes,
)

DENOISERS = ("none", "chroma", "guided", "median")


@dataclass(frozen=True, kw_only=True)
class Development:
    """How a camera develops raw light to a picture.

    Args:
        crosstalk: Share of a colour filter's response that comes from the other two colours.
        saturation: Factor on the colour saturation; 1 leaves it unchanged.
        denoiser: Denoising method; one of `DENOISERS`.
        denoise_radius: Radius of the denoiser, in pixels.
        denoise_strength: For `guided`, the standard deviation below which variation is removed as
            noise, in encoded values. For `median`, the lightness is mixed with its median in a
            share of 20 times this, at most 1. Not used by `chroma`.
        contrast: Strength of the S-curve; 0 is none.
        local_contrast: Strength of an unsharp mask with a standard deviation of 16 pixels.
        sharpen_amount: Factor on the detail that sharpening adds.
        sharpen_radius: Standard deviation of the sharpening's blur, in pixels.
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
    """Return the response of each colour filter (row) to red, green and blue; rows sum to 1."""
    neighbours = np.array([[0, 0.8, 0.2], [0.5, 0, 0.5], [0.2, 0.8, 0]])
    return ((1 - share) * np.eye(3) + share * neighbours).astype(np.float32)


def correct_colour(
    raw: Linear, crosstalk: float, saturation: float, cast: tuple[float, float] = (1.0, 1.0)
) -> Linear:
    """Undo the crosstalk, set the saturation and apply a colour cast, with a single matrix.

    `cast` holds the factors on red and blue. With (1, 1), grey stays grey.
    """
    to_grey = np.tile(LUMA, (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * to_grey) @ np.linalg.inv(
        crosstalk_matrix(crosstalk).astype(float)
    )
    return recolour(raw, np.diag([cast[0], 1.0, cast[1]]) @ matrix)


def s_curve(values: Linear, strength: float) -> Linear:
    """Raise the mid-tone contrast of encoded values; 0, 0.5 and 1 stay fixed.

    The curve is monotone for a `strength` of up to 1.
    """
    bent = values * values * (3 - 2 * values)
    return values + np.float32(strength) * (bent - values)


def guided_smooth(
    planes: Sequence[Plane], guide: Plane, radius: int, strength: float
) -> list[Plane]:
    """Smooth planes where the guide is flat, and keep them where it has edges.

    Source: He, Sun, Tang 2013, "Guided image filtering", equations 5 and 6.

    Args:
        planes: Planes to smooth, each of shape (h, w).
        guide: Plane whose edges are kept, shape (h, w).
        radius: Radius of the windows, in pixels.
        strength: Standard deviation of the guide below which its variation counts as noise.
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


def denoise(values: Linear, kind: str, radius: int, strength: float) -> Linear:
    """Denoise encoded values, shape (h, w, 3), separately in lightness and in colour."""
    if kind == "none":
        return values
    if kind not in DENOISERS:
        raise ValueError(f"unknown denoiser {kind!r}; choose one of {', '.join(DENOISERS)}")
    light = lightness(values)
    colours = [values[..., channel] - light for channel in (0, 2)]
    if kind == "guided":
        (smooth,) = guided_smooth([light], light, radius, strength)
        planes = guided_smooth(colours, light, 2 * radius, strength)
    elif kind == "median":
        smooth = light + np.float32(min(1.0, 20 * strength)) * (median_filter(light, 3) - light)
        planes = [box_mean(colour, radius) for colour in colours]
    else:
        smooth = light
        planes = [blur(colour, radius) for colour in colours]
    red, blue = smooth + planes[0], smooth + planes[1]
    green = (smooth - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return np.stack([red, green, blue], axis=-1)


def sharpen(values: Linear, amount: float, radius: float, halo: float) -> Linear:
    """Add lightness detail to all channels (unsharp mask), changing values by at most `halo`."""
    if amount <= 0:
        return values
    light = lightness(values)
    detail = np.float32(amount) * (light - blur(light, radius))
    return channelwise(np.add, values, np.clip(detail, -halo, halo))


def finish(values: Linear, settings: Development) -> Bytes:
    """Apply the tone curve, local contrast and sharpening of a development to encoded values."""
    values = s_curve(np.clip(values, 0, 1), settings.contrast)
    values = add_local_contrast(values, settings.local_contrast)
    values = sharpen(values, settings.sharpen_amount, settings.sharpen_radius, settings.halo)
    return to_bytes(values)


def add_local_contrast(values: Linear, share: float) -> Linear:
    """Raise local contrast with a wide unsharp mask, as phones do when they merge exposures."""
    if share <= 0:
        return values
    light = lightness(values)
    picture = Image.fromarray(light)
    small = picture.reduce(4)  # means of 4 by 4 pixels, so that a display's grid does not alias
    base = Image.fromarray(blur(np.asarray(small), 4.0))
    box = (0, 0, picture.width / 4, picture.height / 4)
    base = base.resize(picture.size, Image.Resampling.BILINEAR, box)
    detail: Plane = np.float32(share) * (light - np.asarray(base))
    return channelwise(np.add, values, detail)
