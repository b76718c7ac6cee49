"""Natural colours, and the light that falls on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import Linear, Random, lightness, recolour, smooth_field

# From linear Rec.709 light to cone responses, with white at (1, 1, 1): the product of the
# Hunt-Pointer-Estevez matrix and the Rec.709 matrix.
_CONES = np.array([[0.3139, 0.6396, 0.0465], [0.1553, 0.7580, 0.0867], [0.0177, 0.1095, 0.8728]])
_LIGHT = np.linalg.inv(_CONES)
# Axes of log cone responses: brightness, yellow against blue, red against green.
_AXES = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])

# Spread within a scene, mean, and spread between scenes along these axes, in decades. In the
# photographs of scikit-image and scikit-learn, the median spread within a photograph is 0.96, 0.165
# and 0.044, and the means of photographs differ by 0.34, 0.17 and 0.04. The values here are
# smaller, because independent colours look gaudier than those of a photograph of equal spread.
_SPREAD = np.array([0.75, 0.11, 0.018])
_MEAN = np.array([-1.2, 0.06, 0.004])
_OF_SCENES = np.array([0.3, 0.08, 0.008])


def palette(random: Random, count: int, clusters: int = 6) -> Linear:
    """Draw the colours of one scene: families such as grass, stone or sky, each of similar colours.

    Returns:
        Linear light between 0 and 1, shape (count, 3); neighbours in the list share a family.

    Source: Ruderman, Cronin and Chiao 1998, doi:10.1364/JOSAA.15.002036: the logarithms of cone
        responses vary along three independent axes. Here they have the tails of Student's t.
    """
    scene = _MEAN + _OF_SCENES * random.standard_normal(3)
    centres = scene + 0.8 * _SPREAD * random.standard_t(5, (clusters, 3))
    family = np.arange(count) * clusters // count
    values = centres[family] + 0.55 * _SPREAD * random.standard_t(5, (count, 3))
    values[:, 1] *= np.where(values[:, 1] < 0, 0.7, 1)  # strong blues are rare
    values[:, 2] += 0.13 * values[:, 1]  # sky blues and earth browns, but no violets
    cones = 10 ** np.clip(recolour(values.astype(np.float32), _AXES.T), -2.2, 0.3)
    return _within_gamut(recolour(cones, _LIGHT))


def _within_gamut(colours: Linear) -> Linear:
    """Mix colours outside the sRGB gamut with grey, and darken those brighter than white."""
    grey = np.maximum(lightness(colours), 0.004)[:, None]
    lowest = np.minimum(colours.min(axis=1, keepdims=True), 0.9 * grey)
    share = np.minimum(1, 0.96 * grey / (grey - lowest))
    inside = grey + share * (colours - grey)
    return np.asarray(inside * np.minimum(1, 0.92 / inside.max(axis=1, keepdims=True)), np.float32)


def illuminant(random: Random) -> Linear:
    """Draw the tint of light that a camera's white balance leaves: luminance 1, shape (3,)."""
    warm, green = 0.10 * random.standard_normal(), 0.03 * random.standard_normal()
    tint = np.exp([warm, green, -warm]).astype(np.float32)
    return np.asarray(tint / lightness(tint), np.float32)


def lit(random: Random, paint: Linear, falloff: float = 0.35, mean: float = 0.18) -> Linear:
    """Light a painted surface: tint, uneven light, and the exposure that a camera would choose.

    Args:
        paint: Reflected light under even white light, shape (h, w, 3); modified in place.
        falloff: Unevenness of the light: largest scale of the `smooth_field` in its logarithm.
        mean: Typical mean luminance of the result.

    Returns:
        Linear light between 0 and 2, in the same array.
    """
    height, width = paint.shape[:2]
    sample = lightness(paint[::8, ::8])
    wanted = np.clip(mean * np.exp(0.5 * random.standard_normal()), 0.04, 0.6)
    middle, bright = float(sample.mean()) + 1e-4, float(np.percentile(sample, 95)) + 1e-4
    gain = min(wanted / middle, 0.9 / bright)
    strength = np.float32(falloff * random.random())
    light = np.exp(strength * smooth_field(random, height, width, 2)) * np.float32(gain)
    for channel, tint in enumerate(illuminant(random)):
        paint[..., channel] *= tint * light
    return np.minimum(paint, 2, out=paint)


def blend(under: Linear, over: Linear, share: npt.NDArray[Any]) -> Linear:
    """Blend linearly between `under` where the share is 0 and `over` where it is 1.

    Args:
        under: A colour, shape (3,), or light of shape (h, w, 3).
        over: The same.
        share: Share of `over`, shape (h, w).
    """
    mixed = np.empty((*share.shape, 3), np.float32)
    for channel in range(3):  # NumPy is slow along an axis of three
        low, high = under[..., channel], over[..., channel]
        mixed[..., channel] = low + share * (high - low)
    return mixed
