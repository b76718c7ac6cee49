"""Turns the output of a detector's first layer for a crop into a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.inference.explanation import Kind

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_GREY = 128
_GAINS = tuple(2.0**power for power in range(-4, 9))
_REACHED = 0.97  # share of values that the amplified image shows unclipped


@dataclass(frozen=True, kw_only=True)
class FeatureImage:
    """A drawn first-layer output: the source of `seen`, `kind` and `gain` of `KeyCrop`."""

    pixels: Bytes
    kind: Kind
    gain: float


def feature_image(kind: Kind, values: Floats) -> FeatureImage:
    """Draw the output of a first layer.

    Args:
        kind: `filtered` or `spectrum`.
        values: A filtered crop, shape (3, h, w); or half a spectrum of luma, shape (window,
            window / 2 + 1), with zero frequency in the middle of the first axis.
    """
    return _amplified(values) if kind == "filtered" else _whole_plane(values)


def _amplified(values: Floats) -> FeatureImage:
    """Draw 0 as mid grey, amplified by a power of two so that few values are clipped."""
    reached = float(np.quantile(np.abs(values), _REACHED))
    fitting = [gain for gain in _GAINS if gain * reached <= _GREY - 1]
    gain = max(fitting, default=_GAINS[0])
    grey = np.clip(np.rint(values * gain + _GREY), 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(grey.transpose(1, 2, 0))
    return FeatureImage(pixels=pixels, kind="filtered", gain=gain)


def _whole_plane(half: Floats) -> FeatureImage:
    """Draw the whole spectrum, zero frequency in the middle; the halves are mirror images."""
    window = len(half)
    rows = np.concatenate([half, half[:1]])  # -window/2 … window/2
    plane = np.concatenate([rows[::-1, ::-1][:, :-1], rows], 1)
    highest = max(float(plane.max()), 1e-6)
    grey = np.rint(plane / np.float32(highest) * 255).astype(np.uint8)
    enlarged = np.kron(grey, np.ones((max(1, 256 // window),) * 2, np.uint8))
    return FeatureImage(pixels=np.stack([enlarged] * 3, -1), kind="spectrum", gain=highest)
