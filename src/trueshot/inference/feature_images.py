"""Inside a detector: its own map of a crop, and what its first layer makes of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.detector import Detector
from trueshot.inference.explanation import Kind
from trueshot.networks.front_ends import Levels
from trueshot.networks.lcnn import LCNN, GlobalAveragePool
from trueshot.networks.spectral import SpectralNetwork
from trueshot.pixels import to_levels

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_VALUES_AT_ONCE = 3 * 128 * 128 * 16  # as in `with_torch`
_GREY = 128
_GAINS = tuple(2.0**power for power in range(-4, 9))
_REACHED = 0.97  # of values that the amplified image shows unclipped


@dataclass(frozen=True, kw_only=True)
class FeatureImage:
    """What a first layer makes of a crop: see `Telling`, whose `seen` these pixels become."""

    pixels: Bytes
    kind: Kind
    gain: float


def maps_of_crops(detector: Detector, crops: Bytes) -> Floats | None:
    """Where in crops the evidence lies: the detector's own map before it pools globally.

    The last features of an LCNN, weighed as its classifier weighs them, class 1 less class 0, with
    the difference of the biases: since pooling and classifier are linear, the mean of a map is the
    score of its crop. Zhou et al. 2016, "Learning deep features for discriminative localization",
    equation 2, with the bias added, and for two classes at once.

    Args:
        detector: In evaluation mode.
        crops: RGB bytes, shape (n, side, side, 3).

    Returns:
        Scores, shape (n, rows, columns); None for a network that has no such map: one that sums
        frequencies over the whole crop first knows nothing of places.
    """
    network = detector.network
    if not isinstance(network, LCNN) or len(detector.classes) != 2:
        return None
    if not isinstance(network.units[-1][-1], GlobalAveragePool):  # type: ignore[index]
        return None
    at_once = max(1, _VALUES_AT_ONCE // crops[0].size)
    with torch.inference_mode():
        parts = [_maps(detector, network, part) for part in to_levels(crops).split(at_once)]
    found: Floats = torch.cat(parts).numpy()
    return found


def feature_image(detector: Detector, crop: Bytes) -> FeatureImage | None:
    """The output of a detector's first, mostly fixed, layer as a picture.

    Args:
        detector: In evaluation mode.
        crop: RGB bytes, shape (side, side, 3).

    Returns:
        The filtered crop or its spectrum; None for a network that begins with neither.
    """
    network = detector.network
    with torch.inference_mode():
        levels = _normalised(detector, to_levels(crop[None]))
        if isinstance(network, LCNN) and not isinstance(network.enhancement, Levels):
            return _amplified(network.enhancement(levels)[0])
        if isinstance(network, SpectralNetwork):
            return _whole_plane(network.spectra(levels)[0, 0])
    return None


def _maps(detector: Detector, network: LCNN, levels: Tensor) -> Tensor:
    features = network.enhancement(_normalised(detector, levels))
    *units, last = network.units
    for unit in units:
        features = unit(features)
    for layer in list(last.children())[:-1]:
        features = layer(features)
    weights, bias = network.classifier.weight.double(), network.classifier.bias.double()
    return (
        torch.einsum("nchw,c->nhw", features.double(), weights[1] - weights[0]) + bias[1] - bias[0]
    )


def _normalised(detector: Detector, levels: Tensor) -> Tensor:
    return (levels - detector.offset) / detector.scale


def _amplified(values: Tensor) -> FeatureImage:
    """Mid grey where the filter gives 0, amplified by a power of two so that most can be seen."""
    reached = float(values.abs().flatten().quantile(_REACHED))
    fitting = [gain for gain in _GAINS if gain * reached <= _GREY - 1]
    gain = max(fitting, default=_GAINS[0])
    grey = (values * gain + _GREY).round().clamp(0, 255).to(torch.uint8)
    return FeatureImage(pixels=grey.permute(1, 2, 0).numpy(), kind="filtered", gain=gain)


def _whole_plane(half: Tensor) -> FeatureImage:
    """The spectrum of luma with zero frequency in the middle; the other half mirrors this one."""
    window = half.shape[0]
    rows = torch.cat([half, half[:1]])  # -window/2 … window/2
    mirrored = rows.flip(0, 1)[:, :-1]
    plane = torch.cat([mirrored, rows], 1)
    highest = max(float(plane.max()), 1e-6)
    grey = (plane / highest * 255).round().to(torch.uint8).numpy()
    enlarged = np.kron(grey, np.ones((max(1, 256 // window),) * 2, np.uint8))
    return FeatureImage(pixels=np.stack([enlarged] * 3, -1), kind="spectrum", gain=highest)
