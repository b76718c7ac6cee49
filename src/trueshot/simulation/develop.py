"""From raw light to a picture, as cameras develop it: colour, denoising, tone, sharpening."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from trueshot.simulation.light import LUMA, Linear, Plane, blur, lightness, recolour

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


def correct_colour(raw: Linear, crosstalk: float, saturation: float) -> Linear:
    """Undo the crosstalk and set the saturation, by one matrix; grey stays grey."""
    to_grey = np.tile(LUMA, (3, 1))
    matrix = (saturation * np.eye(3) + (1 - saturation) * to_grey) @ np.linalg.inv(
        crosstalk_matrix(crosstalk).astype(float)
    )
    return recolour(raw, matrix)


def s_curve(values: Linear, strength: float) -> Linear:
    """Encoded values with more contrast in the middle; 0, 0.5 and 1 stay; monotone up to 1."""
    bent = values * values * (3 - 2 * values)
    return values + np.float32(strength) * (bent - values)


def guided_smooth(plane: Plane, guide: Plane, radius: int, strength: float) -> Plane:
    """Smooth where the guide is flat, keep where it has edges.

    Source: He, Sun, Tang 2013, "Guided image filtering", equations 5 and 6.

    Args:
        plane: What to smooth, shape (h, w).
        guide: Its edges are kept, shape (h, w).
        radius: Of the windows, in pixels.
        strength: Deviations of the guide below this are noise.
    """

    def mean(values: Plane) -> Plane:
        result: Plane = ndimage.uniform_filter(values, 2 * radius + 1, mode="reflect")
        return result

    mean_guide = mean(guide)
    mean_plane = mean_guide if plane is guide else mean(plane)
    variance: Plane = np.maximum(mean(guide * guide) - mean_guide * mean_guide, np.float32(0))
    covariance = variance if plane is guide else mean(guide * plane) - mean_guide * mean_plane
    slope: Plane = covariance / (variance + np.float32(strength**2))
    offset = mean_plane - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def denoise(values: Linear, kind: str, radius: int, strength: float) -> Linear:
    """Take noise away from encoded values, shape (h, w, 3), lightness and colours apart."""
    if kind == "none":
        return values
    if kind not in DENOISERS:
        raise ValueError(f"denoiser {kind!r}: known: {', '.join(DENOISERS)}")
    light = lightness(values)
    colours = values[..., ::2] - light[..., None]
    if kind == "guided":
        smooth = guided_smooth(light, light, radius, strength)
        planes = [guided_smooth(colours[..., i], light, 2 * radius, strength) for i in (0, 1)]
    elif kind == "median":
        smooth = light + np.float32(min(1.0, 20 * strength)) * (
            ndimage.median_filter(light, 3, mode="reflect") - light
        )
        planes = [ndimage.uniform_filter(colours[..., i], 2 * radius + 1) for i in (0, 1)]
    else:
        smooth = light
        planes = [blur(colours[..., i], radius) for i in (0, 1)]
    red, blue = smooth + planes[0], smooth + planes[1]
    green = (smooth - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return np.stack([red, green, blue], axis=-1)


def sharpen(values: Linear, amount: float, radius: float, halo: float) -> Linear:
    """Add detail of the lightness to all channels (unsharp mask), within `halo` of what was."""
    if amount <= 0:
        return values
    light = lightness(values)
    detail = np.float32(amount) * (light - blur(light, radius))
    sharper: Linear = values + np.clip(detail, -halo, halo)[..., None]
    return sharper


def add_local_contrast(values: Linear, share: float) -> Linear:
    """Lift detail larger than ten pixels, as phones do when they merge exposures."""
    if share <= 0:
        return values
    light = lightness(values)
    small = light
    if min(light.shape) >= 64:  # means of four by four, or a display's grid would alias here
        small = ndimage.zoom(ndimage.uniform_filter(light, 4), 0.25, order=1)
    base = blur(small, 4.0)
    if small is not light:
        factors = (light.shape[0] / base.shape[0], light.shape[1] / base.shape[1])
        base = ndimage.zoom(base, factors, order=1)
    return values + (np.float32(share) * (light - base))[..., None]
