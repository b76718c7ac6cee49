"""Windows of images that overlap by half, for networks of local spectra."""

from __future__ import annotations

import torch
from torch import Tensor


def overlapping_windows(images: Tensor, colours: Tensor, window: int) -> Tensor:
    """Mix the colours of images and cut them into windows that overlap by half.

    A last strip narrower than half a window is left out.

    Args:
        images: Shape (n, 3, h, w).
        colours: Weights of red, green and blue in each new colour, shape (3, 3).
        window: Side of the windows in pixels, even.

    Returns:
        The windows, row by row, shape (n, windows, 3, window, window).

    Raises:
        ValueError: The images are smaller than a window.
    """
    height, width = (int(size) for size in images.shape[2:])  # constants in an exported graph
    if min(height, width) < window:
        raise ValueError(f"{width}×{height} px: smaller than a window of {window} px")
    half = window // 2
    down, across = height // half, width // half
    images = images[:, :, : down * half, : across * half]
    mixed = colours @ images.reshape(-1, 3, down * across * half * half)
    # Assemble windows from blocks of half a window.
    cells = mixed.reshape(-1, 3, down, half, across, half).permute(0, 2, 4, 1, 3, 5)
    cells = torch.cat([cells[:, :, :-1], cells[:, :, 1:]], 5)
    cells = torch.cat([cells[:, :-1], cells[:, 1:]], 4)
    return cells.reshape(-1, (down - 1) * (across - 1), 3, window, window)
