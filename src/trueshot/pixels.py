"""Levels, rounding to bytes, and distances between images. The unit is pixel levels, 0 to 255."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LEVELS = 255.0
_MARGIN = 3  # half of a 7×7 SSIM window
_SSIM_PIXELS = 1 << 20

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]


def to_levels(
    pixels: Bytes, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """Convert bytes, as files hold them, to levels, as detectors take them.

    Args:
        pixels: Bytes, shape (n, h, w, 3) or (h, w, 3).
        dtype: Float type of the result.
        device: Target device; the bytes are copied there before conversion, a quarter of the float
            size.

    Returns:
        Levels in [0, 255], shape (n, 3, h, w), channels last in memory.
    """
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ValueError(
            f"pixels must be uint8 of shape (n, h, w, 3), got {pixels.dtype} {pixels.shape}"
        )
    there = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return there.permute(0, 3, 1, 2).to(dtype)


def to_bytes(images: Tensor) -> Bytes:
    """Round levels to the bytes that a file would hold.

    Args:
        images: Levels in [0, 255], shape (n, 3, h, w).

    Returns:
        Bytes, shape (n, h, w, 3); halves round to even, as in IEEE 754.
    """
    rounded = images.detach().round().clamp(0, LEVELS).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).cpu().numpy())


def rounded(images: Tensor) -> Tensor:
    """Round levels as saving to a lossless file would; shape and dtype stay the same."""
    return images.round().clamp(0, LEVELS)


def linf(first: Tensor, second: Tensor) -> Tensor:
    """Compute the largest change of a level per image, shape (n,)."""
    return (first - second).abs_().amax((1, 2, 3))


def l2(first: Tensor, second: Tensor) -> Tensor:
    """Compute the Euclidean distance in levels per image, shape (n,)."""
    return (first - second).square_().sum((1, 2, 3)).sqrt()


def share_changed(first: Tensor, second: Tensor) -> Tensor:
    """Compute the share of pixels with a change in at least one channel per image, shape (n,)."""
    return (first != second).any(1).flatten(1).double().mean(1)


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB per image, shape (n,); infinite if equal."""
    squared = (first.double() - second.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(LEVELS**2 / squared)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Compute the mean structural similarity over the channels per image, shape (n,).

    Source: Wang et al. 2004, as scikit-image computes it with its defaults (7×7 windows).

    Raises:
        ValueError: The images are smaller than 7×7.
    """
    pairs = zip(first.cpu().numpy(), second.cpu().numpy(), strict=True)
    return torch.tensor([_ssim(one, other) for one, other in pairs], dtype=torch.float64)


def _ssim(first: Floats, second: Floats) -> float:
    """Compute the SSIM of two images (3, h, w) in strips, to bound memory on large photographs."""
    from skimage.metrics import structural_similarity

    height, width = (int(length) for length in first.shape[1:])
    if min(height, width) < 2 * _MARGIN + 1:
        raise ValueError(f"images of {width}×{height} px are smaller than the 7×7 window of SSIM")
    measure = partial(structural_similarity, channel_axis=0, data_range=LEVELS)
    rows: int = max(1, _SSIM_PIXELS // width)
    total = 0.0
    for top in range(_MARGIN, height - _MARGIN, rows):
        bottom = min(top + rows, height - _MARGIN)
        strip = slice(top - _MARGIN, bottom + _MARGIN)
        one, other = (image[:, strip].astype(np.float64) for image in (first, second))
        total += float(measure(one, other)) * (bottom - top)
    return total / float(height - 2 * _MARGIN)
