"""Memory layout of image tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def layout(images: Tensor) -> torch.memory_format:
    """Return channels last if images (n, c, h, w) are stored so, contiguous in all other cases."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
