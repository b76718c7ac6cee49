"""How a tensor of images lies in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def layout(images: Tensor) -> torch.memory_format:
    """Channels last if that is how images (n, c, h, w) lie; else contiguous, whatever they are."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
