"""Layers shared by the networks of several papers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.images.jpeg_tables import LUMA_WEIGHTS
from trueshot.networks.convolution import Conv2d
from trueshot.networks.normalisation import BatchNorm2d
from trueshot.networks.registry import Explained

_MIDDLE, _DEVIATION = 128.0, 64.0  # roughly the mean and deviation of levels in photographs


class Luma(nn.Module):
    """Luma of levels (n, 3, h, w), shape (n, 1, h, w); a grey picture keeps its levels."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(LUMA_WEIGHTS)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weights).sum(1, keepdim=True)


def centred(levels: Tensor) -> Tensor:
    """Shift and scale levels to be around zero."""
    return (levels - _MIDDLE) / _DEVIATION


def normalised(
    before: int,
    after: int,
    side: int,
    *,
    stride: int = 1,
    padding: int | None = None,
    activation: type[nn.Module] = nn.ReLU,
) -> list[nn.Module]:
    """Return a convolution, batch normalisation and an activation.

    The convolution has no bias because batch normalisation would remove it.

    Args:
        before: Number of input channels.
        after: Number of filters.
        side: Height and width of the filters.
        stride: Stride along both axes.
        padding: Zeros on each side; by default as many as keep the size at a stride of 1.
        activation: Class of the activation.
    """
    padding = side // 2 if padding is None else padding
    convolution = Conv2d(before, after, side, stride=stride, padding=padding, bias=False)
    return [convolution, BatchNorm2d(after), activation()]


def of_places(maps: Tensor, classifier: nn.Linear) -> Explained:
    """Apply a linear classifier to the mean of feature maps, and to each of their positions.

    Source: Zhou et al. 2016, "Learning deep features for discriminative localization".

    Args:
        maps: Feature maps, shape (n, features, rows, columns).
        classifier: The last layer of the network.
    """
    evidence = functional.conv2d(maps, classifier.weight[:, :, None, None], classifier.bias)
    return Explained(logits=classifier(maps.mean((2, 3))), evidence=evidence)


def max_pool(side: int = 3) -> nn.MaxPool2d:
    """Return max pooling with a stride of 2 that rounds sizes up, as Caffe does."""
    return nn.MaxPool2d(side, 2, ceil_mode=True)


def pooled(size: int, side: int = 3) -> int:
    """Return the size that `max_pool` leaves of an axis of length `size`."""
    return -(-(size - side) // 2) + 1


def check_classes(classes: int) -> int:
    """Return `classes`; raise ValueError if there are fewer than two."""
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    return classes


def check_smallest(images: Tensor, side: int = 16) -> None:
    """Raise ValueError if images are lower or narrower than `side` pixels."""
    height, width = (int(size) for size in images.shape[2:])
    if min(height, width) < side:
        raise ValueError(f"{width}×{height} px: images must be at least {side}×{side} px")


def check_side(images: Tensor, side: int) -> None:
    """Raise ValueError unless images are squares of the side that a network was built for."""
    height, width = (int(size) for size in images.shape[2:])
    if (height, width) != (side, side):
        raise ValueError(f"{width}×{height} px: this network only takes images of {side}×{side} px")
