"""Random numbers of attacks: each image has its own, whatever batch it comes in."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor


def generators(images: Tensor, seed: int) -> list[torch.Generator]:
    """A generator for each image, which depends on its levels and on the seed alone.

    So an attack draws the same for an image in any batch, at any place in it, on any device; the
    global random state is left alone. Equal images draw equal numbers.

    Args:
        images: Levels, shape (n, 3, h, w).
        seed: Of the attack.
    """
    rows = images.detach().cpu().float().contiguous()
    # Of a seed PyTorch's generator for CPUs takes 32 bits.
    begin = zlib.crc32(repr(seed).encode())
    return [torch.Generator().manual_seed(zlib.crc32(row.numpy().tobytes(), begin)) for row in rows]


def drawn(
    sources: list[torch.Generator], draw: Callable[[torch.Generator], Tensor], like: Tensor
) -> Tensor:
    """What `draw` makes of each generator, stacked, with the type and on the device of `like`."""
    if not sources:
        return torch.stack([draw(torch.Generator())])[:0].to(like)
    return torch.stack([draw(source) for source in sources]).to(like)
