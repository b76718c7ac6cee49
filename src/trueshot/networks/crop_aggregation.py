"""Combines a network's logits over a grid of crops into logits of the whole photograph."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Aggregation = Literal["mean", "median", "trimmed", "max"]

_VALUES_AT_ONCE = 3 * 64 * 64 * 256
_TRIMMED = 0.2  # share of the crops left out at either end


class CropAggregator(nn.Module):
    """Aggregates a network's logits over a grid of crops at native resolution.

    The grid starts at the upper left; a remainder at the right and bottom is ignored. The module is
    differentiable with respect to the whole photograph; memory does not grow with the number of
    crops, because activations are recomputed in the backward pass.

    Crops are ranked by their evidence of recapture: the largest logit of another class minus that
    of class 0, the untouched image. The photograph's logits are

    - `mean`: the mean of all crops;
    - `median`: the middle crop, or the mean of the two middle ones;
    - `trimmed`: the mean of the crops that remain after leaving out a fifth, rounded down, at
      either end of the ranking;
    - `max`: the crop that looks most recaptured.

    For all but `mean`, `spread` adds to the gradient. Crops that do not enter the photograph's
    logits have no gradient either, so an attack that followed the exact gradient would reach most
    crops late or never, and the detector would look more robust than it is. More evidence in one
    crop never lowers that of the photograph, so all crops may be pushed at once.

    Args:
        network: Takes crops (n, 3, side, side), returns logits (n, classes).
        side: Height and width of the crops.
        aggregation: How the crops' logits are combined, as above.
        spread: Share of the gradient of the mean over all crops that is added to the gradient, but
            not to the value, of the logits. A small share lets a step along the sign of the
            gradient, as in L∞, move every crop, and hardly changes the direction of an L2 step.
            With 0 the gradient is exact.

    Raises:
        ValueError: An unknown aggregation, a side below 1, or a negative spread.
    """

    def __init__(
        self,
        network: nn.Module,
        side: int,
        *,
        aggregation: Aggregation = "mean",
        spread: float = 0.01,
    ) -> None:
        super().__init__()
        if aggregation not in get_args(Aggregation):
            known = ", ".join(get_args(Aggregation))
            raise ValueError(f"aggregation {aggregation!r}: unknown; known: {known}")
        if side < 1:
            raise ValueError(f"side must be at least 1, got {side}")
        if spread < 0:
            raise ValueError(f"spread must be at least 0, got {spread}")
        self.network = network
        self.side = side
        self.aggregation = aggregation
        self.spread = spread

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits (n, classes) of images (n, 3, h, w).

        Raises:
            ValueError: The images are smaller than a crop.
        """
        return self._aggregated(self.judge_crops(images).flatten(1, 2))

    def judge_crops(self, images: Tensor) -> Tensor:
        """Compute the logits of the crops of images (n, 3, h, w), (n, rows, columns, classes).

        Raises:
            ValueError: The images are smaller than a crop.
        """
        height, width = images.shape[2:]
        if min(height, width) < self.side:
            raise ValueError(f"{width}×{height} px: smaller than a crop of {self.side} px")
        n, channels = images.shape[:2]
        rows, columns = height // self.side, width // self.side
        grid = images[:, :, : rows * self.side, : columns * self.side]
        tiles = grid.reshape(n, channels, rows, self.side, columns, self.side)
        crops = tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, self.side, self.side)
        chunks = torch.split(crops, max(1, _VALUES_AT_ONCE // crops.shape[1:].numel()))
        logits = torch.cat([self._judge(chunk) for chunk in chunks])
        return logits.reshape(n, rows, columns, logits.shape[1])

    def _judge(self, crops: Tensor) -> Tensor:
        crops = crops.contiguous(memory_format=torch.channels_last)
        logits: Tensor = checkpoint(self.network, crops, use_reentrant=False)
        return logits

    def _aggregated(self, logits: Tensor) -> Tensor:
        """Combine logits of crops (n, crops, classes) into those of photographs (n, classes)."""
        mean = logits.mean(1)
        if self.aggregation == "mean":
            return mean
        evidence = logits.detach()[..., 1:].amax(2) - logits.detach()[..., 0]
        ranked = evidence.argsort(dim=1, stable=True)
        chosen = ranked[:, ranks_that_count(self.aggregation, logits.shape[1])]
        picked = logits.gather(1, chosen[..., None].expand(-1, -1, logits.shape[2])).mean(1)
        if self.spread:
            picked = picked + self.spread * (mean - mean.detach())
        return picked


def ranks_that_count(aggregation: Aggregation, crops: int) -> slice:
    """Return the ranks that enter a photograph's logits, from least (0) to most recaptured."""
    if aggregation == "max":
        return slice(crops - 1, crops)
    if aggregation == "mean":
        return slice(0, crops)
    cut = (crops - 1) // 2 if aggregation == "median" else int(crops * _TRIMMED)
    return slice(cut, crops - cut)
