"""Procedural images and a detector trained on them, to time what depends on both.

Original: a soft random picture with noise. Recaptured: the same with a faint grid of pixels.
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trueshot.detector import Detector
from trueshot.networks import LCNN
from trueshot.pixels import Bytes, to_bytes, to_levels
from trueshot.training import differentiate
from trueshot.training.objective_settings import Objective

_NOISE, _GRID, _PERIOD = (1.0, 3.0), (2.0, 10.0), 3  # in levels, drawn per image; period in px
SIDE, STEPS, BATCH = 64, 100, 64
_RATE = 1e-3


def pixels(count: int, side: int, seed: int) -> tuple[Bytes, Tensor]:
    """Return bytes (count, side, side, 3), and their classes: 0, 1, 0, 1, …"""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4 + side // 16, 4 + side // 16, generator=random)
    images = 128 + 45 * functional.interpolate(coarse, (side, side), mode="bicubic")
    images += _each(_NOISE, count, random) * torch.randn(images.shape, generator=random)
    labels = torch.arange(count) % 2
    lines = (torch.arange(side) % _PERIOD == 0).float()
    depths = _each(_GRID, count, random) * labels[:, None, None, None]
    images -= depths * (lines + lines[:, None])
    return to_bytes(images), labels


def _each(bounds: tuple[float, float], count: int, random: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=random)


def levels(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the same as levels (count, 3, side, side), channels last in memory."""
    made, labels = pixels(count, side, seed)
    return to_levels(made), labels


def new_detector(seed: int = 0) -> Detector:
    """Return an untrained detector in the memory layout used in training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        detector = Detector(LCNN())
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector


def plainly_trained() -> Detector:
    """Return a copy of a detector after some plain steps on these images, in evaluation mode."""
    return copy.deepcopy(_plainly_trained())


@functools.cache
def _plainly_trained() -> Detector:
    detector = new_detector()
    optimizer = torch.optim.Adam(detector.parameters(), lr=_RATE)
    images, labels = levels(16 * BATCH, SIDE, seed=1)
    order = np.random.default_rng(0)
    for _ in range(STEPS):
        places = torch.from_numpy(order.choice(len(images), BATCH, replace=False))
        optimizer.zero_grad(set_to_none=True)
        differentiate(Objective(), detector, images[places], labels[places], None)
        optimizer.step()
    return detector.eval()
