"""MISLnet: a constrained convolution that predicts each pixel from its neighbours, then a CNN.

Source: Bayar, Stamm 2018, "Constrained convolutional neural networks: a new approach towards
general purpose image manipulation detection", IEEE TIFS 13(11), and its authors' layer, solver and
training files, for 256 px. Their second stage, extremely randomised trees on the last features, is
not implemented.

Choices of ours: crop sizes other than 256 px; convolutions before a batch normalisation have no
bias, because it would be removed there; the constraint also holds in the final detector, whose
weights their training leaves one step away from it.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trueshot.networks.convolution import convolve
from trueshot.networks.filter_first import FilterFirst, connected
from trueshot.networks.layers import max_pool, normalised, pooled
from trueshot.networks.registry import Filters, NetworkSettings, register

DEFAULT_FILTERS = (96, 64, 64, 128)
_PREDICTORS, _WINDOW = 3, 5


class MISLnetSettings(NetworkSettings):
    """MISLnet and its arguments."""

    name: Literal["mislnet"]
    side: int = Field(default=256, ge=64, le=512, description="Side of the crops, in pixels.")
    filters: tuple[Filters, Filters, Filters, Filters] = Field(
        default=DEFAULT_FILTERS,
        description="Numbers of filters of the four convolutions after the constrained one.",
    )
    units: Filters = Field(
        default=200, description="Width of the first two fully connected layers."
    )


class ConstrainedConvolution(nn.Module):
    """5 × 5 filters with -1 in the centre and other weights that sum to 1.

    This holds after `project`, which training calls before every step and at the end; during a step
    the weights are free.

    Source: equation 6 and algorithm 1 of Bayar, Stamm 2018, by division, as published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(_PREDICTORS, 1, _WINDOW, _WINDOW))
        nn.init.xavier_uniform_(self.weight)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        """Divide the neighbours' weights by their sum, and set the pixel's own weight to -1.

        The published program multiplies by 10,000 first, which cancels out.
        """
        middle = _WINDOW // 2
        self.weight[:, :, middle, middle] = 0
        self.weight.div_(self.weight.sum((2, 3), keepdim=True))
        self.weight[:, :, middle, middle] = -1

    def forward(self, planes: Tensor) -> Tensor:
        return convolve(planes, self.weight)


@register("mislnet")
class MISLnet(FilterFirst):
    """Green channel, constrained convolution, four convolutions, three fully connected layers.

    Args:
        side: Height and width of the images.
        filters: Numbers of filters of the four convolutions.
        units: Width of the first two fully connected layers.
        classes: Number of logits.

    Raises:
        ValueError: Fewer than two classes.
    """

    Settings = MISLnetSettings
    picture = "filtered"

    def __init__(
        self,
        side: int = 256,
        filters: tuple[int, ...] = DEFAULT_FILTERS,
        units: int = 200,
        classes: int = 6,
    ) -> None:
        super().__init__(side, classes)
        self.constrained = ConstrainedConvolution()
        first, second, third, last = filters
        self.units = nn.Sequential(
            *(*normalised(_PREDICTORS, first, 7, stride=2, activation=nn.Tanh), max_pool()),
            *(*normalised(first, second, 5, activation=nn.Tanh), max_pool()),
            *(*normalised(second, third, 5, activation=nn.Tanh), max_pool()),
            *normalised(third, last, 1, activation=nn.Tanh),
            nn.AvgPool2d(3, 2, ceil_mode=True),
        )
        size = (side - _WINDOW) // 2 + 1  # the filter removes four pixels, padding adds six
        for _ in range(4):
            size = pooled(size)
        self.classifier = connected(last * size**2, (units, units), classes, activation=nn.Tanh)
        self._begin_as_published()

    def filtered(self, images: Tensor) -> Tensor:
        """Return the prediction errors of the three constrained filters."""
        filtered: Tensor = self.constrained(images[:, 1:2])  # green
        return filtered

    def project(self) -> None:
        """Restore the constraint, see `ConstrainedConvolution.project`."""
        self.constrained.project()

    def _begin_as_published(self) -> None:
        """Set Xavier weights; biases of 1 in the first two connected layers, of 0 in the last."""
        for module in (*self.units, *self.classifier):
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        *hidden, last = [m for m in self.classifier if isinstance(m, nn.Linear)]
        for layer in hidden:
            nn.init.ones_(layer.bias)
        nn.init.zeros_(last.bias)
