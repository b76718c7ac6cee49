"""Front ends, the layers before a network's first unit: fixed, learned and constrained filters.

Each takes levels of shape (n, 3, h, w) and filters each colour channel separately, without padding:
a padded border would be an edge that the photograph does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.networks.convolution import convolve, fixed_filter
from trueshot.networks.layers import centred

LAPLACIAN = ((0.0, -1.0, 0.0), (-1.0, 4.0, -1.0), (0.0, -1.0, 0.0))
_SIDE = 5  # side of learned filters


class Laplacian(nn.Module):
    """The fixed high-pass filter of Zhao et al. 2018, equation 1: h × w to (h - 2) × (w - 2)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", _by_colour(torch.tensor(LAPLACIAN)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return fixed_filter(images, self.kernel)


class Smoothed(nn.Module):
    """The Laplacian of a Gaussian, which damps detail finer than the Gaussian, above all noise.

    Args:
        deviation: Standard deviation of the Gaussian, in pixels.

    Source: Marr, Hildreth 1980.
    """

    kernel: Tensor

    def __init__(self, deviation: float = 1.0) -> None:
        super().__init__()
        reach = math.ceil(3 * deviation)
        steps = torch.arange(-reach, reach + 1.0)
        bell = torch.exp(-0.5 * (steps / deviation).square())
        gaussian = (bell[:, None] * bell / bell.sum().square())[None, None]
        kernel = functional.conv2d(gaussian, torch.tensor(LAPLACIAN)[None, None], padding=2)
        self.register_buffer("kernel", _by_colour(kernel[0, 0]), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return fixed_filter(images, self.kernel)


class Levels(nn.Module):
    """No filter: the levels, shifted and scaled to be around zero."""

    def forward(self, images: Tensor) -> Tensor:
        return centred(images)


class Learned(nn.Module):
    """A learned 5×5 filter for each colour, initialised with the Laplacian."""

    def __init__(self) -> None:
        super().__init__()
        kernel = functional.pad(torch.tensor(LAPLACIAN), (1, 1, 1, 1))
        self.weight = nn.Parameter(kernel.expand(3, 1, _SIDE, _SIDE).clone())

    def forward(self, images: Tensor) -> Tensor:
        return convolve(images, self.weight, groups=3)


class Constrained(nn.Module):
    """A 5×5 filter for each colour: the error of predicting a pixel from its neighbours.

    Whatever is learned, the neighbours' weights sum to 1 and the pixel's own weight is -1, so flat
    areas give zero. The initial prediction is the mean of the neighbours.

    Source: Bayar, Stamm 2016, "A deep learning approach to universal image manipulation detection
    using a new convolutional layer", equation 3; the sum is enforced by projection instead of
    division, which may divide by zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 1, _SIDE, _SIDE))
        own = torch.zeros(_SIDE, _SIDE)
        own[_SIDE // 2, _SIDE // 2] = 1.0
        self.register_buffer("own", own, persistent=False)

    own: Tensor

    def filters(self) -> Tensor:
        """Return the weights with the constraint applied, shape (3, 1, 5, 5)."""
        others = 1.0 - self.own
        count = _SIDE * _SIDE - 1
        excess = (self.weight * others).sum((2, 3), keepdim=True) - 1.0
        return (self.weight - excess / count) * others - self.own

    def forward(self, images: Tensor) -> Tensor:
        return convolve(images, self.filters(), groups=3)


def _by_colour(kernel: Tensor) -> Tensor:
    """Repeat a kernel for the three colours, shape (3, 1, side, side)."""
    return kernel.expand(3, 1, -1, -1).contiguous()


FRONT_ENDS: dict[str, Callable[[], nn.Module]] = {
    "laplacian": Laplacian,
    "smoothed": Smoothed,
    "none": Levels,
    "learned": Learned,
    "constrained": Constrained,
}
