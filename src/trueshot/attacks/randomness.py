"""Random numbers of attacks: each image has its own, whatever batch it is in."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor


def generators(images: Tensor, seed: int) -> list[torch.Generator]:
    """Return a random generator for each image, which depends only on its levels and the seed.

    So an attack draws the same numbers for an image in any batch, at any position and on any
    device, and the global random state is not used. Equal images draw equal numbers.

    Args:
        images: Levels, shape (n, 3, h, w).
        seed: Seed of the attack.
    """
    rows = images.detach().cpu().float().contiguous()
    # PyTorch's CPU generator uses 32 bits of a seed.
    begin = zlib.crc32(repr(seed).encode())
    return [torch.Generator().manual_seed(zlib.crc32(row.numpy().tobytes(), begin)) for row in rows]


def drawn(
    sources: list[torch.Generator], draw: Callable[[torch.Generator], Tensor], like: Tensor
) -> Tensor:
    """Stack the results of `draw` for each generator, with the dtype and device of `like`."""
    if not sources:
        return torch.stack([draw(torch.Generator())])[:0].to(like)
    return torch.stack([draw(source) for source in sources]).to(like)
