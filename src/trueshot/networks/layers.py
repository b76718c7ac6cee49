"""Layers that networks of several papers have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.convolution import Conv2d
from trueshot.networks.normalisation import BatchNorm2d
from trueshot.networks.registry import Explained

_LUMA = (0.299, 0.587, 0.114)


class Luma(nn.Module):
    """Levels (n, 3, h, w) in grey, shape (n, 1, h, w): of a grey picture its levels."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(_LUMA)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weights).sum(1, keepdim=True)


class Green(nn.Module):
    """The green channel of levels (n, 3, h, w), shape (n, 1, h, w)."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 1:2]


def normalised(
    before: int,
    after: int,
    side: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    activation: type[nn.Module] = nn.ReLU,
) -> list[nn.Module]:
    """Convolution, batch normalisation, activation; no bias, which the second would take away.

    Args:
        before: Channels before.
        after: Filters.
        side: Of the filters.
        stride: Of both axes.
        padding: By default as much as keeps the size at a stride of 1.
        activation: What follows.
    """
    padding = side // 2 if padding is None else padding
    convolution = Conv2d(before, after, side, stride=stride, padding=padding, bias=False)
    return [convolution, BatchNorm2d(after), activation()]


def of_places(maps: Tensor, classifier: nn.Linear) -> Explained:
    """Logits of the mean over all places, and those of each place.

    Source: Zhou et al. 2016, "Learning deep features for discriminative localization".

    Args:
        maps: What is seen where, shape (n, features, rows, columns).
        classifier: The last layer.
    """
    evidence = functional.conv2d(maps, classifier.weight[:, :, None, None], classifier.bias)
    return Explained(logits=classifier(maps.mean((2, 3))), evidence=evidence)


def max_pool(side: int = 3) -> nn.MaxPool2d:
    """Maxima at a stride of 2, of sizes rounded up, as Caffe rounds them."""
    return nn.MaxPool2d(side, 2, ceil_mode=True)


def pooled(size: int, side: int = 3) -> int:
    """Places along an axis that `max_pool` leaves of so many."""
    return -(-(size - side) // 2) + 1


def check_classes(classes: int) -> int:
    """Raises ValueError unless there are two classes or more."""
    if classes < 2:
        raise ValueError(f"two classes or more wanted, got {classes}")
    return classes


def check_side(images: Tensor, side: int) -> None:
    """Raises ValueError unless images are squares of the side that a network was built for."""
    height, width = (int(size) for size in images.shape[2:])
    if (height, width) != (side, side):
        raise ValueError(f"{width}×{height} px: this network takes {side}×{side} px alone")
