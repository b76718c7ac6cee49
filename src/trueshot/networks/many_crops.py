"""A photograph judged by all crops of a grid: what a detector of crops says of a whole image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_VALUES_AT_ONCE = 3 * 64 * 64 * 256


class ManyCrops(nn.Module):
    """Mean of a network's logits over the crops of a grid at native resolution.

    The grid begins at the upper left; what is left over on the right and below is not judged. A
    gradient through it is that of the whole photograph's logits; memory does not grow with the
    number of crops, since activations are computed again on the way back.

    Args:
        network: Takes crops (n, 3, side, side), returns logits (n, classes).
        side: Height and width of the crops.
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, h, w) to logits (n, classes).

        Raises:
            ValueError: The images are smaller than a crop.
        """
        n, channels, height, width = images.shape
        rows, columns = height // self.side, width // self.side
        if not rows or not columns:
            raise ValueError(f"{width}×{height} px: smaller than a crop of {self.side} px")
        grid = images[:, :, : rows * self.side, : columns * self.side]
        tiles = grid.reshape(n, channels, rows, self.side, columns, self.side)
        crops = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, self.side, self.side)
        chunks = torch.split(crops, max(1, _VALUES_AT_ONCE // crops[0].numel()))
        logits = torch.cat([self._judge(chunk) for chunk in chunks])
        return logits.reshape(n, rows * columns, -1).mean(1)

    def _judge(self, crops: Tensor) -> Tensor:
        crops = crops.contiguous(memory_format=torch.channels_last)
        logits: Tensor = checkpoint(self.network, crops, use_reentrant=False)
        return logits
