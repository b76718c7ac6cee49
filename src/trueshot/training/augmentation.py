"""Augmentation: the same crops, seen another way each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SYMMETRIES = 8


def turn(images: Tensor, ways: npt.NDArray[np.integer]) -> Tensor:
    """Turn and mirror square images.

    Args:
        images: Shape (n, c, side, side).
        ways: 0 to 7 for each image, shape (n,): so many quarter turns, from 4 on of its mirror
            image.

    Returns:
        A new tensor of the same memory format.
    """
    turned = torch.empty_like(images)
    for way in np.unique(ways):
        places = torch.from_numpy(np.flatnonzero(ways == way)).to(images.device)
        some = images[places]
        if way >= SYMMETRIES // 2:
            some = some.flip(3)
        turned[places] = some.rot90(int(way) % 4, (2, 3))
    return turned
