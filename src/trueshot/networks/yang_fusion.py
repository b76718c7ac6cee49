"""Fusion of three residual networks that differ in the size of one learned filter.

Source: Yang, Zhao, Ni, Zhao 2017, "Source camera identification based on content-adaptive fusion
residual networks", arXiv:1703.04856. Only the abstracts of both versions were read. They describe
three parallel networks (CA3, CA5, CA7) with preprocessing convolutions of 3, 5 and 7 pixels and
three residual blocks each; their last features are concatenated before the softmax. The paper also
sorts images into saturated, smooth and others and fine-tunes a network for each; this is not
implemented. Numbers of filters, batch normalisation and strides are choices of ours.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.layers import centred, check_classes, check_smallest, normalised
from trueshot.networks.registry import Filters, Network, NetworkSettings, register

DEFAULT_FILTERS = (32, 64, 128)
_WINDOWS = (3, 5, 7)
_PREPARED = 8  # number of filters of the preprocessing convolution


class YangFusionSettings(NetworkSettings):
    """Yang's fusion network and its arguments."""

    name: Literal["yang-fusion"]
    filters: tuple[Filters, Filters, Filters] = Field(
        default=DEFAULT_FILTERS,
        description="Numbers of filters of the three residual blocks of each branch.",
    )


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions that halve the size, and a 1 × 1 convolution as the shortcut.

    The shortcut takes every second pixel instead of using a stride of 2, which is equivalent:
    oneDNN, as in PyTorch 2.13, writes out of bounds in gradients of some strided 1 × 1
    convolutions.

    Source: He et al. 2016, arXiv:1512.03385.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        second = normalised(after, after, 3)[:-1]
        self.layers = nn.Sequential(*normalised(before, after, 3, stride=2), *second)
        self.brought = nn.Sequential(*normalised(before, after, 1)[:-1])

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.layers(features) + self.brought(features[:, :, ::2, ::2]))


@register("yang-fusion")
class YangFusion(Network):
    """Three branches with preprocessing filters of 3, 5 and 7 pixels, then one linear layer.

    Args:
        filters: Numbers of filters of the three residual blocks of each branch.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes.
    """

    Settings = YangFusionSettings

    def __init__(self, filters: tuple[int, ...] = DEFAULT_FILTERS, classes: int = 2) -> None:
        super().__init__()
        self.classes = check_classes(classes)
        self.branches = nn.ModuleList(_branch(window, filters) for window in _WINDOWS)
        self.classifier = nn.Linear(len(_WINDOWS) * filters[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n, classes) from levels (n, 3, h, w); h and w are at least 16."""
        check_smallest(images)
        levels = centred(images)
        features = [branch(levels).mean((2, 3)) for branch in self.branches]
        logits: Tensor = self.classifier(torch.cat(features, 1))
        return logits


def _branch(window: int, filters: tuple[int, ...]) -> nn.Sequential:
    blocks = [ResidualBlock(*pair) for pair in zip((_PREPARED, *filters), filters, strict=False)]
    return nn.Sequential(nn.Conv2d(3, _PREPARED, window, padding=window // 2), *blocks)
